"""Builds the binaries of the cluster from checked-in Go modules, once per content, into the cache."""

import fcntl
import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from hack.cluster import paths, toolchain
from hack.cluster.console import ClusterError, say
from hack.cluster.versions import load, version

NAMES = ("pause", "etcd", "coredns", "kube", "registry", "helm", "envoy-gateway", "versitygw", "prometheus")
# Built from the tool directive of their go.mod, as their main package cannot be called from another one.
_PACKAGES = {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"}
# Of the ways to find targets only Kubernetes' and files: the clients of every cloud would be half of the binary.
_TAGS = {"prometheus": "remove_all_sd,enable_kubernetes_sd"}
_PROGRESS_SECONDS = 20


def binary(name: str) -> Path:
    """The path of a built binary; builds it first when its module, flags or Go version are new.

    Names are the folders under hack/cluster/build. `kube` is a multi-call binary: its first argument, or the
    name of a link to it, is kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy or kubectl.
    Two processes that ask for the same binary build it once. Raises ClusterError when the build fails.
    """
    module = paths.HERE / "build" / name
    if not (module / "go.mod").is_file():
        raise ClusterError(f"There is nothing to build called {name!r}; known are {', '.join(NAMES)}.")
    flags = linker_flags(name)
    inputs = [*flags, *_tags(name)]
    target = paths.bin_dir() / f"{name}-{cache_key(module, inputs, load()['go']['version'])}"
    if not target.exists():
        with (paths.bin_dir() / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                _build(name, module, flags, target)
    return target


def kubectl() -> Path:
    """A link called `kubectl` in the cache's bin folder, to the multi-call binary."""
    link = paths.bin_dir() / "kubectl"
    target = binary("kube").name
    if not link.is_symlink() or os.readlink(link) != target:
        fresh = link.with_name(f".kubectl.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)
    return link


def cache_key(module: Path, flags: Sequence[str], go_version: str) -> str:
    """12 hex characters that change with any file of the module, the linker flags, Go's version or the machine."""
    digest = hashlib.sha256()
    for part in (go_version, platform.system(), platform.machine(), *flags):
        digest.update(part.encode() + b"\0")
    for file in sorted(path for path in module.rglob("*") if path.is_file()):
        digest.update(file.relative_to(module).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def linker_flags(name: str) -> list[str]:
    """What `go build -ldflags` gets: the binary carries its version and no debug tables."""
    stamps: dict[str, dict[str, str]] = {
        "kube": _kubernetes_stamps(),
        "etcd": {"go.etcd.io/etcd/api/v3/version.GitSHA": "module"},
        "coredns": {"github.com/coredns/coredns/coremain.GitCommit": "module"},
        "prometheus": {"github.com/prometheus/common/version.Version": load()["prometheus"]["release"]},
        "registry": {"github.com/distribution/distribution/v3/version.version": version("registry")},
        "helm": {"helm.sh/helm/v4/internal/version.version": version("helm")},
        "envoy-gateway": {
            "github.com/envoyproxy/gateway/internal/cmd/version.envoyGatewayVersion": version("envoy-gateway"),
            "github.com/envoyproxy/gateway/internal/cmd/version.gitCommitID": "module",
        },
    }
    return ["-s", "-w", *(f"-X={variable}={value}" for variable, value in stamps.get(name, {}).items())]


def _kubernetes_stamps() -> dict[str, str]:
    release = version("kubernetes")
    major, minor, _ = release.removeprefix("v").split(".")
    values = {
        "gitVersion": release,
        "gitMajor": major,
        "gitMinor": minor,
        "gitCommit": "module",
        "gitTreeState": "archive",
        # Kubernetes' default date is the epoch; any fixed date keeps the build reproducible.
        "buildDate": "2026-01-01T00:00:00Z",
    }
    packages = ("k8s.io/client-go/pkg/version", "k8s.io/component-base/version")
    return {f"{package}.{name}": value for package in packages for name, value in values.items()}


def _tags(name: str) -> list[str]:
    return ["-tags", _TAGS[name]] if name in _TAGS else []


def _build(name: str, module: Path, flags: Sequence[str], target: Path) -> None:
    go = toolchain.find()
    partial = target.with_name(f".{target.name}.partial")
    options = ["-p", "2", "-trimpath", "-mod=readonly", "-buildvcs=false", *_tags(name), "-ldflags", " ".join(flags)]
    package = _PACKAGES.get(name, ".")
    say(f"building {name} ({module.relative_to(paths.REPOSITORY)})")
    start = time.monotonic()
    process = subprocess.Popen([go.command, "build", *options, "-o", partial, package], cwd=module, env=go.environment)
    try:
        while True:
            try:
                code = process.wait(_PROGRESS_SECONDS)
                break
            except subprocess.TimeoutExpired:
                say(f"still building {name}, {time.monotonic() - start:.0f} s")
    except BaseException:
        process.terminate()
        process.wait()
        partial.unlink(missing_ok=True)
        raise
    if code:
        raise ClusterError(f"Building {name} failed; the lines above are Go's own report.")
    partial.replace(target)
    say(f"built {name} in {time.monotonic() - start:.0f} s: {target.name}, {target.stat().st_size / 1e6:.0f} MB")
