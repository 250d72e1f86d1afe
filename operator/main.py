"""Penstock's kopf entry point: what is watched, and who is told. Everything else is in the package."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

from penstock.kube.lean import without_blocking_client

if __name__ == "__main__":
    without_blocking_client()

import kopf
import uvloop

from penstock.controllers.manager import Manager
from penstock.controllers.sources import BY_KOPF
from penstock.kube.client import PAGE_SIZE
from penstock.kube.reflector import SILENCE_SECONDS
from penstock.kube.resources import Resource

# A pod is killed 30 s after it was asked to end; before that the log should say why it did not end by itself.
STOPPING_SECONDS = 15.0
FAILED_SECONDS = 25.0
logger = logging.getLogger("penstock.main")
registry = kopf.OperatorRegistry()


class Endless:
    """Pauses between attempts to reach the API server: never the last one, whatever an outage takes."""

    def __iter__(self) -> Iterator[float]:
        yield from (1, 2, 3, 5, 8, 13)
        while True:
            yield 20


class NoDiffBase(kopf.DiffBaseStorage):
    """Only events are handled, nothing is diffed: no annotation is ever written."""

    def fetch(self, *, body: kopf.Body) -> None:
        """There is nothing stored."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None, ignored_fields: Any = None) -> kopf.BodyEssence:
        """There is nothing to compare."""
        return kopf.BodyEssence({})

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """There is nothing to store."""


@kopf.on.startup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
async def startup(settings: kopf.OperatorSettings, memo: Any, **_: object) -> None:
    """Use of kopf: watch streams and process life. Queue, retries, leader election and writes are ours."""
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.queueing.worker_limit = None
    settings.queueing.idle_timeout = 0.5
    settings.watching.inactivity_timeout = 70
    settings.watching.server_timeout = 290
    settings.watching.connect_timeout = 10
    settings.watching.reconnect_backoff = 1.0
    settings.networking.error_backoffs = Endless()
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.enforce_retry_after = True
    settings.watching.chunk_size = PAGE_SIZE
    await memo.manager.start(silence=lambda: settings.watching.inactivity_timeout or SILENCE_SECONDS)


@kopf.on.login(registry=registry)
async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """In a pod the service account's token (read again when it expires), elsewhere the kubeconfig."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


@kopf.on.cleanup(registry=registry)
async def cleanup(memo: Any, **_: object) -> None:
    """Stop writing and give the lease back before the process ends."""
    await memo.manager.stop()


def watch(resource: Resource) -> None:
    """Pass every event of one kind on to the manager's cache and queue."""

    @kopf.on.event(resource.group, resource.version, resource.plural, id=resource.plural, registry=registry)
    async def observe(event: kopf.RawEvent, memo: Any, **_: object) -> None:
        if event["type"] is None:
            memo.manager.relisted()
        memo.manager.observe(resource, event["type"], dict(event["object"]))


for kind in BY_KOPF:
    watch(kind)


async def main() -> None:
    """Run until told to stop, or until a part that must not end has ended."""
    manager = await Manager.connect()
    stop = asyncio.Event()
    watchdogs = [
        asyncio.create_task(_stop_on_failure(manager, stop)),
        asyncio.create_task(_end_after(manager.stopping, STOPPING_SECONDS, "told to stop and did not end")),
        asyncio.create_task(_end_after(manager.failed, FAILED_SECONDS, "a part failed and the rest does not stop")),
    ]
    try:
        await kopf.operator(
            registry=registry,
            clusterwide=True,
            standalone=True,
            memo=kopf.Memo(manager=manager),
            stop_flag=stop,
        )
    finally:
        for watchdog in watchdogs:
            watchdog.cancel()
    if manager.failed.is_set():
        raise SystemExit(1)


async def _stop_on_failure(manager: Manager, stop: asyncio.Event) -> None:
    await manager.failed.wait()
    stop.set()


async def _end_after(event: asyncio.Event, seconds: float, why: str) -> None:
    """End the process if it still runs so long after the event, even if the event loop hangs by then."""
    await event.wait()
    last_resort = threading.Timer(seconds, _end_process, (why, seconds))
    last_resort.daemon = True  # an ordinary end of the process ends the timer too
    last_resort.start()


def _end_process(why: str, seconds: float) -> None:
    logger.critical("%s (%.0f s): ending the process", why, seconds)
    logging.shutdown()
    os._exit(1)


if __name__ == "__main__":
    logging.basicConfig(
        level=os.environ.get("PENSTOCK_LOG_LEVEL", "INFO"), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("kopf").setLevel(logging.WARNING)
    uvloop.run(main())
