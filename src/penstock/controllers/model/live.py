"""Compares the live traffic of candidates, and gets to know that of stable revisions. Never blocks a reconcile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.api.v1alpha1.rollout import Canary
from penstock.api.v1alpha1.serving import Runtime
from penstock.controllers.model import measures, names
from penstock.controllers.model import meter as meters
from penstock.controllers.model.children import server_port
from penstock.controllers.model.gathered import Gathered
from penstock.controllers.model.meter import Meter, ModelKey, Reader, Tracks
from penstock.controllers.model.outlooks import look_ahead
from penstock.controllers.model.scope import Scope
from penstock.controllers.model.workloads import ready_addresses
from penstock.domain.canary.analysis import AnalysisResult
from penstock.domain.lifecycle.classify import deadline_of
from penstock.domain.lifecycle.observed import LiveView
from penstock.metrics.factory import SourceFactory

logger = logging.getLogger(__name__)
LOOK_SECONDS = 5.0
# So many Models are read at the same time; the others wait their turn.
AT_ONCE = 32
# A status that changes with every reading would be written with every reading.
HISTORY_KEPT_EVERY = timedelta(minutes=15)
_COMPARED = frozenset({Stage.CANARY, Stage.AWAITING_APPROVAL})


class Live:
    """Keeps a meter for every Model with a canary. `wake` is called with the Model's key after a reading."""

    def __init__(
        self,
        sources: SourceFactory,
        wake: Callable[[ModelKey], None],
        clock: Callable[[], datetime],
        *,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._reader = Reader(sources, clock)
        self._clock = clock
        self._wake = wake
        self._look_seconds = look_seconds
        self._meters: dict[ModelKey, Meter] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        # What status shows of the history, and since when.
        self._kept: dict[ModelKey, tuple[datetime, dict[str, Any] | None]] = {}

    def look(self, scope: Scope, state: Checkpoint, now: datetime) -> Gathered:
        """Return what live traffic shows by now; begins, goes on and ends the reading as the state asks for."""
        key = (scope.identity.namespace, scope.identity.name)
        canary = _canary(scope, state)
        if canary is None or state.stable is None:
            self.forget(key)
            return Gathered()
        tracks = _tracks(scope, state, canary)
        meter = self._meter(key, tracks, scope, state, now)
        found = Gathered(burstiness=self._burstiness(key, meter, scope, now))
        if meter.session is None:
            return found
        try:
            results = meter.session.results(meter.history, now)
            expected, too_little = _ahead(results, scope, state, now)
            return replace(found, live=_view(scope, meter, results, now), eta=expected, too_little=too_little)
        except Exception:
            # Numbers that cannot be made out are missing evidence: people and crashes can still take a candidate back.
            logger.exception("%s/%s: what was read cannot be compared", *key)
            said = "what was read cannot be compared; the operator's log says why"
            return replace(found, live=LiveView(sighted=False, message=said))

    def source_of(self, key: ModelKey) -> str:
        """Say where a Model's numbers come from; empty if nothing is read."""
        meter = self._meters.get(key)
        return meter.source if meter else ""

    def forget(self, key: ModelKey) -> None:
        """Stop reading a Model's counters."""
        meter = self._meters.pop(key, None)
        self._kept.pop(key, None)
        if meter is not None and meter.task is not None:
            meter.task.cancel()

    async def close(self) -> None:
        """Stop reading."""
        tasks = [meter.task for meter in self._meters.values() if meter.task is not None]
        for task in tasks:
            task.cancel()
        self._meters.clear()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _meter(self, key: ModelKey, tracks: Tracks, scope: Scope, state: Checkpoint, now: datetime) -> Meter:
        analyses = measures.analyses(tracks.declared, tracks.warmup)
        meter = self._meters.get(key)
        if meter is None:
            history = meters.remembered(key, scope.model.status.burstiness, analyses)
            meter = self._meters[key] = Meter(tracks, analyses, history)
            meters.take_up(meter, now, _kept(scope, state))
        elif meter.analyses != analyses or meter.tracks.stable != tracks.stable:
            # Another stable revision, or other comparisons: what was counted belongs to what was.
            self._stop(meter)
            fresh = meters.renewed(meter, analyses)
            meter = self._meters[key] = replace(fresh, tracks=tracks, task=None)
            meters.take_up(meter, now, _kept(scope, state))
        else:
            before = meter.comparison
            meters.go_on(meter, tracks, now)
            if meter.comparison != before:
                meters.take_up(meter, now, _kept(scope, state))
        if meter.task is None or meter.task.done():
            meter.task = asyncio.get_running_loop().create_task(self._run(key))
        return meter

    async def _run(self, key: ModelKey) -> None:
        while (meter := self._meters.get(key)) is not None:
            async with self._turns:
                try:
                    await self._reader.read(meter)
                except Exception:
                    logger.exception("%s/%s: a reading failed", *key)
                    meter.trouble = "a reading failed; the operator's log says why"
                    meter.failed(self._clock())
            if meter.session is not None or self._has_to_be_kept(key, meter):
                self._wake(key)
            await asyncio.sleep(self._look_seconds)

    @staticmethod
    def _stop(meter: Meter) -> None:
        if meter.task is not None:
            meter.task.cancel()

    def _burstiness(self, key: ModelKey, meter: Meter, scope: Scope, now: datetime) -> dict[str, Any] | None:
        """What status keeps of the history: renewed now and then, and only if there was traffic."""
        since, kept = self._kept.setdefault(key, (now, scope.model.status.burstiness))
        if meter.busy and now - since >= HISTORY_KEPT_EVERY:
            meter.busy, kept = False, meter.history.as_json()
            self._kept[key] = now, kept
        return kept

    def _has_to_be_kept(self, key: ModelKey, meter: Meter) -> bool:
        return meter.busy and key in self._kept and self._clock() - self._kept[key][0] >= HISTORY_KEPT_EVERY


def _view(scope: Scope, meter: Meter, results: Sequence[AnalysisResult], now: datetime) -> LiveView:
    sighted = meter.sighted(now)
    without = _counts_nothing(scope, meter) if sighted is False else ""
    return LiveView(
        sighted=sighted,
        unmeasurable=bool(without),
        message=without or meter.trouble or "no numbers yet",
        requests=max((item.step_n for item in results), default=0),
        findings=measures.findings(results),
        tests=meters.kept(meter),
    )


def _ahead(
    results: Sequence[AnalysisResult], scope: Scope, state: Checkpoint, now: datetime
) -> tuple[datetime | None, str]:
    candidate = state.candidate
    if candidate is None or candidate.stage is not Stage.CANARY:
        return None, ""
    return look_ahead(results, candidate, deadline_of(state, scope.seen), now)


def _canary(scope: Scope, state: Checkpoint) -> Canary | None:
    candidate = state.candidate
    if candidate is not None and candidate.plan is not None and candidate.stage in _COMPARED and not candidate.cites:
        return candidate.plan.canary
    return scope.model.spec.rollout.canary


def _kept(scope: Scope, state: Checkpoint) -> dict[str, Any] | None:
    """The newest state of the tests: status is written more often than decisions are taken."""
    candidate, shown = state.candidate, scope.model.status.tests
    if candidate is None:
        return None
    if shown and (shown.get("revision"), shown.get("entered")) == (candidate.revision, candidate.entered):
        return shown
    return candidate.tests


def _tracks(scope: Scope, state: Checkpoint, canary: Canary) -> Tracks:
    candidate, stable = state.candidate, state.stable or ""
    compared = candidate is not None and candidate.stage in _COMPARED and candidate.plan is not None
    compared = compared and candidate is not None and not candidate.cites and _has_begun(state)
    revision = candidate.revision if compared and candidate is not None else None
    pods = {
        name: {
            pod["metadata"]["name"]: pod["status"]["podIP"]
            for pod in scope.pods.get(name, [])
            if pod.get("status", {}).get("podIP") and not pod["metadata"].get("deletionTimestamp")
        }
        for name in (stable, revision)
        if name
    }
    return Tracks(
        key=(scope.identity.namespace, scope.identity.name),
        stable=stable,
        candidate=revision,
        entered=candidate.entered if revision and candidate is not None else 0,
        step=candidate.step if revision and candidate is not None and candidate.stage is Stage.CANARY else 0,
        steps=len(canary.steps),
        declared=tuple(canary.analysis),
        warmup=canary.warmup_seconds,
        pods=pods,
        ports={name: _port(scope, name) for name in pods},
        by_gateway=scope.gateway is not None,
    )


def _port(scope: Scope, revision: str) -> int:
    spec = scope.revisions.get(revision)
    return server_port(spec) if spec else names.REVISION_PORT


def _counts_nothing(scope: Scope, meter: Meter) -> str:
    """Say that a server of the owner's own was asked and shows no counters, so that waiting brings no numbers.

    Of the built-in server the same would only say that it does not answer now.
    """
    for revision, pods in meter.tracks.pods.items():
        spec = scope.revisions.get(revision)
        if spec is not None and spec.runtime is Runtime.CUSTOM:
            ready = ready_addresses(scope.pods.get(revision, []))
            for pod, said in meter.uncounted.items():
                if pods.get(pod) in ready:
                    return said
    return ""


def _has_begun(state: Checkpoint) -> bool:
    """Whether the candidate has had live traffic: in a canary, or waiting for approval behind one."""
    candidate = state.candidate
    if candidate is None:
        return False
    return candidate.stage is Stage.CANARY or candidate.tests is not None
