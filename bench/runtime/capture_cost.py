"""What capture costs a request, in one process: the application with and without it, by turns, without sockets.

Throughputs of two servers started minutes apart differ by more than capture costs.
"""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import uvloop

from bench.runtime import models
from penstock.runtime.app import App
from penstock.runtime.backends import load_backend
from penstock.runtime.capture import Capture, read_profile
from penstock.runtime.engine import Engine
from penstock.runtime.metadata import Metadata
from penstock.runtime.metrics import Metrics
from penstock.runtime.settings import Settings

_TURNS = 60
_WAVES = 40
_TOGETHER = 8


def measured_microseconds(folder: Path, body: bytes) -> float:
    """CPU time that capture adds to one request, the median over the turns."""
    environment = {
        "PENSTOCK_MODEL_NAME": models.NAME,
        "PENSTOCK_MODEL_FORMAT": "Skops",
        "PENSTOCK_MODEL_DIR": str(folder / "captured"),
        "PENSTOCK_REVISION": "0123456789ab",
        "PENSTOCK_ARTIFACT_DIGEST": "sha256:" + "0" * 64,
    }
    settings = Settings.from_environment(environment)
    backend = load_backend("Skops", settings.model_dir, Metadata())
    engine = Engine(backend, model_name=models.NAME, revision=settings.revision, threads=1)
    capture = Capture(read_profile(settings.model_dir, engine.inputs), settings.revision)
    without, with_capture = (App(engine, settings, Metrics(settings), each) for each in (None, capture))
    return uvloop.run(_added(without, with_capture, body))


async def _added(without: App, with_capture: App, body: bytes) -> float:
    differences = []
    for turn in range(_TURNS):
        # Whoever comes second finds warmer caches: they take turns at that too.
        order = (without, with_capture) if turn % 2 else (with_capture, without)
        spent = {app: await _cpu_seconds(app, body) for app in order}
        differences.append(spent[with_capture] - spent[without])
    return statistics.median(differences) / (_WAVES * _TOGETHER) * 1e6


async def _cpu_seconds(app: App, body: bytes) -> float:
    scope = {"path": models.PATH, "method": "POST", "headers": [(b"content-length", str(len(body)).encode())]}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200

    start = time.process_time()
    for _ in range(_WAVES):
        await asyncio.gather(*(app(scope, receive, send) for _ in range(_TOGETHER)))
    return time.process_time() - start
