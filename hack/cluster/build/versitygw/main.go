// Command versitygw is Versity's S3 server over a folder, for tests: versitygw LISTEN_ADDRESS FOLDER SIDECAR_FOLDER.
//
// The only account is taken from ROOT_ACCESS_KEY and ROOT_SECRET_KEY. Metadata lies in its own folder, so that the
// file system needs no extended attributes.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	if len(os.Args) != 4 {
		fail(fmt.Errorf("usage: versitygw LISTEN_ADDRESS FOLDER SIDECAR_FOLDER"))
	}
	address, folder, sidecar := os.Args[1], os.Args[2], os.Args[3]
	metadata, err := meta.NewSideCar(sidecar)
	if err != nil {
		fail(err)
	}
	store, err := posix.New(folder, metadata, posix.PosixOpts{SideCarDir: sidecar})
	if err != nil {
		fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = embedgw.RunVersityGW(ctx, store, &embedgw.Config{
		RootUserAccess:    os.Getenv("ROOT_ACCESS_KEY"),
		RootUserSecret:    os.Getenv("ROOT_SECRET_KEY"),
		Region:            "us-east-1",
		Ports:             []string{address},
		MaxConnections:    256,
		MaxRequests:       256,
		MultipartMaxParts: 10000,
		Quiet:             true,
		KeepAlive:         true,
		HealthPath:        "/health",
	})
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
