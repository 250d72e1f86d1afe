"""Penstock's kopf entry point: what is watched, and who is told. Everything else is in the package."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from typing import Any

import kopf

from penstock.controllers.manager import CHILD_SELECTOR, CHILDREN, Manager
from penstock.controllers.resources import DECISIONRECORDS, MODELREVISIONS, MODELS
from penstock.kube.resources import Resource

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


@kopf.on.startup(registry=registry)
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
    for child in CHILDREN:
        settings.watching.label_selectors[child.group, child.version, child.plural] = CHILD_SELECTOR
    await memo.manager.start()


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
        memo.manager.observe(resource, event["type"], dict(event["object"]))


for kind in (MODELS, MODELREVISIONS, DECISIONRECORDS, *CHILDREN):
    watch(kind)


async def main() -> None:
    """Run until told to stop, or until a part that must not end has ended."""
    manager = await Manager.connect()
    stop = asyncio.Event()

    async def stop_on_failure() -> None:
        await manager.failed.wait()
        stop.set()

    watchdog = asyncio.create_task(stop_on_failure())
    await kopf.operator(
        registry=registry,
        clusterwide=True,
        standalone=True,
        memo=kopf.Memo(manager=manager),
        stop_flag=stop,
    )
    watchdog.cancel()
    if manager.failed.is_set():
        raise SystemExit(1)


if __name__ == "__main__":
    logging.basicConfig(
        level=os.environ.get("PENSTOCK_LOG_LEVEL", "INFO"), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("kopf").setLevel(logging.WARNING)
    asyncio.run(main())
