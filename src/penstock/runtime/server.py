"""The process: loads the model, serves it with uvicorn, and leaves without failing a request."""

import asyncio
import gc
import logging
import socket
import time
from multiprocessing.connection import Connection
from types import FrameType
from typing import TYPE_CHECKING

import orjson
import uvicorn

from penstock.runtime.admin import Page, serve_pages
from penstock.runtime.app import App, Phase
from penstock.runtime.backends import load_backend
from penstock.runtime.calls import Call
from penstock.runtime.capture import NOTHING_CAPTURED, Capture, read_profile
from penstock.runtime.codec import decode_call
from penstock.runtime.connections import accepting_sockets, bound_socket, limited_protocol
from penstock.runtime.engine import Engine
from penstock.runtime.errors import LoadError, RequestError
from penstock.runtime.metadata import Metadata, read_metadata
from penstock.runtime.metrics import Metrics
from penstock.runtime.refusal import refused, start_logging
from penstock.runtime.ring import Ring
from penstock.runtime.settings import Settings
from penstock.runtime.workers import answer_parent, serve_workers

if TYPE_CHECKING:
    from penstock.runtime.features import FeatureInputs

# Requests under way after the drain get this long; the pod's own grace period must be longer than both.
FINISH_SECONDS = 20
# Longer than a proxy keeps an idle connection (Envoy: 3600 s): whoever closes first must not be the one that is asked.
KEEP_ALIVE_SECONDS = 4000
_log = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """On SIGTERM denies readiness at once, answers for the drain time, then stops accepting and finishes."""

    def __init__(self, config: uvicorn.Config, app: App, drain_seconds: float, ring: Ring) -> None:
        super().__init__(config)
        self._app = app
        self._ring = ring
        self._drain_seconds = drain_seconds
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until told to stop."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal starts the drain, a second one ends it."""
        if self._app.phase is Phase.SERVING and self._loop is not None:
            self._app.phase = Phase.LEAVING
            self._ring.is_leaving = True
            self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_seconds, self._stop)
        else:
            self._stop()

    def _stop(self) -> None:
        self._app.phase = Phase.STOPPED
        self.should_exit = True


def serve(settings: Settings) -> int:
    """Loads and serves until told to stop; returns the exit status, raises `LoadError` if nothing can be served."""
    if settings.workers > 1:
        return serve_workers(settings, _serve_as_worker)
    server, pages = _loaded(settings)
    stop_pages = serve_pages(settings.host, settings.metrics_port, pages)
    try:
        server.run(accepting_sockets(bound_socket(settings.host, settings.port)))
    finally:
        stop_pages()
    return 0


def _serve_as_worker(settings: Settings, listener: socket.socket, link: Connection) -> int:
    start_logging()
    try:
        server, pages = _loaded(settings)
    except LoadError as error:
        return refused(error)
    answer_parent(link, pages)
    server.run(accepting_sockets(listener))
    return 0


def _loaded(settings: Settings) -> tuple[DrainingServer, dict[str, Page]]:
    metrics = Metrics(settings)
    start = time.perf_counter()
    metadata = read_metadata(settings.model_dir)
    backend = load_backend(settings.model_format, settings.model_dir, metadata)
    features = None
    if settings.features_file.exists():
        from penstock.runtime.features import feature_inputs  # noqa: PLC0415 - a server without a schema needs it not

        features = feature_inputs(settings.features_file, backend.inputs, settings.model_format)
    grids = read_profile(settings.model_dir, backend.inputs)
    capture = Capture(grids, settings.revision) if grids else None
    engine = Engine(
        backend,
        model_name=settings.model_name,
        revision=settings.revision,
        threads=settings.threads,
        example=_example(metadata, features),
        seen=capture.count if capture else None,
    )
    metrics.loaded(time.perf_counter() - start)
    ring = Ring(settings.model_name, settings.revision)
    app = App(engine, settings, metrics, capture, metadata.example, features, ring)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=limited_protocol(settings.header_seconds, app.admission),
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )
    settle_memory()
    _log.info("serving %s revision %s on port %d", settings.model_name, settings.revision, settings.port)

    def capture_page(_query: str) -> tuple[str, bytes]:
        return "application/json", orjson.dumps(capture.as_json() if capture else NOTHING_CAPTURED)

    pages: dict[str, Page] = {"/metrics": metrics.page, "/capture": capture_page, "/ring": ring.page}
    return DrainingServer(config, app, settings.drain_seconds, ring), pages


def settle_memory() -> None:
    """Spares what is loaded by now from garbage collection: to look through it takes long and finds nothing."""
    gc.collect()
    gc.freeze()


def _example(metadata: Metadata, features: "FeatureInputs | None") -> Call | None:
    if metadata.example is None:
        return None
    try:
        return (features.decode if features else decode_call)(metadata.example)
    except RequestError as error:
        raise LoadError("LoadFailed", f"The example in metadata.json is wrong: {error.message}.") from None
