"""What the pods of a Model count: each has a real /metrics page, on its own address, made by the runtime's own code."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import web

from penstock.metrics.provider import RUNTIME_METRICS_PORT
from penstock.runtime.metrics import Metrics
from penstock.runtime.settings import Settings

TICK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Load:
    """What each pod of a revision answers per tick: requests, how many of them fail, and how long each takes."""

    requests: int
    errors: int = 0
    seconds: float = 0.004


@dataclass(slots=True)
class _Server:
    revision: str
    metrics: Metrics
    runner: web.AppRunner | None = None


@dataclass
class Traffic:
    """Runs the pods' pages. `loads`: what comes in, by revision. `silent`: revisions whose pages nobody can read.

    `bare`: revisions whose server has no such page. `turned_away`: how often such a page was asked for, by revision.
    """

    loads: dict[str, Load] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    bare: set[str] = field(default_factory=set)
    turned_away: Counter[str] = field(default_factory=Counter)
    _servers: dict[str, _Server] = field(default_factory=dict)

    async def run(self) -> None:
        """Let requests come in until cancelled."""
        while True:
            for server in self._servers.values():
                self._count(server)
            await asyncio.sleep(TICK_SECONDS)

    async def start(self, address: str, revision: str) -> None:
        """Run the page of a pod."""
        server = self._servers.get(address)
        if server is None:
            server = self._servers[address] = _Server(revision, Metrics(_settings(revision)))
        await self._open(address, server)

    async def end(self, address: str) -> None:
        """The pod is gone."""
        server = self._servers.pop(address, None)
        if server is not None:
            await _close(server)

    async def close(self) -> None:
        """End all."""
        for address in list(self._servers):
            await self.end(address)

    async def _open(self, address: str, server: _Server) -> None:
        if server.runner is not None:
            return

        async def page(_: web.Request) -> web.Response:
            if server.revision in self.silent:
                self.turned_away[server.revision] += 1
                return web.Response(status=503)
            if server.revision in self.bare:
                self.turned_away[server.revision] += 1
                return web.Response(status=404)
            kind, body = server.metrics.page()
            return web.Response(body=body, headers={"Content-Type": kind})

        app = web.Application()
        app.router.add_get("/metrics", page)
        server.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await server.runner.setup()
        await web.TCPSite(server.runner, address, RUNTIME_METRICS_PORT).start()

    def _count(self, server: _Server) -> None:
        load = self.loads.get(server.revision, Load(0))
        for number in range(load.requests):
            server.metrics.answered(500 if number < load.errors else 200, load.seconds)


async def _close(server: _Server) -> None:
    if server.runner is not None:
        await server.runner.cleanup()
        server.runner = None


def _settings(revision: str) -> Settings:
    digest = "sha256:" + "0" * 64
    names = {"MODEL_NAME": "flight", "MODEL_FORMAT": "ONNX", "REVISION": revision, "ARTIFACT_DIGEST": digest}
    return Settings.from_environment({f"PENSTOCK_{name}": value for name, value in names.items()})
