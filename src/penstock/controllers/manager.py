"""Wires the parts together: caches fed by watches, one queue, workers that run only while leading."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from penstock.api.v1alpha1.metricsource import MetricSource
from penstock.controllers import concerns, handover
from penstock.controllers.config import OperatorConfig
from penstock.controllers.featureset.controller import FeatureSetController
from penstock.controllers.featureset.job import FEATURE_SET_LABEL
from penstock.controllers.gates.controller import EvaluationGateController
from penstock.controllers.gates.controller import concerns as gate_concerns
from penstock.controllers.gates.job import GATE_LABEL
from penstock.controllers.model import names
from penstock.controllers.model.commands import Commands
from penstock.controllers.model.controller import ModelController, utc_now
from penstock.controllers.model.evidence import Evidence
from penstock.controllers.model.live import LOOK_SECONDS, Live
from penstock.controllers.model.log import DecisionLog
from penstock.controllers.model.prober import Asker, HttpAsker, Prober
from penstock.controllers.model.recall import CHECK_SECONDS, Recall
from penstock.controllers.model.shadows import Shadows
from penstock.controllers.policies import PolicyGuard, load_expected
from penstock.controllers.resources import DECISIONRECORDS, EVALUATIONGATES, FEATURESETS, METRICSOURCES, MODELS
from penstock.controllers.shadow.reader import Comparators
from penstock.controllers.sources import BY_KOPF, BY_REFLECTOR, CHILD_SELECTOR, CHILDREN, PRUNED, TRIMS
from penstock.controllers.work import Key, Work
from penstock.kube import memory
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
from penstock.kube.reflector import SILENCE_SECONDS, Reflector, Source, StateRewound
from penstock.kube.resources import ObjectKey, Resource, key_of
from penstock.metrics.factory import SourceFactory
from penstock.metrics.http import HttpClient
from penstock.telemetry.server import TelemetryServer

Json = dict[str, Any]
logger = logging.getLogger(__name__)

LEASE_NAME = "penstock-operator"
# A reconcile makes a handful of bounded requests; one that takes longer than this hangs.
STUCK_SECONDS = 120.0
DRAIN_SECONDS = 3.0
RETRY_SECONDS = 2.0
# A validation is started and read, a gate's status shown; the work itself is a Job's.
SIDE_WORKERS = 4
EVENTS_PER_SECOND = 50.0
EVENT_BURST = 200
# A new leader trusts lists that were begun so lately, together with the watches that follow them.
FRESH_SECONDS = 15.0
__all__ = ["CHILDREN", "CHILD_SELECTOR", "Manager"]


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
        look_seconds: float = LOOK_SECONDS,
        recall_seconds: float = CHECK_SECONDS,
        left: Path | None = None,
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
            label_indexes=(names.MODEL_LABEL, names.REVISION_LABEL, FEATURE_SET_LABEL, GATE_LABEL),
            metrics=metrics,
        )
        self.queue: WorkQueue[Key] = WorkQueue("model", metrics=metrics, urgent=self._is_moving)
        bucket = TokenBucket(config.writes_per_second, config.write_burst)
        self._elector = LeaderElector(client, namespace, LEASE_NAME, self.identity, metrics=metrics)
        self._applier = Applier(client, self.cache, bucket, may_write=self._elector.is_leading, metrics=metrics)
        self._log = DecisionLog(client, self._applier.permit)
        self._asker = asker or HttpAsker()
        self._prober = Prober(self._asker, self.queue.add)
        self._events = EventRecorder(
            client,
            "penstock.dev/operator",
            self.identity,
            bucket=TokenBucket(EVENTS_PER_SECOND, EVENT_BURST),  # of their own: Events never hold up a write
            work_waits=lambda: any(work.queue.depth for work in self._work),
            metrics=metrics,
        )
        self._left = left
        self._recall = Recall(
            client,
            namespace,
            config.exported_config_map,
            handover.read(left),
            self._wake_all,
            check_seconds=recall_seconds,
        )
        self._guard = PolicyGuard(client, load_expected(), self._wake_all)
        self.dataset_queue: WorkQueue[Key] = WorkQueue("featureset", metrics=metrics)
        self.gate_queue: WorkQueue[Key] = WorkQueue("evaluationgate", metrics=metrics)
        self._http = HttpClient()
        self._live = Live(self._sources(), self.queue.add, clock, look_seconds=look_seconds)
        self._shadows = Shadows(self.cache, config, Comparators(self.queue.add))
        commands = Commands(self.cache, self._applier, self._log)
        models = ModelController(
            client,
            self.cache,
            self._applier,
            self._log,
            self._prober,
            self._events,
            config,
            Evidence(client, self.cache, config, commands, self._live, self._shadows),
            commands,
            self._recall,
            clock,
            self._policies_wrong,
            self.queue.reads,
        )
        datasets = FeatureSetController(
            client, self.cache, self._applier, self._events, config, clock, self._policies_wrong
        )
        gates = EvaluationGateController(self.cache, self._applier, clock)
        self._work = (
            self._work_of(self.queue, config.workers, MODELS, partial(concerns.models, self.cache), models.reconcile),
            self._work_of(self.dataset_queue, SIDE_WORKERS, FEATURESETS, concerns.feature_sets, datasets.reconcile),
            self._work_of(
                self.gate_queue, SIDE_WORKERS, EVALUATIONGATES, partial(gate_concerns, self.cache), gates.reconcile
            ),
        )
        self.cache.on_surprise = self._wake
        self._reflectors = [
            Reflector(client, source, self, silence=self._silent_for, metrics=metrics) for source in BY_REFLECTOR
        ]
        # Never run, only asked for lists: kopf does not tell when its first one is complete.
        self._readers = [Reflector(client, Source(kind), self, metrics=metrics) for kind in BY_KOPF]
        self._pruner = Pruner(client, self.cache, PRUNED, self._on_missed, period=config.prune_seconds)
        self._server = (
            TelemetryServer(self.registry, self.not_alive, self.not_ready, telemetry_port) if telemetry_port else None
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._silence: Callable[[], float] = lambda: SILENCE_SECONDS
        self._synced = False
        self._relisted = asyncio.Event()
        self.failed = asyncio.Event()
        self.stopping = asyncio.Event()

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
            left=handover.path(),
            registry=registry,
            metrics=metrics,
        )

    async def start(self, silence: Callable[[], float] | None = None) -> None:
        """Start serving health and watching, and wait, in the background, to become the leader.

        `silence`: how many seconds without any sign make a watch count as broken.
        """
        self._silence = silence or self._silence
        if self._server:
            await self._server.start()
        self._spawn(self._events.run(), "events")
        for reflector in self._reflectors:
            self._spawn(reflector.run(), f"reflector of {reflector.source.resource}")
        self._spawn(self._stand_for_election(), "elector")

    async def stop(self) -> None:
        """Finish what is being written, give the lease back, close everything."""
        self.stopping.set()
        recorder, others = self._tasks[:1], self._tasks[1:]
        await _end(others)
        # Only a running recorder can send what the others had to tell.
        await self._events.drain(DRAIN_SECONDS)
        await _end(recorder)
        await self._prober.close()
        await self._live.close()
        await self._shadows.close()
        await self._http.close()
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
        if is_news:
            self._wake(resource, obj)

    def keep_only(self, resource: Resource, live: set[tuple[str, str, str]], resource_version: str) -> None:
        """Take in which objects of a kind there are: what a watch did not tell of is gone."""
        for obj in self.cache.prune(resource, live, resource_version):
            self._applier.forget(resource, obj["metadata"].get("namespace"), obj["metadata"]["name"])
            self._wake(resource, obj)

    def relisted(self) -> None:
        """Note that kopf has begun a list: it shows what is there, but not what is gone since its last watch."""
        self._relisted.set()

    def not_alive(self) -> str | None:
        """Say why this process should be restarted, if it should."""
        stuck = max(work.queue.longest_running for work in self._work)
        return f"a reconcile has been running for {stuck:.0f} s" if stuck > STUCK_SECONDS else None

    def not_ready(self) -> str | None:
        """Say why this replica cannot do its work, if it cannot: a standby is ready too."""
        if self._elector.is_leader and not self._synced:
            return "leads, but has not read the cluster's state yet"
        for reflector in self._reflectors:
            if not reflector.has_listed:
                return f"has not read {reflector.source.resource} yet: {reflector.trouble}"
        return None if self._elector.holder or self._elector.is_leader else "has not seen a leader yet"

    async def _stand_for_election(self) -> None:
        """Lead whenever the lease can be had. An outage of the API server costs the lead, not the warm cache."""
        for reflector in self._reflectors:
            await reflector.listed()
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
        await self._recall.check()
        self._synced = True
        memory.settle()
        logger.info("leads: %d Models", len(self.cache.keys(MODELS)))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pruner.run())
            group.create_task(self._prune_after_relists())
            group.create_task(self._guard.run())
            group.create_task(self._recall.run())
            group.create_task(memory.give_back_after_bursts(self._is_busy))
            for work in self._work:
                group.create_task(work.run())

    async def _stop_leading(self) -> None:
        self._synced = False
        await asyncio.gather(*(work.queue.stop() for work in self._work))
        await self._live.close()

    async def sync(self) -> None:
        """Know everything once: a decision made on half a cache would be a wrong decision."""
        for reflector in self._reflectors:
            await reflector.refresh(FRESH_SECONDS)
        for reader in self._readers:  # last: what they name must be there before they are looked at
            await reader.read()

    def _is_moving(self, key: Key) -> bool:
        uid = self.cache.uid(ObjectKey(MODELS, *key))
        return uid is not None and self._log.is_moving(uid)

    def _is_busy(self) -> bool:
        return any(work.queue.depth or work.queue.longest_running for work in self._work)

    async def _prune_after_relists(self) -> None:
        """Find out what is gone whenever kopf has listed its kinds anew."""
        self._relisted.clear()
        while True:
            await self._relisted.wait()
            await asyncio.sleep(RETRY_SECONDS)  # the list goes on for a moment
            self._relisted.clear()
            for kind in BY_KOPF:
                await self._pruner.check(Scope(kind))

    async def _on_missed(self, missed: Missed) -> None:
        kind = missed.scope.resource
        if missed.rewound:
            # Everything held in memory is from a future that did not happen.
            logger.error("%s: the API server's state went back in time; starting again", kind)
            handover.leave(self._left, self._log.known_heads())
            self.failed.set()
            return
        for obj in missed.removed:
            logger.warning("%s was deleted without an event", key_of(kind, obj))
            self._applier.forget(kind, obj["metadata"].get("namespace"), obj["metadata"]["name"])
            self._wake(kind, obj)
        for key in missed.unseen:
            try:
                self.observe(kind, None, await self._client.get(kind, key.namespace, key.name))
            except NotFound:
                continue

    def _silent_for(self) -> float:
        return self._silence()

    def _policies_wrong(self) -> str:
        return self._guard.wrong

    def _wake(self, kind: Resource, obj: Json) -> None:
        for work in self._work:
            work.wake(kind, obj)

    def _wake_all(self) -> None:
        for work in self._work:
            work.wake_all()

    def _work_of(
        self,
        queue: WorkQueue[Key],
        workers: int,
        kind: Resource,
        concerned: Callable[[Resource, Json], Iterable[Key]],
        reconcile: Callable[[Key], Awaitable[float | None]],
    ) -> Work:
        return Work(queue, workers, concerned, reconcile, lambda: self._keys(kind))

    def _sources(self) -> SourceFactory:
        settings = self._config.metrics
        return SourceFactory(self._metric_source, self._http, default=settings.source, counters=settings.counters)

    def _metric_source(self, name: str) -> MetricSource | None:
        obj = self.cache.get(METRICSOURCES, None, name)
        return MetricSource.model_validate(obj) if obj is not None else None

    def _keys(self, kind: Resource) -> Iterator[Key]:
        return ((key.namespace, key.name) for key in self.cache.keys(kind))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._done)
        self._tasks.append(task)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        if task.exception() is not None:
            logger.error("%s ended", task.get_name(), exc_info=task.exception())
        if isinstance(task.exception(), StateRewound):
            handover.leave(self._left, self._log.known_heads())
        # None of these ends by itself: the process must start afresh.
        self.failed.set()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
