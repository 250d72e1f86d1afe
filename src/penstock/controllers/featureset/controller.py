"""Reconciles one FeatureSet: read what its Job found, see whether a validation is due, show what is known."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.conditions import Reason, describe
from penstock.api.v1alpha1.featureset import FeatureSet
from penstock.api.v1alpha1.featuresetstatus import FeatureSetStatus, Verdict
from penstock.controllers.config import OperatorConfig
from penstock.controllers.featureset import job as jobs
from penstock.controllers.featureset import outcome as outcomes
from penstock.controllers.featureset import status as statuses
from penstock.controllers.resources import FEATURESETS
from penstock.domain.data import runs
from penstock.kube.applier import Applier, OwnerConflict
from penstock.kube.cache import Cache
from penstock.kube.client import KubeClient
from penstock.kube.errors import Forbidden, Invalid, NotFound
from penstock.kube.events import EventRecorder
from penstock.kube.resources import JOBS, PODS, uid_of

Json = dict[str, Any]
FeatureSetKey = tuple[str, str]
logger = logging.getLogger(__name__)

REFUSED_SECONDS = 10.0


class FeatureSetController:
    """Keeps each dataset validated. One call handles one FeatureSet."""

    def __init__(
        self,
        client: KubeClient,
        cache: Cache,
        applier: Applier,
        events: EventRecorder,
        config: OperatorConfig,
        clock: Callable[[], datetime],
        policies_wrong: Callable[[], str] = str,
    ) -> None:
        self._client = client
        self._cache = cache
        self._applier = applier
        self._events = events
        self._config = config
        self._clock = clock
        self._policies_wrong = policies_wrong

    async def reconcile(self, key: FeatureSetKey) -> float | None:
        """Handle one FeatureSet; return the seconds after which to look again, None if only events matter."""
        obj = self._cache.get(FEATURESETS, *key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return None
        feature_set = FeatureSet.model_validate(obj)
        now = self._clock()
        if wrong := self._policies_wrong():
            # Without the admission policies anybody could have made the pod that says the data is valid.
            problem = describe(Reason.POLICY_MISSING, detail=wrong)
            await self._show(feature_set, feature_set.status, "", problem, now)
            return REFUSED_SECONDS
        try:
            return await self._step(key, feature_set, now)
        except (Forbidden, Invalid) as error:
            if isinstance(error, Forbidden) and error.namespace_terminating:
                return None
            await self._show(feature_set, feature_set.status, "", error.message, now)
            return REFUSED_SECONDS
        except (OwnerConflict, ValueError) as error:
            await self._show(feature_set, feature_set.status, "", str(error), now)
            return REFUSED_SECONDS

    async def _step(self, key: FeatureSetKey, feature_set: FeatureSet, now: datetime) -> float | None:
        known, waiting = feature_set.status, ""
        definition = runs.definition_hash(feature_set.spec)
        job = self._newest_job(feature_set)
        running = False
        if job is not None and outcomes.run_of(job).definition == definition:
            run = outcomes.run_of(job)
            taken_in = known.run is not None and known.run.job == run.job and known.run.finished is not None
            if not taken_in:
                seen = await self._outcome(key, job)
                if seen.result is None:
                    running, waiting = True, seen.waiting
                    known = known.model_copy(update={"run": run})
                else:
                    baseline = job["metadata"]["annotations"].get(jobs.BASELINE_ANNOTATION, "")
                    known = statuses.record(feature_set, run, baseline, seen.result, now)
                    self._tell(feature_set, known)
        until = statuses.stale_at(feature_set.spec, known)
        if not running:
            due = runs.decide(feature_set.spec, known.run, now)
            if isinstance(due, runs.Start):
                known = await self._start(key, feature_set.model_copy(update={"status": known}), due, now)
            elif due.until is not None:
                until = min(until, due.until) if until is not None and until > now else due.until
        await self._show(feature_set, known, waiting, "", now)
        return (until - now).total_seconds() + 0.01 if until is not None and until > now else None

    async def _outcome(self, key: FeatureSetKey, job: Json) -> outcomes.Outcome:
        """How a Job is. Its end may be seen before the last words of its pod: then the API server is asked for them."""
        seen = outcomes.outcome(job, self._cache.by_label(PODS, key[0], jobs.FEATURE_SET_LABEL, key[1]))
        if seen.result is None or seen.result.verdict is not Verdict.ERROR:
            return seen
        pods, _ = await self._client.list(PODS, key[0], label_selector=f"{jobs.FEATURE_SET_LABEL}={key[1]}")
        return outcomes.outcome(job, pods)

    async def _start(
        self, key: FeatureSetKey, feature_set: FeatureSet, due: runs.Start, now: datetime
    ) -> FeatureSetStatus:
        """Make the Job that is due; the earlier ones go: their results are taken in or of no use any more."""
        desired = jobs.build(feature_set, due, self._config, now)
        applied = await self._applier.apply(JOBS, desired, owner_uid=feature_set.metadata.uid)
        for old in self._jobs(feature_set):
            if old["metadata"]["name"] != desired["metadata"]["name"]:
                await self._applier.delete(JOBS, key[0], old["metadata"]["name"], uid=uid_of(old))
        run = outcomes.run_of(applied.obj)
        logger.info("%s/%s: starts %s (%s, attempt %d)", *key, run.job, run.trigger, run.attempt)
        return feature_set.status.model_copy(update={"run": run})

    def _newest_job(self, feature_set: FeatureSet) -> Json | None:
        return max(
            self._jobs(feature_set),
            key=lambda job: (job["metadata"].get("creationTimestamp", ""), job["metadata"]["name"]),
            default=None,
        )

    def _jobs(self, feature_set: FeatureSet) -> list[Json]:
        """The Jobs that this FeatureSet owns: a Job that only bears its label proves nothing."""
        owned = self._cache.owned_by(feature_set.metadata.uid)
        return [obj for kind, obj in owned if kind is JOBS and not obj["metadata"].get("deletionTimestamp")]

    async def _show(
        self, feature_set: FeatureSet, known: FeatureSetStatus, waiting: str, problem: str, now: datetime
    ) -> None:
        status = statuses.show(feature_set, known, waiting, problem, now).as_json()
        meta = feature_set.metadata
        live = self._cache.get(FEATURESETS, meta.namespace, meta.name)
        if live is None or status == live.get("status"):
            return
        body = {
            "apiVersion": API_VERSION,
            "kind": FEATURESETS.kind,
            "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
            "status": status,
        }
        try:
            written = await self._applier.apply_status(FEATURESETS, body)
        except NotFound:
            return
        self._cache.take_answer(FEATURESETS, written)

    def _tell(self, feature_set: FeatureSet, known: FeatureSetStatus) -> None:
        run = known.run
        if run is None or run.verdict is None or run.reason is None:
            return
        failed = known.current.failed_checks if known.current and run.verdict is Verdict.FAIL else None
        self._events.record(
            {"apiVersion": API_VERSION, "kind": FEATURESETS.kind, "metadata": feature_set.metadata.as_json()},
            type="Normal" if run.verdict is Verdict.PASS else "Warning",
            reason=run.reason,
            action="Validate",
            note=failed or run.message or f"{run.verdict.value}: {run.reason}",
        )
