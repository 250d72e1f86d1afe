"""The decision: one function from what was decided and what is seen to what is decided next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.api.v1alpha1.decisionrecord import Checkpoint
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.lifecycle import transitions as do
from penstock.domain.lifecycle.classify import events, stage_of
from penstock.domain.lifecycle.observed import Observed
from penstock.domain.lifecycle.stages import Event, Verdict
from penstock.domain.lifecycle.transitions import Step, Transition, ignore

# stage × event, total (a test counts the cells). `ignore` is an explicit value: the
# event holds, and nothing follows from it in that stage.
MATRIX: Mapping[Stage | None, Mapping[Event, Transition]] = {
    None: {  # no candidate under way
        Event.SUSPENDED: ignore,
        Event.RESUMED: ignore,
        Event.CANDIDATE_FAILED: ignore,
        Event.CANDIDATE_LOST: ignore,
        Event.ROUTE_REFUSED: ignore,
        Event.WANTED_STABLE: do.note_wanted,
        Event.WANTED_CHANGED: do.begin_candidate,
        Event.BLOCKED: ignore,
        Event.UNBLOCKED: ignore,
        Event.CANDIDATE_READY: ignore,
        Event.ROUTE_APPLIED: ignore,
        Event.DEADLINE: ignore,
    },
    Stage.PENDING: {
        Event.SUSPENDED: do.pause,
        Event.RESUMED: do.resume,
        Event.CANDIDATE_FAILED: ignore,
        Event.CANDIDATE_LOST: ignore,
        Event.ROUTE_REFUSED: ignore,
        Event.WANTED_STABLE: do.supersede,
        Event.WANTED_CHANGED: do.begin_candidate,
        Event.BLOCKED: ignore,
        Event.UNBLOCKED: do.start,
        Event.CANDIDATE_READY: ignore,
        Event.ROUTE_APPLIED: ignore,
        Event.DEADLINE: ignore,  # Pending waits for others; the deadline counts what the candidate itself takes
    },
    Stage.STARTING: {
        Event.SUSPENDED: do.pause,
        Event.RESUMED: do.resume,
        Event.CANDIDATE_FAILED: do.reject,
        Event.CANDIDATE_LOST: ignore,
        Event.ROUTE_REFUSED: ignore,
        Event.WANTED_STABLE: do.supersede,
        Event.WANTED_CHANGED: do.begin_candidate,
        Event.BLOCKED: ignore,
        Event.UNBLOCKED: ignore,
        Event.CANDIDATE_READY: do.promote,
        Event.ROUTE_APPLIED: ignore,
        Event.DEADLINE: do.expire,
    },
    Stage.PROMOTING: {
        Event.SUSPENDED: do.pause,
        Event.RESUMED: do.resume,
        Event.CANDIDATE_FAILED: do.roll_back_failed,
        Event.CANDIDATE_LOST: do.roll_back_lost,
        Event.ROUTE_REFUSED: do.retreat,
        Event.WANTED_STABLE: do.roll_back_superseded,
        Event.WANTED_CHANGED: do.roll_back_superseded,
        Event.BLOCKED: ignore,
        Event.UNBLOCKED: ignore,
        Event.CANDIDATE_READY: ignore,
        Event.ROUTE_APPLIED: do.complete,
        Event.DEADLINE: do.roll_back_expired,
    },
    Stage.ROLLING_BACK: {
        Event.SUSPENDED: ignore,
        Event.RESUMED: ignore,
        Event.CANDIDATE_FAILED: ignore,
        Event.CANDIDATE_LOST: ignore,
        Event.ROUTE_REFUSED: ignore,
        Event.WANTED_STABLE: do.note_wanted,
        Event.WANTED_CHANGED: ignore,  # champion traffic first; the new candidate begins from Idle
        Event.BLOCKED: ignore,
        Event.UNBLOCKED: ignore,
        Event.CANDIDATE_READY: ignore,
        Event.ROUTE_APPLIED: do.finish_rollback,
        Event.DEADLINE: ignore,
    },
}


@dataclass(frozen=True, slots=True)
class Commit:
    """A decision to write down before anything follows from it."""

    rule: str
    verdict: Verdict
    message: str
    inputs: Mapping[str, Any]
    result: Checkpoint


def decide(state: Checkpoint | None, seen: Observed) -> Commit | None:
    """Return the next decision, or None while there is nothing to decide.

    `state` is the checkpoint in the head of the decision log, None for a Model without a log.
    Calling it again with the returned `result` and the same `seen` ends after a bounded number
    of steps (a property test holds it to that).
    """
    if state is None:
        if seen.suspended:
            return None
        state = Checkpoint()
    stage = stage_of(state)
    for event in events(state, seen):
        step = MATRIX[stage][event](state, seen)
        if step is not None:
            return _commit(stage, event, step, seen)
    return None


def _commit(stage: Stage | None, event: Event, step: Step, seen: Observed) -> Commit:
    name = stage.value if stage else "Idle"
    return Commit(
        rule=f"{name}/{event.value}",
        verdict=step.verdict,
        message=step.message,
        inputs={"event": event.value, "stage": name, **step.inputs},
        result=step.result,
    )
