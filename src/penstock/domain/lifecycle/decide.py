"""The decision: one function from what was decided and what is seen to what is decided next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.approval.rules import WAYS_BACK
from penstock.domain.lifecycle.classify import events, stage_of
from penstock.domain.lifecycle.matrix import MATRIX
from penstock.domain.lifecycle.observed import Observed
from penstock.domain.lifecycle.stages import Event, Verdict
from penstock.domain.lifecycle.transitions.step import Step


@dataclass(frozen=True, slots=True)
class Commit:
    """A decision to write down before anything follows from it. `user`: whose command it carries out, if any."""

    rule: str
    verdict: Verdict
    message: str
    inputs: Mapping[str, Any]
    result: Checkpoint
    user: str = ""


def decide(state: Checkpoint | None, seen: Observed) -> Commit | None:
    """Return the next decision, or None while there is nothing to decide.

    `state` is the checkpoint in the head of the decision log, None for a Model without a log.
    Calling it again with the returned `result` and the same `seen` ends after a bounded number
    of steps (a property test holds it to that).
    """
    if state is None:
        if seen.suspended and seen.lost is None:
            return None
        state = Checkpoint(rejected=list(seen.inherited))
    seen = _in_order(state, seen)
    stage = stage_of(state)
    for event in events(state, seen):
        step = MATRIX[stage][event](state, seen)
        if step is not None:
            return _commit(stage, event, step)
    return None


def _in_order(state: Checkpoint, seen: Observed) -> Observed:
    """Put first what has to be looked at first: the ways back, then the oldest; what was dealt with is left out."""
    if not seen.actions:
        return seen
    waiting = [action for action in seen.actions if action.uid not in state.handled]
    waiting.sort(key=lambda action: (action.type not in WAYS_BACK, action.created, action.uid))
    return replace(seen, actions=tuple(waiting))


def _commit(stage: Stage | None, event: Event, step: Step) -> Commit:
    name = stage.value if stage else "Idle"
    inputs: dict[str, Any] = {"event": event.value, "stage": name, **step.inputs}
    if step.action is not None:
        inputs["action"] = {"uid": step.action.uid, "name": step.action.name, "type": step.action.type.value}
    return Commit(
        rule=f"{name}/{event.value}",
        verdict=step.verdict,
        message=step.message,
        inputs=inputs,
        result=step.result,
        user=step.action.user if step.action else "",
    )
