"""The shadow of a candidate: the Job that compares the answers, what it has counted so far, and what that means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint
from penstock.api.v1alpha1.evaluationgate import EvaluationGate, EvaluationGateSpec
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.controllers.config import OperatorConfig
from penstock.controllers.featureset.job import JOB_LABEL
from penstock.controllers.model.gathered import Gathered
from penstock.controllers.model.meter import LOST_SECONDS, ModelKey
from penstock.controllers.model.scope import Scope
from penstock.controllers.resources import EVALUATIONGATES
from penstock.controllers.shadow import job as jobs
from penstock.controllers.shadow.reader import ASK_SECONDS, Comparators, Source, address_of
from penstock.domain.gates.task import Disagreement
from penstock.domain.gates.view import disagreement_of
from penstock.domain.lifecycle.observed import Finding, LiveView
from penstock.domain.shadow.accumulate import accumulate
from penstock.domain.shadow.agreement import AnswerRule
from penstock.domain.shadow.judge import ShadowVerdict, judge
from penstock.domain.shadow.plan import Expectation, ShadowPlan
from penstock.domain.shadow.view import ShadowView
from penstock.kube.cache import Cache
from penstock.kube.resources import JOBS, PODS, uid_of

Json = dict[str, Any]


@dataclass(slots=True)
class _Shadow:
    """What is known of the shadow of one candidate; `entered` names the rollout."""

    revision: str
    entered: int
    view: ShadowView
    began: datetime
    good: datetime | None = None


class Shadows:
    """Looks at shadows. `comparators` asks in the background and wakes the Model when there is news."""

    def __init__(self, cache: Cache, config: OperatorConfig, comparators: Comparators) -> None:
        self._cache = cache
        self._config = config
        self._comparators = comparators
        self._known: dict[ModelKey, _Shadow] = {}

    def look(self, scope: Scope, state: Checkpoint, now: datetime) -> Gathered:
        """Return what the shadow shows by now and the Job that counts; without a shadow, the Jobs that may go."""
        key = (scope.identity.namespace, scope.identity.name)
        candidate, made = state.candidate, self._jobs(scope.identity.uid)
        shadow = candidate.plan.shadow if candidate is not None and candidate.plan is not None else None
        if candidate is None or shadow is None or candidate.stage is not Stage.SHADOW or state.stable is None:
            self.forget(key)
            return Gathered(gone=tuple(made))
        rule, expectation = self._measure(scope, candidate)
        comparison = jobs.Comparison(
            scope.identity.namespace,
            scope.identity.name,
            scope.identity.uid,
            state.stable,
            candidate.revision,
            rule,
            shadow.percent,
            candidate.attempt,
        )
        try:
            job = jobs.build(comparison, self._config)
        except ValueError as problem:
            return Gathered(live=LiveView(sighted=False, message=str(problem)), gone=tuple(made))
        known = self._take_up(key, scope, candidate, now)
        self._hear(key, known, comparison, made, shadow.min_samples, now)
        verdict = judge(known.view, expectation, ShadowPlan.of(shadow))
        trouble = self._comparators.problem(key) or "the comparator has not answered yet"
        lost = (now - (known.good or known.began)).total_seconds() > LOST_SECONDS
        live = LiveView(
            sighted=False if lost else (True if known.good is not None else None),
            message=trouble,
            tests={"revision": known.revision, "entered": known.entered, "shadow": known.view.as_json()},
        )
        gone = tuple(item for item in made if item["metadata"]["name"] != job["metadata"]["name"])
        again = now + timedelta(seconds=ASK_SECONDS)
        return Gathered(live=live, shadow=_finding(verdict), jobs=(job,), gone=gone, again=again)

    def forget(self, key: ModelKey) -> None:
        """Drop what is known of a shadow that is over."""
        if self._known.pop(key, None) is not None:
            self._comparators.forget(key)

    async def close(self) -> None:
        """Stop asking."""
        self._known.clear()
        await self._comparators.close()

    def _take_up(self, key: ModelKey, scope: Scope, candidate: CandidateState, now: datetime) -> _Shadow:
        known = self._known.get(key)
        if known is None or (known.revision, known.entered) != (candidate.revision, candidate.entered):
            view = _kept(scope.model.status.tests, candidate) or _kept(candidate.tests, candidate) or ShadowView()
            known = self._known[key] = _Shadow(candidate.revision, candidate.entered, view, now)
        return known

    def _hear(
        self,
        key: ModelKey,
        known: _Shadow,
        comparison: jobs.Comparison,
        made: list[Json],
        min_samples: int,
        now: datetime,
    ) -> None:
        job = next((item for item in made if item["metadata"]["name"] == jobs.name_of(comparison)), None)
        if job is None:
            return
        pods = [obj for kind, obj in self._cache.owned_by(uid_of(job)) if kind is PODS and _is_ours(obj)]
        address = address_of(job, pods)
        if not address:
            known.view = accumulate(known.view, None, min_samples)
            return
        source = Source(uid_of(job), address, comparison.model, comparison.champion, comparison.candidate)
        reading = self._comparators.reading(key, source)
        if reading is not None and reading.candidate_pods > 0 and reading.champion_pods > 0:
            known.good = now
        known.view = accumulate(known.view, reading, min_samples)

    def _measure(self, scope: Scope, candidate: CandidateState) -> tuple[AnswerRule, Expectation]:
        """How answers are compared, and how often they differed on the held-out rows: by the first gate that knows."""
        gate: EvaluationGateSpec | None = None
        found: Disagreement | None = None
        for proof in candidate.proofs:
            found = disagreement_of(proof.expected)
            gate = self._gate(scope.identity.namespace, proof.gate)
            if found is not None and gate is not None:
                break
        rule = AnswerRule.of(gate, found)
        return rule, Expectation.of(found, rule)

    def _gate(self, namespace: str, name: str) -> EvaluationGateSpec | None:
        obj = self._cache.get(EVALUATIONGATES, namespace, name)
        try:
            return EvaluationGate.model_validate(obj).spec if obj is not None else None
        except ValidationError:
            return None

    def _jobs(self, uid: str) -> list[Json]:
        return [
            obj
            for kind, obj in self._cache.owned_by(uid)
            if kind is JOBS and _is_ours(obj) and not obj["metadata"].get("deletionTimestamp")
        ]


def _is_ours(obj: Json) -> bool:
    return (obj["metadata"].get("labels") or {}).get(JOB_LABEL) == jobs.COMPARE


def _kept(tests: Mapping[str, Any] | None, candidate: CandidateState) -> ShadowView | None:
    if not tests or (tests.get("revision"), tests.get("entered")) != (candidate.revision, candidate.entered):
        return None
    try:
        return replace(ShadowView.from_json(tests["shadow"]), present=False) if "shadow" in tests else None
    except ValueError:
        return None


def _finding(verdict: ShadowVerdict) -> Finding:
    numbers = {
        "pairs": verdict.n,
        "disagreements": verdict.differing,
        "missing": verdict.missing,
        "expected": _text(verdict.expected),
        "excess": _text(verdict.excess),
        "lower": _text(verdict.lower),
        "upper": _text(verdict.upper),
        "threshold": _text(verdict.threshold),
        "reason": verdict.reason.value,
    }
    return Finding("shadow", verdict.verdict.value, verdict.message, verdict.n, numbers)


def _text(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"
