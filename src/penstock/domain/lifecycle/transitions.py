"""What each cell of the matrix does: the next checkpoint and the sentence that explains it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.decisionrecord import (
    CandidateState,
    Checkpoint,
    PreviousRevision,
    RejectedRevision,
    Reversal,
)
from penstock.api.v1alpha1.modelstatus import HISTORY_LIMIT, HistoryEntry, Outcome, Source, Stage, Wanted
from penstock.domain.lifecycle.observed import Failure, Observed
from penstock.domain.lifecycle.stages import Verdict

# A digest that did not match or a file type that is refused stays refused; everything else that
# can go wrong while starting may go right the next time.
QUARANTINED_REASONS = frozenset({Reason.DIGEST_MISMATCH, Reason.UNSAFE_FORMAT})
MAX_PREVIOUS = 2
MAX_ROUTE_ATTEMPTS = 3
MAX_REJECTED = 10


@dataclass(frozen=True, slots=True)
class Step:
    """The effect of one event: a verdict, its sentence, and the checkpoint that follows."""

    verdict: Verdict
    message: str
    result: Checkpoint
    inputs: Mapping[str, Any] = field(default_factory=dict)


Transition = Callable[[Checkpoint, Observed], Step | None]


def ignore(state: Checkpoint, seen: Observed) -> Step | None:
    """Nothing follows from the event in this stage."""
    return None


def begin_candidate(state: Checkpoint, seen: Observed) -> Step | None:
    """Make the revision the spec asks for the candidate; the one under way is superseded."""
    wanted = _wanted(seen)
    refused = _quarantine(state, seen.revision)
    if refused is not None:
        message = f"Revision {seen.revision} is quarantined since {refused.at:%Y-%m-%d %H:%M} UTC: {refused.reason}."
        result = state.model_copy(update={"wanted": wanted, "candidate": None})
        return Step(Verdict.REJECT, message, result, {"quarantine": refused.reason})
    stage = Stage.PENDING if seen.blockers else Stage.STARTING
    candidate = CandidateState(
        revision=seen.revision, stage=stage, since=seen.now, attempt=_attempt(state, seen.revision)
    )
    result = state.model_copy(
        update={
            "wanted": wanted,
            "candidate": candidate,
            "weights": {state.stable: 100} if state.stable else {},
            "rejected": [item for item in state.rejected if item.revision != seen.revision],
        }
    )
    inputs: dict[str, Any] = {"specHash": seen.spec_hash, "blockers": [item.reason for item in seen.blockers]}
    if state.candidate is not None:
        inputs["superseded"] = state.candidate.revision
        history = _history(state, seen, Outcome.SUPERSEDED, Reason.SUPERSEDED)
        result = result.model_copy(update={"history": history})
    if seen.blockers:
        return Step(Verdict.WAIT, f"Revision {seen.revision} waits: {seen.blockers[0].message}", result, inputs)
    return Step(Verdict.START, f"Revision {seen.revision} is started.", result, inputs)


def start(state: Checkpoint, seen: Observed) -> Step | None:
    """Nothing blocks the pending candidate any more."""
    candidate = _candidate(state)
    moved = candidate.model_copy(update={"stage": Stage.STARTING, "since": seen.now})
    return Step(
        Verdict.START, f"Revision {candidate.revision} is started.", state.model_copy(update={"candidate": moved})
    )


def promote(state: Checkpoint, seen: Observed) -> Step | None:
    """Give the ready candidate the traffic; the stable one stays as it is until that is seen."""
    candidate = _candidate(state)
    moved = candidate.model_copy(update={"stage": Stage.PROMOTING, "since": seen.now})
    result = state.model_copy(update={"candidate": moved, "weights": {candidate.revision: 100}})
    workload = seen.workload(candidate.revision)
    return Step(
        Verdict.PROMOTE,
        f"Revision {candidate.revision} is ready ({workload.ready} pods, smoke prediction passed): it gets the traffic",
        result,
        {
            "ready": workload.ready,
            "required": max(1, seen.replicas),
            "smoke": seen.smoke[candidate.revision].message,
            **({"lineage": workload.lineage} if workload.lineage else {}),
        },
    )


def complete(state: Checkpoint, seen: Observed) -> Step | None:
    """The gateway serves the candidate: it is the stable revision now, the old one stays warm."""
    candidate = _candidate(state)
    previous = [item for item in state.previous if item.revision != candidate.revision]
    if state.stable is not None and state.stable != candidate.revision:
        old = PreviousRevision(
            revision=state.stable,
            full_until=seen.now + timedelta(seconds=seen.limits.rollback_full),
            warm_until=seen.now + timedelta(seconds=seen.limits.rollback_window),
        )
        previous = [old, *(item for item in previous if item.revision != old.revision)]
    result = state.model_copy(
        update={
            "stable": candidate.revision,
            "candidate": None,
            "previous": previous[:MAX_PREVIOUS],
            "weights": {candidate.revision: 100},
            "history": _history(state, seen, Outcome.STABLE, Reason.SERVING),
        }
    )
    return Step(
        Verdict.PROMOTED,
        f"Revision {candidate.revision} serves all traffic.",
        result,
        {"route": dict(seen.route.weights), "probe": seen.reached[candidate.revision].message},
    )


def reject(state: Checkpoint, seen: Observed) -> Step | None:
    """The candidate cannot come up; no traffic ever reached it."""
    return _turn_down(state, seen, _failure(state, seen))


def expire(state: Checkpoint, seen: Observed) -> Step | None:
    """The candidate did not come up in time; what it last failed at is kept in the sentence."""
    candidate = _candidate(state)
    last = seen.workload(candidate.revision).failure
    ready = seen.workload(candidate.revision).ready
    detail = f"{last.reason}: {last.message}" if last else f"{ready} of {max(1, seen.replicas)} pods were ready"
    message = f"Not ready within {seen.limits.stage_deadline} s ({detail})."
    return _turn_down(state, seen, Failure(Reason.DEADLINE_EXCEEDED, message, permanent=True))


def supersede(state: Checkpoint, seen: Observed) -> Step | None:
    """The spec asks for the stable revision again before the candidate got traffic."""
    candidate = _candidate(state)
    history = _history(state, seen, Outcome.SUPERSEDED, Reason.SUPERSEDED)
    result = state.model_copy(update={"wanted": _wanted(seen), "candidate": None, "history": history})
    message = f"The spec asks for the stable revision {seen.revision} again; revision {candidate.revision} is dropped."
    return Step(Verdict.SUPERSEDE, message, result, {"specHash": seen.spec_hash})


def note_wanted(state: Checkpoint, seen: Observed) -> Step | None:
    """The spec asks for what is served already (or is being restored)."""
    result = state.model_copy(update={"wanted": _wanted(seen)})
    return Step(Verdict.NOTED, f"The spec asks for revision {seen.revision}, which is stable.", result)


def roll_back_failed(state: Checkpoint, seen: Observed) -> Step | None:
    """The candidate failed after it was given traffic."""
    return _roll_back(state, seen, _failure(state, seen))


def roll_back_lost(state: Checkpoint, seen: Observed) -> Step | None:
    """No pod of the candidate is ready any more, although it was given traffic."""
    failure = seen.workload(_candidate(state).revision).failure
    lost = failure or Failure(Reason.UNAVAILABLE, "No pod of the candidate is ready any more.", permanent=True)
    return _roll_back(state, seen, lost)


def retreat(state: Checkpoint, seen: Observed) -> Step | None:
    """The gateway refuses the route with the candidate in it: back to the champion, and try again.

    A gateway that has just restarted may not know a Service yet; that is no fault of the
    candidate. After a few attempts it is turned down all the same.
    """
    candidate = _candidate(state)
    if state.stable is None:
        return None
    if candidate.attempt >= MAX_ROUTE_ATTEMPTS:
        return _roll_back(state, seen, Failure(Reason.ROUTE_NOT_ACCEPTED, seen.route.refused, permanent=True))
    again = candidate.model_copy(
        update={"stage": Stage.STARTING, "since": seen.now, "paused_since": None, "attempt": candidate.attempt + 1}
    )
    result = state.model_copy(update={"candidate": again, "weights": {state.stable: 100}})
    message = f"The gateway refuses the route ({seen.route.refused}): revision {state.stable} keeps the traffic"
    return Step(Verdict.RETRY, message, result, {"refused": seen.route.refused, "attempt": again.attempt})


def roll_back_superseded(state: Checkpoint, seen: Observed) -> Step | None:
    """The spec changed while the traffic was moving: the champion gets it back first."""
    return _roll_back(state, seen, Failure(Reason.SUPERSEDED, f"The spec asks for {seen.revision}.", permanent=True))


def roll_back_expired(state: Checkpoint, seen: Observed) -> Step | None:
    """The gateway did not take the route, or did not show the candidate, in time."""
    detail = seen.route.refused or "the gateway does not show the candidate"
    message = f"The route was not applied within {seen.limits.stage_deadline} s: {detail}."
    return _roll_back(state, seen, Failure(Reason.DEADLINE_EXCEEDED, message, permanent=True))


def finish_rollback(state: Checkpoint, seen: Observed) -> Step | None:
    """The gateway serves the stable revision alone again: the candidate may go."""
    reversal = _candidate(state).reversal or Reversal(reason=Reason.SUPERSEDED, message="")
    failure = Failure(reversal.reason, reversal.message, permanent=True)
    return _end(state, seen, failure, Verdict.ROLLED_BACK)


def pause(state: Checkpoint, seen: Observed) -> Step | None:
    """The Model was suspended: the stage's clock stops."""
    paused = _candidate(state).model_copy(update={"paused_since": seen.now})
    return Step(Verdict.PAUSE, "The Model is suspended.", state.model_copy(update={"candidate": paused}))


def resume(state: Checkpoint, seen: Observed) -> Step | None:
    """The Model is not suspended any more: the time it was does not count."""
    candidate = _candidate(state)
    held = seen.now - (candidate.paused_since or seen.now)
    resumed = candidate.model_copy(update={"paused_since": None, "since": candidate.since + held})
    return Step(Verdict.RESUME, "The Model goes on.", state.model_copy(update={"candidate": resumed}))


def _turn_down(state: Checkpoint, seen: Observed, failure: Failure) -> Step | None:
    if state.stable is None and failure.reason not in QUARANTINED_REASONS:
        # Nothing else could serve: like a Deployment, a first revision keeps trying. The
        # condition (Stalled) says what is wrong, and its pods stay for whoever looks at them.
        return None
    return _end(state, seen, failure, Verdict.REJECT)


def _roll_back(state: Checkpoint, seen: Observed, failure: Failure) -> Step | None:
    candidate = _candidate(state)
    if state.stable is None:
        # A first revision has nothing to go back to. Taking its route away would serve nobody:
        # the condition says what is wrong, and a change of the spec replaces it at once.
        return begin_candidate(state, seen) if failure.reason == Reason.SUPERSEDED else None
    moved = candidate.model_copy(
        update={
            "stage": Stage.ROLLING_BACK,
            "since": seen.now,
            "paused_since": None,
            "reversal": Reversal(reason=failure.reason, message=failure.message),
        }
    )
    result = state.model_copy(update={"candidate": moved, "weights": {state.stable: 100}})
    message = f"Traffic goes back to revision {state.stable}: {failure.reason}: {failure.message}"
    return Step(Verdict.ROLL_BACK, message, result, {"reason": failure.reason})


def _end(state: Checkpoint, seen: Observed, failure: Failure, verdict: Verdict) -> Step:
    candidate = _candidate(state)
    rejected = state.rejected
    ending = Outcome.SUPERSEDED
    if failure.reason != Reason.SUPERSEDED:
        ending = Outcome.REJECTED
        entry = RejectedRevision(
            revision=candidate.revision,
            reason=failure.reason,
            message=failure.message,
            quarantined=failure.reason in QUARANTINED_REASONS,
            at=seen.now,
        )
        rejected = _bounded([entry, *(item for item in rejected if item.revision != candidate.revision)])
    history = _history(state, seen, ending, failure.reason)
    result = state.model_copy(update={"candidate": None, "rejected": rejected, "history": history})
    message = f"Revision {candidate.revision} is out: {failure.reason}: {failure.message}"
    return Step(verdict, message, result, {"reason": failure.reason, "detail": failure.message})


def _history(state: Checkpoint, seen: Observed, outcome: Outcome, reason: str) -> list[HistoryEntry]:
    """Return the history with the end of the present candidate at its head."""
    entry = HistoryEntry(revision=_candidate(state).revision, outcome=outcome, reason=reason, at=seen.now)
    return [entry, *state.history][:HISTORY_LIMIT]


def _bounded(rejected: list[RejectedRevision]) -> list[RejectedRevision]:
    """Keep the newest, but never forget a quarantine because of the limit."""
    keep = rejected[:MAX_REJECTED]
    return keep + [item for item in rejected[MAX_REJECTED:] if item.quarantined]


def _failure(state: Checkpoint, seen: Observed) -> Failure:
    revision = _candidate(state).revision
    failure = seen.workload(revision).failure
    if failure is not None and failure.permanent:
        return failure
    smoke = seen.smoke.get(revision)
    message = smoke.message if smoke else "The smoke prediction failed."
    return Failure(Reason.SMOKE_FAILED, message, permanent=True)


def _quarantine(state: Checkpoint, revision: str) -> RejectedRevision | None:
    return next((item for item in state.rejected if item.revision == revision and item.quarantined), None)


def _attempt(state: Checkpoint, revision: str) -> int:
    if state.candidate is not None and state.candidate.revision == revision:
        return state.candidate.attempt
    return 1 + sum(item.revision == revision for item in state.rejected)


def _wanted(seen: Observed) -> Wanted:
    return Wanted(revision=seen.revision, source=Source.SPEC, spec_hash=seen.spec_hash, at=seen.now)


def _candidate(state: Checkpoint) -> CandidateState:
    if state.candidate is None:
        raise ValueError("this transition needs a candidate")
    return state.candidate
