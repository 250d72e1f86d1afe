"""A real S3 server (Versity's gateway) over a temporary folder, on a free port."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import obstore
from obstore.store import S3Store

from hack.cluster.build import binary

STARTED_SECONDS = 30
REGION = "us-east-1"


@dataclass(frozen=True)
class S3Server:
    """A running server: its endpoint, the root account's keys, and the folder that holds one folder per bucket."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    folder: Path

    def credentials(self, folder: Path, **changes: str | None) -> Path:
        """Write the keys as a mounted Secret; `changes` by key of the Secret, None leaves one out."""
        folder.mkdir(parents=True, exist_ok=True)
        content: dict[str, str | None] = {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
        }
        for key, value in (content | changes).items():
            if value is not None:
                (folder / key).write_text(value + "\n")
        return folder

    def make_bucket(self, name: str) -> None:
        """Create a bucket: a folder of the server's."""
        (self.folder / name).mkdir()

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Store an object."""
        store = S3Store(
            bucket,
            endpoint=self.endpoint,
            region=REGION,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            client_options={"allow_http": True},
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
        )
        obstore.put(store, key, content)


@contextmanager
def s3_server(host: str = "127.0.0.1") -> Iterator[S3Server]:
    """Start a server on an address of this machine and stop it in the end."""
    with tempfile.TemporaryDirectory(prefix="penstock-s3-") as temporary:
        root = Path(temporary)
        for name in ("buckets", "sidecar"):
            (root / name).mkdir()
        with socket.socket() as probe:
            probe.bind((host, 0))
            address = f"{host}:{probe.getsockname()[1]}"
        keys = {"ROOT_ACCESS_KEY": "penstock-tests", "ROOT_SECRET_KEY": "not-a-secret-0123456789"}
        log = root / "log"
        with log.open("wb") as output:
            command = [binary("versitygw"), address, root / "buckets", root / "sidecar"]
            process = subprocess.Popen(command, env={**os.environ, **keys}, stdout=output, stderr=output, cwd=root)
        try:
            deadline = time.monotonic() + STARTED_SECONDS
            while not _answers(address):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield S3Server(f"http://{address}", keys["ROOT_ACCESS_KEY"], keys["ROOT_SECRET_KEY"], root / "buckets")
        finally:
            process.terminate()
            process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/health").status_code == 200
    except httpx.TransportError:
        return False
