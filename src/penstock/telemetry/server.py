"""Serves /livez, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

Check = Callable[[], str | None]


class TelemetryServer:
    """A small HTTP server. A check returns None if all is well, else a sentence saying what is not."""

    def __init__(self, registry: CollectorRegistry, alive: Check, ready: Check, port: int) -> None:
        self._registry = registry
        self._alive = alive
        self._ready = ready
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on all addresses of the pod."""
        app = web.Application()
        app.router.add_get("/livez", lambda _: self._answer(self._alive))
        app.router.add_get("/readyz", lambda _: self._answer(self._ready))
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, port=self._port).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, check: Check) -> web.Response:
        wrong = check()
        return web.Response(status=503, text=wrong + "\n") if wrong else web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
