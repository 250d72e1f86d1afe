"""What the numbers of an evaluation mean: one verdict per requirement, and one for the gate."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.evaluationgate import EvaluationGateSpec, OnInconclusive
from penstock.api.v1alpha1.serving import Runtime
from penstock.domain.gates.bounds import NOT_FINITE, Bound, Measured, judge_interval
from penstock.domain.gates.champion import (
    Champion,
    judge_absolute,
    judge_against,
    own_bound,
)
from penstock.domain.gates.slices import judge_slices
from penstock.domain.gates.task import GateResult, GateStatus, LatencyResult, MetricResult, Problem
from penstock.domain.gates.verdict import GateVerdict, Requirement, Verdict, rank, worst_of

_SHOWN = 4
_SENTENCE_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a Job was asked about, to be compared with what answered.

    `champion`: the stable revision, None for a first one. `itself`: it is the stable revision that is asked, and its
    absolute bars alone count. `training_digests`: the datasets that the revision was trained on, by its lineage.
    """

    revision: str
    dataset_digest: str
    runtime: Runtime = Runtime.PENSTOCK
    champion: str | None = None
    champion_runtime: Runtime = Runtime.PENSTOCK
    training_digests: Collection[str] = ()
    itself: bool = False


def judge(spec: EvaluationGateSpec, result: GateResult, asked: Asked) -> GateVerdict:
    """Say what a result means. Nothing that is missing, not finite or about something else is ever a Pass."""
    refused = refuse(asked.dataset_digest, asked.training_digests) or _no_evidence(result, asked)
    if refused is not None:
        return refused
    requirements = tuple(
        sorted(_requirements(spec, result, asked), key=lambda item: (rank(item.effect), rank(item.verdict)))
    )
    verdict = worst_of(*(item.effect for item in requirements))
    reason, follows = _said(verdict, requirements, itself=asked.itself)
    if verdict is Verdict.INCONCLUSIVE and spec.on_inconclusive is OnInconclusive.FAIL:
        verdict, follows = Verdict.FAIL, "the rows are too few to tell, and spec.onInconclusive is Fail"
    needs_approval = verdict is Verdict.INCONCLUSIVE and spec.on_inconclusive is OnInconclusive.REQUIRE_APPROVAL
    return GateVerdict(verdict, reason, _message(follows, requirements), requirements, needs_approval)


def refuse(dataset_digest: str, training_digests: Collection[str]) -> GateVerdict | None:
    """Refuse rows that the candidate was trained on: known before any Job is made."""
    if dataset_digest not in training_digests:
        return None
    message = (
        "the holdout is the dataset that the revision was trained on, as its lineage says, and would pass whatever was"
        " learnt by heart: name other rows in the gate's spec.dataset"
    )
    return GateVerdict(Verdict.ERROR, Reason.HOLDOUT_IS_TRAINING_DATA.value, message)


def _no_evidence(result: GateResult, asked: Asked) -> GateVerdict | None:
    """Say what keeps a result from being evidence about this revision on these rows."""
    if result.status is GateStatus.ERROR:
        return GateVerdict(Verdict.ERROR, result.reason, result.message, again=True)
    if _other(result.answered, asked.revision, asked.runtime):
        told = result.answered or "no revision"
        message = f"the server that answered says that it is {told}, not {asked.revision}"
        return GateVerdict(Verdict.ERROR, Reason.WRONG_REVISION.value, message, again=True)
    if result.dataset_digest != asked.dataset_digest:
        message = f"the rows have the digest {result.dataset_digest or 'unknown'}, not {asked.dataset_digest}"
        return GateVerdict(Verdict.ERROR, Reason.SOURCE_DIGEST_MISMATCH.value, message, again=True)
    if result.rows == 0:
        return GateVerdict(Verdict.NO_DATA, Reason.EMPTY_DATASET.value, "the holdout has no rows")
    if result.failed:
        message = (
            f"the revision did not answer {result.failed} of {result.rows} rows, and the others alone prove nothing"
        )
        return GateVerdict(Verdict.ERROR, Reason.PREDICTIONS_FAILED.value, message, again=True)
    return None


def _other(answered: str | None, expected: str, runtime: Runtime) -> bool:
    """Whether something else answered. A server of the owner's need not say what it is."""
    if answered is None:
        return runtime is Runtime.PENSTOCK
    return answered != expected


def _champion(result: GateResult, asked: Asked) -> Champion:
    if asked.champion is None:
        return Champion.ITSELF if asked.itself else Champion.NONE
    silent = result.champion_failed or _other(result.champion_answered, asked.champion, asked.champion_runtime)
    return Champion.SILENT if silent else Champion.ANSWERED


def _requirements(spec: EvaluationGateSpec, result: GateResult, asked: Asked) -> Iterator[Requirement]:
    measured: dict[str, MetricResult] = {}
    for item in result.metrics:
        measured.setdefault(item.id, item)
    champion = _champion(result, asked)
    for metric in spec.metrics:
        found = measured.get(metric.key)
        if (own := own_bound(metric)) is not None:
            yield judge_absolute(metric.key, own, found)
        if metric.versus_champion is not None:
            yield judge_against(metric, metric.versus_champion, found, champion)
        if metric.slices is not None and (bound := Bound.of(metric.slices.min, metric.slices.max)) is not None:
            slices = found.slices if found else None
            yield judge_slices(f"{metric.key}/slices", metric.slices, bound, slices, Decimal(spec.confidence))
    yield from _fairness(spec, result)
    if spec.latency is not None:
        bound = Bound(Decimal(spec.latency.p99_milliseconds), at_least=False)
        yield _latency(bound, result.latency or LatencyResult())


def _fairness(spec: EvaluationGateSpec, result: GateResult) -> Iterator[Requirement]:
    if spec.fairness is None:
        return
    measured = {(item.name, item.column): item for item in reversed(result.fairness)}
    for item in spec.fairness.metrics:
        bound = Bound(Decimal(item.max), at_least=False)
        for column in spec.fairness.protected:
            name, found = f"{item.name.value}/{column}", measured.get((item.name, column))
            if found is None:
                yield Requirement(name, Verdict.NO_DATA, str(bound), reason="MetricMissing")
                continue
            numbers = Measured(found.value, found.lower, found.upper, found.n, found.problem)
            verdict, why = judge_interval(bound, numbers)
            yield Requirement(name, verdict, str(bound), found.value, found.lower, found.upper, found.n, reason=why)


def _latency(bound: Bound, found: LatencyResult) -> Requirement:
    """Judge the 99th percentile; where the requests were too few to bound it on a side, it may be anything there."""
    lower = found.p99_lower if found.p99_lower is not None else 0.0
    upper = found.p99_upper if found.p99_upper is not None else math.inf
    if found.p99 is None or found.n == 0:
        verdict, reason = Verdict.NO_DATA, Problem.NO_DATA.value
    elif not math.isfinite(found.p99) or not math.isfinite(lower) or math.isnan(upper):
        verdict, reason = Verdict.ERROR, NOT_FINITE
    else:
        verdict, reason = bound.decide(lower, upper), ""
    return Requirement(
        "latency",
        verdict,
        str(bound),
        found.p99,
        found.p99_lower,
        found.p99_upper,
        found.n,
        champion=found.champion_p99,
        reason=reason,
    )


def _said(verdict: Verdict, requirements: tuple[Requirement, ...], *, itself: bool) -> tuple[str, str]:
    """Return the gate's reason and what it says in a few words."""
    count = sum(item.effect is verdict for item in requirements)
    of = f"{count} of {len(requirements)} requirements"
    if verdict is Verdict.PASS:
        return Reason.GATE_PASSED.value, f"all {len(requirements)} requirements are met"
    if verdict is Verdict.NOT_APPLICABLE:
        if itself:
            return "IsChampion", "it asks for nothing but a comparison with the stable revision, which this is"
        return "NoChampion", "there is no stable revision to compare with"
    if verdict is Verdict.FAIL:
        return Reason.GATE_FAILED.value, f"{of} are surely not met"
    if verdict is Verdict.INCONCLUSIVE:
        return Reason.GATE_INCONCLUSIVE.value, f"the rows are too few to tell whether {of} are met"
    if verdict is Verdict.NO_DATA:
        return Reason.GATE_NO_DATA.value, f"{of} could not be measured"
    broken = next(item.reason for item in requirements if item.effect is Verdict.ERROR)
    return broken, f"{of} have no usable number"


def _message(follows: str, requirements: tuple[Requirement, ...]) -> str:
    lines = [item.sentence() for item in requirements[:_SHOWN]]
    rest = len(requirements) - len(lines)
    if rest > 0:
        lines.append(f"and {rest} more")
    text = f"{follows}: {'; '.join(lines)}"
    return text if len(text) <= _SENTENCE_CHARACTERS else text[: _SENTENCE_CHARACTERS - 1] + "…"
