"""The operator as a process: it ends when it cannot start, when it is told to, and when its event loop hangs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hack.cluster.apiserver import ApiServer
from tests.controller.world import IMAGE
from tests.support.cluster import REPOSITORY, Cluster

DEADLINE = 30.0
# Runs a part of the entry point alone, in a loop that nobody serves afterwards.
HANGS = """
import asyncio, time
from tests.controller.replica import entry_point
main = entry_point()

async def hang():
    event = asyncio.Event()
    event.set()
    await main._end_after(event, 0.1, "the test hangs")
    time.sleep(600)

asyncio.run(hang())
"""


@contextmanager
def operator(server: ApiServer, namespace: str, port: int, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """operator/main.py, with its log as text."""
    config = folder / "config.json"
    config.write_text(json.dumps({"runtimeImage": IMAGE, "telemetryPort": port}))
    environment = {
        **os.environ,
        "KUBECONFIG": str(server.kubeconfig),
        "PENSTOCK_CONFIG": str(config),
        "PENSTOCK_NAMESPACE": namespace,
    }
    command = [sys.executable, str(REPOSITORY / "operator" / "main.py")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def listener() -> socket.socket:
    taken = socket.socket()
    taken.bind(("0.0.0.0", 0))
    taken.listen()
    return taken


def test_a_start_that_fails_ends_the_process(
    api_server: ApiServer, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    with closing(listener()) as taken, operator(api_server, namespace, taken.getsockname()[1], tmp_path) as process:
        _, log = process.communicate(timeout=DEADLINE)
    assert process.returncode not in (0, -signal.SIGKILL)
    assert "address already in use" in log


def test_a_signal_ends_the_process_in_order(
    api_server: ApiServer, cluster: Cluster, gateway_api: None, namespace: str, tmp_path: Path
) -> None:
    with closing(listener()) as free:
        port = free.getsockname()[1]
    with operator(api_server, namespace, port, tmp_path) as process:
        deadline = time.monotonic() + DEADLINE
        while not is_ready(port):
            if time.monotonic() > deadline:
                pytest.fail("the operator does not become ready")
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, log
    lease = cluster.request("GET", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/penstock-operator")
    assert lease["spec"]["holderIdentity"] == "", "the lease is given back"


def test_a_process_that_hangs_after_its_end_was_ordered_is_ended() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS], cwd=REPOSITORY, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "the test hangs" in done.stderr
