"""What the Model controller asks about the gates of a revision: what each says, and which Jobs that needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from penstock.api.v1alpha1.checkpoint import Proof
from penstock.api.v1alpha1.conditions import Reason, describe
from penstock.api.v1alpha1.evaluationgate import EvaluationGate, OnInconclusive
from penstock.api.v1alpha1.featureset import FeatureSet
from penstock.api.v1alpha1.modelrevision import ModelRevisionSpec
from penstock.controllers.config import OperatorConfig
from penstock.controllers.gates import job as jobs
from penstock.controllers.gates import outcome as outcomes
from penstock.controllers.model import names
from penstock.controllers.resources import EVALUATIONGATES, FEATURESETS
from penstock.domain.gates import runs
from penstock.domain.gates.bars import bars
from penstock.domain.gates.holdout import Rows, Unusable, rows_of
from penstock.domain.gates.judge import Asked, judge, refuse
from penstock.domain.gates.task import GateResult
from penstock.domain.gates.verdict import GateVerdict, Verdict, short
from penstock.domain.gates.view import GateView
from penstock.kube.cache import Cache
from penstock.kube.client import KubeClient
from penstock.kube.resources import JOBS, PODS, uid_of

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """What the Model controller wants to know.

    `candidate`: the revision that is asked; with `itself` the stable one, which is compared with nothing. `champion`:
    the stable revision, None for a first one. `gates`: the names in the plan. `proofs`: all that the log still says
    about gates of this Model: what may be used again is, and the Jobs behind them may go. `round`: names the asking;
    of any but the first (the action Evaluate) only proofs of that round are used. `training_digests`: the datasets
    that the revision's lineage names.
    """

    namespace: str
    model: str
    model_uid: str
    candidate: ModelRevisionSpec
    champion: ModelRevisionSpec | None
    gates: Sequence[str]
    proofs: Sequence[Proof] = ()
    training_digests: Collection[str] = frozenset()
    round: int = 1
    itself: bool = False

    def about(self, gate: str) -> list[Proof]:
        """Return what the log says about a gate and the candidate."""
        return [item for item in self.proofs if (item.gate, item.revision) == (gate, self.candidate.revision)]


@dataclass(frozen=True, slots=True)
class Looked:
    """`apply`: the Jobs that must exist, to be applied with the Model's uid as owner; `delete`: those that may go."""

    views: tuple[GateView, ...] = ()
    apply: tuple[Json, ...] = ()
    delete: tuple[Json, ...] = ()

    @property
    def again(self) -> datetime | None:
        """When the next attempt is due, if nothing happens before."""
        return min((view.retry_at for view in self.views if view.retry_at is not None), default=None)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A Job of ours, read."""

    job: Json
    noted: outcomes.Noted
    outcome: outcomes.Outcome


@dataclass(frozen=True, slots=True)
class _Ready:
    """A gate whose rows are known. `view`: what is known of it before any evaluation."""

    gate: EvaluationGate
    rows: Rows
    view: GateView


class Evaluations:
    """Looks at the gates of a revision. Writes nothing itself."""

    def __init__(self, client: KubeClient, cache: Cache, config: OperatorConfig) -> None:
        self._client = client
        self._cache = cache
        self._config = config

    async def look(self, ask: Ask, now: datetime) -> Looked:
        """Say what each gate says now. Call it again whenever a Job, a gate or a FeatureSet changes, and at `again`."""
        read = [await self._read(ask, job) for job in self._jobs(ask.model_uid)]
        mine = [seen for seen in read if seen is not None]
        views: list[GateView] = []
        apply: list[Json] = []
        keep: set[str] = set()
        for name in ask.gates:
            view, order = self._one(ask, name, mine, now)
            newest = _newest(mine, name, ask.candidate.revision)
            if order is not None:
                try:
                    apply.append(jobs.build(order, self._config, now))
                    keep.add(jobs.name_of(order))
                except ValueError as problem:
                    view = replace(view, attempt=0, running=False, waiting=str(problem))
            elif newest is not None and _is_needed(newest, view, ask):
                keep.add(newest.job["metadata"]["name"])
            views.append(view)
        delete = [seen.job for seen in mine if seen.job["metadata"]["name"] not in keep]
        return Looked(tuple(views), tuple(apply), tuple(delete))

    def leftovers(self, model_uid: str) -> list[Json]:
        """Return every evaluation Job of a Model: when no revision is being evaluated, all of them may go."""
        return [job for job in self._jobs(model_uid) if outcomes.noted(job) is not None]

    def _one(self, ask: Ask, name: str, mine: Sequence[_Seen], now: datetime) -> tuple[GateView, jobs.Order | None]:
        ready = self._ready(ask.namespace, name)
        if isinstance(ready, GateView):
            return ready, None
        gate, view = ready.gate, ready.view
        refused = refuse(ready.rows.digest, ask.training_digests)
        if refused is not None:
            # Without a Job of its own it counts as the attempt that would have been made.
            return replace(_told(view, refused), attempt=1), None
        asked, target = _asked(ask, ready.rows), runs.Target(ask.candidate.revision, _hash(gate), ready.rows.digest)
        proofs = [proof for proof in ask.about(name) if ask.round in (1, proof.evaluation)]
        newest = _newest(mine, name, ask.candidate.revision)
        last = _attempt(newest, gate, asked, ask.round, now)
        has_champion, made = ask.champion is not None, _highest(newest, ask.about(name))
        recorded = [_recorded(proof) for proof in proofs]
        due = runs.decide(target, recorded, last, now, has_champion=has_champion, made=made)
        if isinstance(due, runs.Start):
            view = replace(view, attempt=due.attempt, running=True, waiting=_running(due.attempt, ""))
            return view, jobs.Order(
                namespace=ask.namespace,
                model=ask.model,
                model_uid=ask.model_uid,
                gate=gate,
                rows=ready.rows,
                target=target,
                candidate=ask.candidate,
                champion=ask.champion,
                attempt=due.attempt,
                round=ask.round,
            )
        if isinstance(due, runs.Reuse) and due.recorded is not None:
            return _of_proof(view, proofs[recorded.index(due.recorded)], gate), None
        return _of_attempt(view, newest, last, due, asked), None

    def _ready(self, namespace: str, name: str) -> _Ready | GateView:
        obj = self._cache.get(EVALUATIONGATES, namespace, name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return _waits(GateView(name, present=False, valid=False), Reason.GATE_MISSING)
        try:
            gate = EvaluationGate.model_validate(obj)
        except ValidationError as problem:
            # An object of a newer CRD than this operator.
            return _waits(GateView(name, valid=False), Reason.INVALID_SPEC, str(problem).splitlines()[0])
        view = GateView(name, spec_hash=_hash(gate), bars=bars(gate.spec))
        rows = rows_of(gate.spec, self._feature_set(namespace, gate))
        if isinstance(rows, Unusable):
            return _waits(replace(view, valid=rows.pending), rows.reason, rows.detail)
        holdout = gate.status.holdout
        looks = holdout.revisions if holdout is not None and holdout.digest == rows.digest else 0
        return _Ready(gate, rows, replace(view, dataset_digest=rows.digest, looks=looks))

    def _feature_set(self, namespace: str, gate: EvaluationGate) -> FeatureSet | None:
        reference = gate.spec.dataset.feature_set_ref
        obj = self._cache.get(FEATURESETS, namespace, reference.name) if reference else None
        return FeatureSet.model_validate(obj) if obj is not None else None

    def _jobs(self, model_uid: str) -> list[Json]:
        """The Jobs that this Model owns: a Job that only bears its label proves nothing."""
        owned = self._cache.owned_by(model_uid)
        return [obj for kind, obj in owned if kind is JOBS and not obj["metadata"].get("deletionTimestamp")]

    async def _read(self, ask: Ask, job: Json) -> _Seen | None:
        noted = outcomes.noted(job)
        if noted is None:
            return None
        seen = outcomes.outcome(job, [obj for kind, obj in self._cache.owned_by(uid_of(job)) if kind is PODS])
        if seen.guessed:
            # A Job's end may be seen before the last words of its pod: then the API server is asked for them.
            selector = f"{jobs.GATE_LABEL}={noted.gate},{names.MODEL_LABEL}={ask.model}"
            live, _ = await self._client.list(PODS, ask.namespace, label_selector=selector)
            seen = outcomes.outcome(job, live)
        return _Seen(job, noted, seen)


def _hash(gate: EvaluationGate) -> str:
    return runs.gate_hash(gate.spec)


def _asked(ask: Ask, rows: Rows) -> Asked:
    champion = ask.champion
    return Asked(
        revision=ask.candidate.revision,
        dataset_digest=rows.digest,
        runtime=ask.candidate.runtime,
        champion=champion.revision if champion else None,
        champion_runtime=champion.runtime if champion else ask.candidate.runtime,
        training_digests=ask.training_digests,
        itself=ask.itself,
    )


def _is_needed(newest: _Seen, view: GateView, ask: Ask) -> bool:
    """Whether a Job must stay: its result is not in the log yet, or it says from when on to count to the next try."""
    logged = any(proof.attempt == newest.noted.attempt for proof in ask.about(view.name))
    return not logged or view.running or view.retry_at is not None


def _newest(mine: Iterable[_Seen], gate: str, revision: str) -> _Seen | None:
    about = [item for item in mine if item.noted.gate == gate and item.noted.target.revision == revision]
    return max(about, key=lambda item: item.noted.attempt, default=None)


def _attempt(
    newest: _Seen | None, gate: EvaluationGate, asked: Asked, round_: int, now: datetime
) -> runs.Attempt | None:
    """Return the newest Job as an attempt; None if it belongs to an earlier round, whose results are not this one's."""
    if newest is None or newest.noted.round != round_:
        return None
    noted, result = newest.noted, newest.outcome.result
    if result is None:
        return runs.Attempt(noted.target, noted.attempt, noted.started)
    verdict = judge(gate.spec, result, asked)
    return runs.Attempt(noted.target, noted.attempt, noted.started, noted.finished or now, result, verdict)


def _highest(newest: _Seen | None, proofs: Iterable[Proof]) -> int:
    """Return the highest attempt that is known of a gate and revision, so that no number is used twice."""
    return max([newest.noted.attempt if newest else 0, *(proof.attempt for proof in proofs)])


def _recorded(proof: Proof) -> runs.Recorded:
    target = runs.Target(proof.revision, proof.spec_hash, proof.dataset_digest or "")
    try:
        verdict = Verdict(proof.verdict)
    except ValueError:
        # Of a newer operator: it is no evidence for this one.
        verdict = Verdict.ERROR
    return runs.Recorded(target, proof.attempt, verdict)


def _of_proof(base: GateView, proof: Proof, gate: EvaluationGate) -> GateView:
    verdict = Verdict(proof.verdict)
    asks = gate.spec.on_inconclusive is OnInconclusive.REQUIRE_APPROVAL
    return replace(
        base,
        attempt=proof.attempt,
        verdict=verdict,
        needs_approval=verdict is Verdict.INCONCLUSIVE and asks,
        reason=proof.reason,
        message=proof.message,
        numbers=tuple(proof.numbers),
        report_digest=proof.report_digest,
        expected_disagreement=proof.expected,
        reused=True,
    )


def _told(base: GateView, verdict: GateVerdict) -> GateView:
    return replace(
        base,
        verdict=verdict.verdict,
        needs_approval=verdict.needs_approval,
        reason=verdict.reason,
        message=verdict.message,
        numbers=tuple(verdict.numbers()),
    )


def _of_attempt(
    view: GateView, newest: _Seen | None, last: runs.Attempt | None, due: runs.Reuse | runs.Wait, asked: Asked
) -> GateView:
    if newest is None or last is None or last.verdict is None:
        number, waiting = (last.number, newest.outcome.waiting) if last and newest else (1, "")
        return replace(view, attempt=number, running=True, waiting=_running(number, waiting))
    view = replace(_told(view, last.verdict), attempt=last.number)
    if last.result is not None:
        expected = _expected(last.result, asked)
        view = replace(view, report_digest=last.result.report_digest, expected_disagreement=expected)
    if isinstance(due, runs.Wait):
        again = f"attempt {last.number} ended with {last.verdict.reason}: {last.verdict.message}"
        return replace(view, retry_at=due.until, waiting=again)
    return replace(view, fresh=True)


def _expected(result: GateResult, asked: Asked) -> Mapping[str, str | int] | None:
    """Return how far the two disagree on the holdout; None unless both answered every row."""
    found = result.disagreement
    if found is None or found.n == 0 or result.champion_failed or asked.champion is None:
        return None
    expected: dict[str, str | int] = {"n": found.n, "labelFlips": found.label_flips}
    if found.mean_absolute_difference is not None:
        expected["meanAbsoluteDifference"] = short(found.mean_absolute_difference)
    if found.p95 is not None:
        expected["p95"] = short(found.p95)
    return expected


def _waits(view: GateView, reason: Reason, detail: str = "") -> GateView:
    subject = f"EvaluationGate {view.name}"
    return replace(view, reason=reason.value, waiting=describe(reason, subject=subject, detail=detail or None))


def _running(attempt: int, waiting: str) -> str:
    text = "its Job is running" if attempt == 1 else f"its Job is running, attempt {attempt}"
    return f"{text}: {waiting}" if waiting else text
