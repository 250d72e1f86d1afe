"""A registry (CNCF distribution) over a temporary folder, on a free port of the loopback interface."""

import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from hack.cluster.build import binary

STARTED_SECONDS = 30


@contextmanager
def running_registry() -> Iterator[str]:
    """Start one and stop it in the end; gives host and port."""
    with tempfile.TemporaryDirectory(prefix="penstock-registry-") as temporary:
        folder = Path(temporary)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            host = f"127.0.0.1:{probe.getsockname()[1]}"
        storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
        configuration = {"version": 0.1, "log": {"level": "warn"}, "storage": storage, "http": {"addr": host}}
        (folder / "config.yml").write_text(json.dumps(configuration))
        log = folder / "log"
        with log.open("wb") as output:
            command = [binary("registry"), "serve", folder / "config.yml"]
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + STARTED_SECONDS
            while not _answers(host):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield host
        finally:
            process.terminate()
            process.wait()


def _answers(host: str) -> bool:
    try:
        return httpx.get(f"http://{host}/v2/").status_code == 200
    except httpx.TransportError:
        return False
