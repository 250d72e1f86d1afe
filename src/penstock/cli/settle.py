"""Whether a Model has come to rest, and how: what scripts and pipelines wait for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from penstock.api.v1alpha1.conditions import Condition, ConditionStatus, ConditionType, Reason, find_condition
from penstock.api.v1alpha1.model import Model
from penstock.api.v1alpha1.modelstatus import Outcome, Stage


class Ending(IntEnum):
    """The exit status of `kubectl penstock status`."""

    SERVING = 0
    ERROR = 1
    TURNED_DOWN = 2
    TIMEOUT = 3
    PERSON = 4


@dataclass(frozen=True, slots=True)
class Rest:
    """How a Model came to rest. `ending` TIMEOUT: it has not."""

    ending: Ending
    sentence: str


def rest(model: Model) -> Rest:
    """Return where a Model stands."""
    status = model.status
    if status.observed_generation != model.metadata.generation:
        return Rest(Ending.TIMEOUT, "The operator has not looked at the present spec yet.")
    stalled, ready = _is(model, ConditionType.STALLED), _is(model, ConditionType.READY)
    served = _find(model, ConditionType.SPEC_SERVED)
    candidate = status.candidate
    if stalled is not None and stalled.reason == Reason.STATE_LOST:
        return Rest(Ending.ERROR, stalled.message)
    if candidate is not None and candidate.stage is Stage.AWAITING_APPROVAL:
        return Rest(Ending.PERSON, f"Revision {candidate.revision} waits for approval: {candidate.waiting_for or ''}")
    if model.spec.suspend and (candidate is not None or served is None or served.status is not ConditionStatus.TRUE):
        return Rest(Ending.PERSON, "spec.suspend is true: nothing goes on until a person sets it to false.")
    if candidate is not None:
        return _under_way(model)
    if served is not None and served.status is ConditionStatus.TRUE and ready is not None:
        return Rest(Ending.SERVING, ready.message)
    return _without_candidate(model, served, stalled)


def _under_way(model: Model) -> Rest:
    candidate, stalled = model.status.candidate, _is(model, ConditionType.STALLED)
    if stalled is not None:
        return Rest(Ending.ERROR, stalled.message)
    if candidate is None:
        return Rest(Ending.TIMEOUT, "")
    step = f" {candidate.step}" if candidate.step else ""
    waits = f": {candidate.waiting_for}" if candidate.waiting_for else "."
    return Rest(Ending.TIMEOUT, f"Revision {candidate.revision} is in {candidate.stage.value}{step}{waits}")


def _without_candidate(model: Model, served: Condition | None, stalled: Condition | None) -> Rest:
    refused = _is(model, ConditionType.CANDIDATE_REJECTED)
    if refused is not None:
        return Rest(Ending.TURNED_DOWN, refused.message)
    if served is not None and served.reason == Reason.ROLLED_BACK:
        return Rest(Ending.TURNED_DOWN, served.message)
    if stalled is not None:
        history = model.status.history
        ending = Ending.TURNED_DOWN if history and history[0].outcome is Outcome.REJECTED else Ending.ERROR
        return Rest(ending, stalled.message)
    said = _find(model, ConditionType.READY)
    if served is not None and served.status is not ConditionStatus.TRUE and model.status.stable is not None:
        said = served
    return Rest(Ending.TIMEOUT, said.message if said is not None else "Nothing is known yet.")


def _find(model: Model, kind: ConditionType) -> Condition | None:
    return find_condition(model.status.conditions, kind)


def _is(model: Model, kind: ConditionType) -> Condition | None:
    """Return a condition that is True."""
    found = _find(model, kind)
    return found if found is not None and found.status is ConditionStatus.TRUE else None
