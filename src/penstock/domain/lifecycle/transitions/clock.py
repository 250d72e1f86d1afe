"""What stops and starts a candidate's clock: suspension, a blocked log, a freeze, and time without evidence."""

from __future__ import annotations

from datetime import datetime

from penstock.api.v1alpha1.checkpoint import Blindness, Checkpoint
from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.rollout import OnMissingEvidence
from penstock.domain.lifecycle.observed import Failure, Observed
from penstock.domain.lifecycle.stages import Verdict
from penstock.domain.lifecycle.transitions.back import take_back
from penstock.domain.lifecycle.transitions.step import Step, candidate_of, goes_back, moved


def pause(state: Checkpoint, seen: Observed) -> Step | None:
    """The Model was suspended, its log must not grow, or a freeze began: the stage's clock stops."""
    message = f"A freeze began: {seen.frozen}"
    if seen.log_blocked:
        message = "Too many decisions wait for their export."
    if seen.suspended:
        message = "The Model is suspended."
    return Step(
        Verdict.PAUSE, message, state.model_copy(update={"candidate": moved(state, seen, paused_since=seen.now)})
    )


def resume(state: Checkpoint, seen: Observed) -> Step | None:
    """The Model goes on: the time it stood still does not count."""
    candidate = candidate_of(state)
    paused, blind = candidate.paused_since or seen.now, candidate.blind

    def later(moment: datetime) -> datetime:
        """What began while all stood still has lost the rest of that time only."""
        return moment + (seen.now - max(paused, moment))

    changed = candidate.model_copy(
        update={
            "paused_since": None,
            "since": later(candidate.since),
            "applied_at": later(candidate.applied_at) if candidate.applied_at else None,
            "blind": blind.model_copy(update={"since": later(blind.since)}) if blind.since else blind,
        }
    )
    return Step(Verdict.RESUME, "The Model goes on.", state.model_copy(update={"candidate": changed}))


def evidence_lost(state: Checkpoint, seen: Observed) -> Step | None:
    """Nothing can be measured any more: hold, unless the plan would rather go back or waiting is of no use.

    A canary of servers that count nothing would show a revision to clients and learn nothing. A way back that somebody
    ordered holds in any case: what is being left gets no traffic back because numbers are missing.
    """
    candidate = candidate_of(state)
    plan = candidate.plan
    if seen.live.unmeasurable and not goes_back(state):
        return take_back(state, seen, Failure(Reason.NO_METRIC_SOURCE, seen.live.message, permanent=True))
    if plan is not None and plan.on_missing_evidence is OnMissingEvidence.ROLLBACK and not goes_back(state):
        return take_back(state, seen, Failure(Reason.EVIDENCE_MISSING, seen.live.message, permanent=True))
    blind = candidate.blind.model_copy(update={"since": seen.now})
    result = state.model_copy(update={"candidate": moved(state, seen, blind=blind)})
    message = f"Nothing can be measured: {seen.live.message}"
    return Step(Verdict.HOLD, message, result, {"missing": seen.live.message})


def evidence_back(state: Checkpoint, seen: Observed) -> Step | None:
    """The source answers again: the clock runs on."""
    candidate = candidate_of(state)
    # Of a time in which the clock stood anyway nothing has to be given back.
    until = candidate.paused_since or seen.now
    gone = max(0, int((until - (candidate.blind.since or until)).total_seconds()))
    blind = Blindness(since=None, seconds=candidate.blind.seconds + gone)
    result = state.model_copy(update={"candidate": moved(state, seen, blind=blind)})
    return Step(Verdict.RELEASE, f"The evidence is back after {gone} s.", result, {"seconds": gone})
