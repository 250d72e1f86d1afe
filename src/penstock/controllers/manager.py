"""Wires the parts together: caches fed by watches, one queue, workers that run only while leading."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from penstock.controllers.config import OperatorConfig
from penstock.controllers.model import names
from penstock.controllers.model.controller import ModelController, utc_now
from penstock.controllers.model.log import DecisionLog
from penstock.controllers.model.prober import Asker, HttpAsker, ModelKey, Prober
from penstock.controllers.policies import PolicyGuard, load_expected
from penstock.controllers.resources import DECISIONRECORDS, MODELREVISIONS, MODELS
from penstock.kube.applier import Applier
from penstock.kube.cache import Cache
from penstock.kube.client import KubeClient
from penstock.kube.errors import ApiError, NotFound
from penstock.kube.events import EventRecorder
from penstock.kube.lease import LeaderElector, LeadershipLost
from penstock.kube.metrics import KubeMetrics
from penstock.kube.prune import Missed, Pruner, Scope
from penstock.kube.queue import WorkQueue
from penstock.kube.ratelimit import TokenBucket
from penstock.kube.resources import DEPLOYMENTS, HTTPROUTES, PODS, REPLICASETS, SERVICES, Resource, key_of
from penstock.telemetry.server import TelemetryServer

Json = dict[str, Any]
logger = logging.getLogger(__name__)

CHILD_SELECTOR = f"{names.MANAGED_BY}={names.MANAGER}"
CHILDREN = (DEPLOYMENTS, SERVICES, HTTPROUTES, REPLICASETS, PODS)
LEASE_NAME = "penstock-operator"
# A reconcile makes a handful of bounded requests; one that takes longer than this hangs.
STUCK_SECONDS = 120.0
DRAIN_SECONDS = 3.0
RETRY_SECONDS = 2.0
EVENTS_PER_SECOND = 50.0
EVENT_BURST = 200
LIST_ATTEMPTS = 10
LIST_RETRY_SECONDS = 0.5


def _without(*keys: str) -> Callable[[Json], Json]:
    return lambda obj: {name: value for name, value in obj.items() if name not in keys}


TRIMS = {PODS: _without("spec"), REPLICASETS: _without("spec", "status"), SERVICES: _without("status")}


class Manager:
    """One replica of the operator. Every replica watches; the leader decides and writes."""

    def __init__(
        self,
        client: KubeClient,
        config: OperatorConfig,
        *,
        namespace: str,
        asker: Asker | None = None,
        telemetry_port: int | None = None,
        clock: Callable[[], datetime] = utc_now,
        registry: CollectorRegistry | None = None,
        metrics: KubeMetrics | None = None,
    ) -> None:
        self.registry = registry or CollectorRegistry()
        metrics = metrics or KubeMetrics(self.registry)
        # Of the process, not the pod: a restarted container must not inherit a lease.
        self.identity = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self._client = client
        self._config = config
        self.cache = Cache(
            trims=TRIMS,
            label_indexes=(names.MODEL_LABEL, names.REVISION_LABEL),
            metrics=metrics,
        )
        self.queue: WorkQueue[ModelKey] = WorkQueue("model", metrics=metrics)
        bucket = TokenBucket(config.writes_per_second, config.write_burst)
        self._elector = LeaderElector(client, namespace, LEASE_NAME, self.identity, metrics=metrics)
        self._applier = Applier(client, self.cache, bucket, may_write=self._elector.is_leading, metrics=metrics)
        self._log = DecisionLog(client)
        self._asker = asker or HttpAsker()
        self._prober = Prober(self._asker, self.queue.add)
        self._events = EventRecorder(
            client,
            "penstock.dev/operator",
            self.identity,
            bucket=TokenBucket(EVENTS_PER_SECOND, EVENT_BURST),  # of their own: Events never hold up a write
            metrics=metrics,
        )
        self._guard = PolicyGuard(client, load_expected(), self._wake_all)
        self._controller = ModelController(
            client,
            self.cache,
            self._applier,
            self._log,
            self._prober,
            self._events,
            config,
            clock,
            self._policies_wrong,
        )
        scopes = [Scope(MODELS), Scope(MODELREVISIONS), *(Scope(kind, None, CHILD_SELECTOR) for kind in CHILDREN)]
        self._pruner = Pruner(client, self.cache, scopes, self._on_missed, period=config.prune_seconds)
        self._server = (
            TelemetryServer(self.registry, self.not_alive, self.not_ready, telemetry_port) if telemetry_port else None
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._synced = False
        self.failed = asyncio.Event()

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> Manager:
        """Build a manager from the environment: configuration file, credentials, own namespace."""
        config = OperatorConfig.load()
        registry = CollectorRegistry()
        metrics = KubeMetrics(registry)
        client = await KubeClient.connect(kubeconfig=kubeconfig, user_agent="penstock-operator", metrics=metrics)
        return cls(
            client,
            config,
            namespace=os.environ.get("PENSTOCK_NAMESPACE", "penstock-system"),
            telemetry_port=config.telemetry_port,
            registry=registry,
            metrics=metrics,
        )

    async def start(self) -> None:
        """Start serving health and wait, in the background, to become the leader."""
        if self._server:
            await self._server.start()
        self._spawn(self._events.run(), "events")
        self._spawn(self._stand_for_election(), "elector")

    async def stop(self) -> None:
        """Finish what is being written, give the lease back, close everything."""
        recorder, others = self._tasks[:1], self._tasks[1:]
        await _end(others)
        # Only a running recorder can send what the others had to tell.
        await self._events.drain(DRAIN_SECONDS)
        await _end(recorder)
        await self._prober.close()
        if isinstance(self._asker, HttpAsker):
            await self._asker.close()
        if self._server:
            await self._server.stop()
        await self._client.close()

    def observe(self, resource: Resource, event_type: str | None, obj: Json) -> None:
        """Take in one watch event (type None: from the initial list) and wake whom it concerns."""
        is_news = True
        if resource is DECISIONRECORDS:
            is_news = event_type != "DELETED" and self._log.observe(obj)
        elif event_type == "DELETED":
            meta = obj["metadata"]
            self.cache.remove(resource, meta.get("namespace"), meta["name"], meta.get("uid"), meta["resourceVersion"])
            self._applier.forget(resource, meta.get("namespace"), meta["name"])
        else:
            # What we wrote and took from the answer comes back by the watch: no reason to look again.
            is_news = self.cache.upsert(resource, obj)
        key = self._concerns(resource, obj)
        if key is not None and is_news:
            self.queue.add(key)

    def not_alive(self) -> str | None:
        """Say why this process should be restarted, if it should."""
        stuck = self.queue.longest_running
        return f"a reconcile has been running for {stuck:.0f} s" if stuck > STUCK_SECONDS else None

    def not_ready(self) -> str | None:
        """Say why this replica cannot do its work, if it cannot: a standby is ready too."""
        if self._elector.is_leader and not self._synced:
            return "leads, but has not read the cluster's state yet"
        return None if self._elector.holder or self._elector.is_leader else "has not seen a leader yet"

    @staticmethod
    def _concerns(resource: Resource, obj: Json) -> ModelKey | None:
        """The Model an object is about; labels are enough here, they only wake, they prove nothing."""
        meta = obj["metadata"]
        name = meta["name"] if resource is MODELS else meta.get("labels", {}).get(names.MODEL_LABEL)
        return (meta["namespace"], name) if name else None

    async def _stand_for_election(self) -> None:
        """Lead whenever the lease can be had. An outage of the API server costs the lead, not the warm cache."""
        while True:
            try:
                await self._elector.run(self._lead, self._stop_leading)
            except LeadershipLost as lost:
                if not lost.work_stopped:
                    raise
                logger.warning("no longer leads: %s", lost)
            except ApiError as error:
                logger.warning("cannot read the cluster's state, tries again: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _lead(self) -> None:
        await self.sync()
        await self._guard.check()
        self._synced = True
        logger.info("leads: %d Models", len(self.cache.list(MODELS)))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pruner.run())
            group.create_task(self._guard.run())
            group.create_task(self.queue.run(self._config.workers, self._controller.reconcile))

    async def _stop_leading(self) -> None:
        self._synced = False
        await self.queue.stop()

    async def sync(self) -> None:
        """Read everything once: a decision made on half a cache would be a wrong decision."""
        for kind in (DECISIONRECORDS, MODELREVISIONS, *CHILDREN, MODELS):
            for item in await self._read(kind):
                self.observe(kind, None, item)

    async def _read(self, kind: Resource) -> list[Json]:
        """List a kind, with patience: in a storm of refusals, reading all kinds in one go would never succeed."""
        selector = CHILD_SELECTOR if kind in CHILDREN else None
        for _ in range(LIST_ATTEMPTS - 1):
            try:
                return await self._list(kind, selector)
            except ApiError as error:
                logger.warning("cannot list %s, tries again: %s", kind, error)
                await asyncio.sleep(error.retry_after or LIST_RETRY_SECONDS)
        return await self._list(kind, selector)

    async def _list(self, kind: Resource, selector: str | None) -> list[Json]:
        try:
            items, _ = await self._client.list(kind, label_selector=selector)
        except NotFound:
            if kind is HTTPROUTES:  # a cluster without Gateway API: Models are routed by Service
                return []
            raise
        return items

    async def _on_missed(self, missed: Missed) -> None:
        kind = missed.scope.resource
        if missed.rewound:
            # Everything held in memory is from a future that did not happen.
            logger.error("%s: the API server's state went back in time; starting again", kind)
            self.failed.set()
            return
        for obj in missed.removed:
            self._wake(kind, obj)
        for key in missed.unseen:
            try:
                self.observe(kind, None, await self._client.get(kind, key.namespace, key.name))
            except NotFound:
                continue

    def _policies_wrong(self) -> str:
        return self._guard.wrong

    def _wake_all(self) -> None:
        for obj in self.cache.list(MODELS):
            self.queue.add((obj["metadata"]["namespace"], obj["metadata"]["name"]))

    def _wake(self, kind: Resource, obj: Json) -> None:
        logger.warning("%s was deleted without an event", key_of(kind, obj))
        key = self._concerns(kind, obj)
        if key is not None:
            self.queue.add(key)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._done)
        self._tasks.append(task)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        if task.exception() is not None:
            logger.error("%s ended", task.get_name(), exc_info=task.exception())
        # Neither the elector nor the recorder ends by itself: the process must start afresh.
        self.failed.set()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
