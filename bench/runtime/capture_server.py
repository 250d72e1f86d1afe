"""Penstock's model server with a switch: a request for /capture/on or /capture/off says whether it captures now.

Two servers differ by more than capture costs (where their memory lies, say); one process can be compared with itself.
"""

import os
from typing import Any

import uvicorn

from penstock.runtime.app import App
from penstock.runtime.backends import Backend, load_backend
from penstock.runtime.capture import Capture, read_profile
from penstock.runtime.connections import limited_protocol
from penstock.runtime.engine import Engine
from penstock.runtime.metadata import Metadata
from penstock.runtime.metrics import Metrics
from penstock.runtime.server import settle_memory
from penstock.runtime.settings import Settings

ON, OFF = "/capture/on", "/capture/off"


class Switch:
    """Two applications around one backend, of which one answers."""

    def __init__(self, settings: Settings) -> None:
        backend = load_backend(settings.model_format, settings.model_dir, Metadata())
        capture = Capture(read_profile(settings.model_dir, backend.inputs), settings.revision)
        self._apps = {
            ON: App(_engine(backend, settings, capture), settings, Metrics(settings), capture),
            OFF: App(_engine(backend, settings), settings, Metrics(settings)),
        }
        self._current = self._apps[OFF]
        # Connections count for whichever answers.
        self._apps[ON].admission = self.admission = self._apps[OFF].admission

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes the request on; the switch itself answers 404 like any other unknown path."""
        self._current = self._apps.get(scope["path"], self._current)
        await self._current(scope, receive, send)


def _engine(backend: Backend, settings: Settings, capture: Capture | None = None) -> Engine:
    return Engine(
        backend,
        model_name=settings.model_name,
        revision=settings.revision,
        threads=settings.threads,
        seen=capture.count if capture else None,
    )


if __name__ == "__main__":
    ours = Settings.from_environment(os.environ)
    switch = Switch(ours)
    settle_memory()
    uvicorn.run(
        switch,
        host=ours.host,
        port=ours.port,
        loop="uvloop",
        http=limited_protocol(ours.header_seconds, switch.admission),
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        server_header=False,
        log_config=None,
    )
