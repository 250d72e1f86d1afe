"""A real model server in a process of its own, on ports of this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

REVISION = "0123456789ab"
DIGEST = "sha256:" + "c" * 64
DEADLINE_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, model_format: str, **settings: str) -> dict[str, str]:
    return {
        **os.environ,
        "PENSTOCK_HOST": "127.0.0.1",
        "PENSTOCK_PORT": str(free_port()),
        "PENSTOCK_METRICS_PORT": str(free_port()),
        "PENSTOCK_MODEL_NAME": "flight-delay",
        "PENSTOCK_MODEL_DIR": str(folder),
        "PENSTOCK_MODEL_FORMAT": model_format,
        "PENSTOCK_REVISION": REVISION,
        "PENSTOCK_ARTIFACT_DIGEST": DIGEST,
        "PENSTOCK_DRAIN_SECONDS": "0",
        "PENSTOCK_TERMINATION_LOG": str(folder / "termination.json"),
        **settings,
    }


@dataclass
class Server:
    """A running server and a client for it."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    metrics_url: str

    def infer(self, inputs: list[dict[str, Any]], **more: Any) -> httpx.Response:
        return self.client.post("/v2/models/flight-delay/infer", json={"inputs": inputs, **more})

    def outputs(self, inputs: list[dict[str, Any]], **more: Any) -> dict[str, dict[str, Any]]:
        response = self.infer(inputs, **more)
        assert response.status_code == 200, response.text
        return {output["name"]: output for output in response.json()["outputs"]}

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def running(folder: Path, model_format: str, **settings: str) -> Iterator[Server]:
    variables = environment(folder, model_format, **settings)
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "penstock.runtime"], env=variables, stderr=output)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{variables['PENSTOCK_PORT']}", timeout=30) as client:
            server = Server(process, client, f"http://127.0.0.1:{variables['PENSTOCK_METRICS_PORT']}/metrics")
            _wait_until_ready(server, log)
            yield server
    finally:
        process.kill()
        process.wait()


def refusal(folder: Path, model_format: str, **settings: str) -> dict[str, str]:
    """Starts a server that must refuse its model; returns the termination message."""
    done = subprocess.run(
        [sys.executable, "-m", "penstock.runtime"],
        env=environment(folder, model_format, **settings),
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 30, done.stderr.decode()
    message: dict[str, str] = json.loads((folder / "termination.json").read_text())
    assert "Traceback" not in message["message"]
    return message


def _wait_until_ready(server: Server, log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if server.client.get("/v2/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the server did not get ready:\n{log.read_text()}")
