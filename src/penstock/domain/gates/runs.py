"""When a revision is evaluated: pure decisions from what is recorded, the last attempt and the clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from penstock.api.canonical import canonical_digest
from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.evaluationgate import EvaluationGateSpec
from penstock.domain.gates.task import GateResult
from penstock.domain.gates.verdict import GateVerdict, Verdict

GATE_VERSION = "penstock.dev/gate/1"
JOB_VERSION = "penstock.dev/evaluation-job/1"

# What may be gone at the next look without anybody's help is looked at soon, the rest ever more seldom.
_PASSING = frozenset(
    {
        Reason.SOURCE_UNAVAILABLE,
        Reason.SOURCE_CHANGED,
        Reason.STORE_UNAVAILABLE,
        Reason.WRONG_REVISION,
        Reason.PREDICTIONS_FAILED,
        Reason.EVALUATION_ERROR,
    }
)
_SOON_SECONDS, _SOON_MOST_SECONDS = 10, 300
_LATER_SECONDS, _LATER_MOST_SECONDS = 30, 1800
MAX_ATTEMPT = 10_000

# What only says how a Job is run changes no number: an edit of it repeats no evaluation.
_HOW_IT_IS_RUN = ("timeoutSeconds", "resources")


@dataclass(frozen=True, slots=True)
class Target:
    """What an evaluation is about. A result holds as long as all three are the same."""

    revision: str
    spec_hash: str
    dataset_digest: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A result that stands in the decision log. `verdict`: the gate's."""

    target: Target
    attempt: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Attempt:
    """The newest Job about a gate and a revision.

    `result` and `verdict` are None while it runs. `finished`: when it ended, by its own word or at the first sight.
    """

    target: Target
    number: int
    started: datetime
    finished: datetime | None = None
    result: GateResult | None = None
    verdict: GateVerdict | None = None


@dataclass(frozen=True, slots=True)
class Reuse:
    """Nothing is to be done: the result is known. `recorded`: from the log; else it is the attempt's own."""

    recorded: Recorded | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """An evaluation is due, as this attempt."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is due before `until`; None where only the end of the Job matters."""

    until: datetime | None
    reason: str


def gate_hash(spec: EvaluationGateSpec) -> str:
    """Return the hash of everything in a gate that evidence depends on."""
    content = {key: value for key, value in spec.as_json().items() if key not in _HOW_IT_IS_RUN}
    return canonical_digest([GATE_VERSION, content])


def decide(
    target: Target,
    recorded: Iterable[Recorded],
    last: Attempt | None,
    now: datetime,
    *,
    has_champion: bool = True,
    made: int = 0,
) -> Reuse | Start | Wait:
    """Say whether an evaluation is due.

    `recorded`: what may be used again; the newest last. `made`: the highest attempt that there ever was for this gate
    and revision, also where its Job is gone: no number is used twice. Errors are tried again after a growing pause;
    a verdict is not, as the seed is the same and trying again would only be fishing for another.
    """
    usable = [item for item in recorded if item.target == target and _holds(item.verdict, has_champion)]
    if usable:
        return Reuse(usable[-1])
    highest = max(made, last.number if last else 0)
    if last is None or last.target != target:
        # A Job about a gate, data or champion of before says nothing about this; the next one replaces it.
        return Start(min(highest + 1, MAX_ATTEMPT))
    if last.verdict is None:
        return Wait(None, Reason.EVALUATING.value)
    if not last.verdict.again:
        return Reuse()
    again = (last.finished or last.started) + _pause(last)
    return Start(min(highest + 1, MAX_ATTEMPT)) if again <= now else Wait(again, last.verdict.reason)


def job_suffix(model_uid: str, gate: str, target: Target, attempt: int) -> str:
    """Return 8 hex characters that are the same for the same evaluation, whoever starts it."""
    content = [JOB_VERSION, model_uid, gate, target.revision, target.spec_hash, target.dataset_digest, attempt]
    return canonical_digest(content).removeprefix("sha256:")[:8]


def _holds(verdict: Verdict, has_champion: bool) -> bool:
    if verdict is Verdict.NOT_APPLICABLE:
        return not has_champion
    return verdict is not Verdict.ERROR


def _pause(last: Attempt) -> timedelta:
    reason = last.verdict.reason if last.verdict else ""
    first, most = (_SOON_SECONDS, _SOON_MOST_SECONDS) if reason in _PASSING else (_LATER_SECONDS, _LATER_MOST_SECONDS)
    return timedelta(seconds=min(most, first * 2 ** min(last.number - 1, 16)))
