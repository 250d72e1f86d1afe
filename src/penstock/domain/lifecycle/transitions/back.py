"""How a candidate goes: refused, taken back, or replaced. Traffic returns to the champion first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.api.v1alpha1.checkpoint import Blindness, Checkpoint, Hold, HoldKind, RejectedRevision, Reversal
from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.modelstatus import Outcome, Stage
from penstock.domain.approval import Action
from penstock.domain.lifecycle import evidence
from penstock.domain.lifecycle.observed import Failure, Observed
from penstock.domain.lifecycle.stages import Verdict
from penstock.domain.lifecycle.transitions.begin import begin_candidate, still_leaving
from penstock.domain.lifecycle.transitions.step import (
    Step,
    candidate_of,
    carries_traffic,
    champion,
    goes_back,
    handled,
    held_up,
    history,
    moved,
    pods_needed,
    quarantine_of,
    refused,
    wanted,
)

# What showed that the revision is bad stays; everything else may go right the next time.
QUARANTINED_REASONS = frozenset(
    {
        Reason.DIGEST_MISMATCH,
        Reason.UNSAFE_FORMAT,
        Reason.GATE_FAILED,
        Reason.SHADOW_HARM,
        Reason.CANARY_HARM,
        Reason.REJECTED,
        Reason.ROLLED_BACK,
    }
)
# What ends a candidate even where nothing else could serve: people and evidence have spoken.
_FINAL = QUARANTINED_REASONS | {Reason.NOT_APPROVED}
MAX_ROUTE_ATTEMPTS = 3


def take_back(
    state: Checkpoint,
    seen: Observed,
    failure: Failure,
    *,
    inputs: Mapping[str, Any] | None = None,
    action: Action | None = None,
) -> Step | None:
    """End the candidate: with traffic, the champion gets that back first; without, it is out at once."""
    found = dict(inputs or {})
    if carries_traffic(state):
        return _roll_back(state, seen, failure, found, action)
    if state.stable is None and failure.reason not in _FINAL:
        # Nothing else could serve: like a Deployment, a first revision keeps trying. The
        # condition (Stalled) says what is wrong, and its pods stay for whoever looks at them.
        return None
    return _end(state, seen, failure, Verdict.REJECT, found, action)


def fail(state: Checkpoint, seen: Observed) -> Step | None:
    """The candidate cannot work: its pods do not come up, or its prediction fails."""
    return take_back(state, seen, _failure(state, seen))


def crashed(state: Checkpoint, seen: Observed) -> Step | None:
    """Pods of the candidate that had been ready ended by themselves while it had traffic: harm."""
    detail = seen.crashed[candidate_of(state).revision]
    return take_back(state, seen, Failure(Reason.CANARY_HARM, detail, permanent=True), inputs={"crash": detail})


def harm_shown(state: Checkpoint, seen: Observed) -> Step | None:
    """Live traffic shows that the candidate is worse than the stable revision."""
    worst = next(item for item in seen.live.findings if item.verdict == "Fail")
    failure = Failure(Reason.CANARY_HARM, f"{worst.name}: {worst.message}", permanent=True)
    return take_back(state, seen, failure, inputs={"analysis": evidence.findings(seen)})


def shadow_failed(state: Checkpoint, seen: Observed) -> Step | None:
    """The candidate answers copied requests otherwise than the holdout let expect."""
    shadow = seen.shadow
    if shadow is None:
        return None
    failure = Failure(Reason.SHADOW_HARM, shadow.message, permanent=True)
    return take_back(state, seen, failure, inputs={"shadow": {"n": shadow.n, **shadow.numbers}})


def expire(state: Checkpoint, seen: Observed) -> Step | None:
    """The stage took too long; what was missing last is kept in the sentence."""
    candidate = candidate_of(state)
    limit = f"within {seen.limits.stage_deadline} s"
    if candidate.stage is Stage.STARTING:
        workload = seen.workload(candidate.revision)
        last, ready = workload.failure, workload.ready
        detail = f"{last.reason}: {last.message}" if last else f"{ready} of {max(1, seen.replicas)} pods were ready"
        failure = Failure(Reason.DEADLINE_EXCEEDED, f"Not ready {limit} ({detail}).", permanent=True)
    elif candidate.stage is Stage.PROMOTING:
        detail = seen.route.refused or "the gateway does not show the candidate"
        failure = Failure(Reason.DEADLINE_EXCEEDED, f"The route was not applied {limit}: {detail}.", permanent=True)
    elif candidate.blind.since is not None:
        detail = seen.live.message or "nothing could be measured"
        failure = Failure(Reason.EVIDENCE_MISSING, f"{candidate.stage.value} had no evidence: {detail}", permanent=True)
    else:
        failure = Failure(
            Reason.DEADLINE_EXCEEDED, f"{candidate.stage.value} was not finished {limit}.", permanent=True
        )
    return take_back(state, seen, failure, inputs={"analysis": evidence.findings(seen)} if seen.live.findings else {})


def not_approved(state: Checkpoint, seen: Observed) -> Step | None:
    """Nobody (or not enough people) approved in time, or what was approved could not go on."""
    plan = candidate_of(state).plan
    seconds = plan.approval.expires_after_seconds if plan else 0
    if candidate_of(state).approved:
        message = f"It was approved, and could not go on within {seconds} s."
        return take_back(state, seen, Failure(Reason.DEADLINE_EXCEEDED, message, permanent=True))
    given = ", ".join(item.user for item in candidate_of(state).approvals) or "nobody"
    message = f"Approved by {given} within {seconds} s, which is not enough."
    return take_back(state, seen, Failure(Reason.NOT_APPROVED, message, permanent=True))


def reject_asked(state: Checkpoint, seen: Observed) -> Step | None:
    """A person rejects the candidate."""
    action = seen.actions[0]
    noted = state.model_copy(update={"handled": handled(state, seen, action)})
    failure = Failure(Reason.REJECTED, f"{action.user}: {action.reason}", permanent=True)
    return take_back(noted, seen, failure, inputs={"reason": action.reason}, action=action)


def drop(state: Checkpoint, seen: Observed) -> Step | None:
    """The spec asks for the stable revision again: the candidate is not needed any more."""
    quarantine = quarantine_of(state, seen.revision)
    if quarantine is not None and (goes_back(state) or carries_traffic(state)):
        # Asking for what is being left gives it no traffic back.
        return still_leaving(state, seen, f"Revision {seen.revision} is quarantined: {quarantine.reason}.")
    if carries_traffic(state):
        return _superseded(state, seen)
    candidate = candidate_of(state)
    past = history(state, seen, Outcome.SUPERSEDED, Reason.SUPERSEDED)
    result = state.model_copy(update={"wanted": wanted(seen), "candidate": None, "history": past})
    message = f"The spec asks for the stable revision {seen.revision} again; revision {candidate.revision} is dropped."
    return Step(Verdict.SUPERSEDE, message, result, {"specHash": seen.spec_hash})


def replace(state: Checkpoint, seen: Observed) -> Step | None:
    """The spec asks for a third revision: champion traffic first, then the new candidate."""
    candidate = candidate_of(state)
    same, refused_too = candidate.revision == seen.revision, quarantine_of(state, seen.revision) is not None
    if same or (goes_back(state) and refused_too):
        return begin_candidate(state, seen)
    if carries_traffic(state) and state.stable is not None and quarantine_of(state, state.stable) is not None:
        # The stable revision is what is being left: it gets no traffic back, the new one begins after this one.
        return None
    return _superseded(state, seen) if carries_traffic(state) else begin_candidate(state, seen)


def make_way(state: Checkpoint, seen: Observed) -> Step | None:
    """A person wants a former revision while the candidate has traffic: the champion gets that first."""
    failure = Failure(Reason.SUPERSEDED, "A former revision is asked for.", permanent=True)
    return _roll_back(state, seen, failure, {}, None)


def note_wanted(state: Checkpoint, seen: Observed) -> Step | None:
    """The spec asks for what is served already (or is being restored)."""
    result = state.model_copy(update={"wanted": wanted(seen)})
    return Step(Verdict.NOTED, f"The spec asks for revision {seen.revision}, which is stable.", result)


def retreat(state: Checkpoint, seen: Observed) -> Step | None:
    """The gateway refuses the route with the candidate in it: back to the champion, and try again.

    A gateway that has just restarted may not know a Service yet; that is no fault of the
    candidate. After a few attempts it is turned down all the same.
    """
    candidate = candidate_of(state)
    if state.stable is None:
        return None
    if candidate.attempt >= MAX_ROUTE_ATTEMPTS:
        return take_back(state, seen, Failure(Reason.ROUTE_NOT_ACCEPTED, seen.route.refused, permanent=True))
    again = candidate.model_copy(
        update={
            "stage": Stage.STARTING,
            "since": seen.now,
            "paused_since": None,
            "attempt": candidate.attempt + 1,
            "step": 0,
            "applied_at": None,
            "hold": None,
            "blind": Blindness(),
            "bypassed": False,
            "tests": None,
        }
    )
    result = state.model_copy(update={"candidate": again, "weights": champion(state, seen)})
    message = f"The gateway refuses the route ({seen.route.refused}): revision {state.stable} keeps the traffic"
    return Step(Verdict.RETRY, message, result, {"refused": seen.route.refused, "attempt": again.attempt})


def hold(state: Checkpoint, seen: Observed) -> Step | None:
    """Too few of the candidate's pods are ready, and not by their own fault: the champion gets all, the stage stays."""
    candidate = candidate_of(state)
    if state.stable is None or candidate.hold is not None or not carries_traffic(state):
        return None
    workload = seen.workload(candidate.revision)
    needed = pods_needed(state, seen, state.weights[candidate.revision])
    detail = f"{workload.ready} of the {needed} pods are ready that its traffic needs"
    held = Hold(kind=HoldKind.NOT_READY, message=detail, since=seen.now)
    result = state.model_copy(
        update={"candidate": moved(state, seen, hold=held, applied_at=None), "weights": champion(state, seen)}
    )
    message = f"Revision {candidate.revision} is held: {detail}; revision {state.stable} gets all traffic."
    return Step(Verdict.HOLD, message, result, {"ready": workload.ready, "needed": needed})


def lift_hold(state: Checkpoint, seen: Observed) -> Step | None:
    """Enough pods are ready again: the weights of the stage return."""
    candidate = candidate_of(state)
    if candidate.hold is None or state.stable is None:
        return None
    weight = _weight_of(state)
    if held_up(state, seen, weight):
        return None
    weights = {state.stable: 100 - weight, candidate.revision: weight} if weight < 100 else {candidate.revision: 100}
    lifted = moved(state, seen, hold=None)
    result = state.model_copy(update={"candidate": lifted, "weights": weights})
    message = f"Revision {candidate.revision} is ready again and gets {weight} % of the traffic."
    return Step(Verdict.RELEASE, message, result, {"ready": seen.workload(candidate.revision).ready})


def finish_rollback(state: Checkpoint, seen: Observed) -> Step | None:
    """The gateway serves the stable revision alone again: the candidate may go."""
    reversal = candidate_of(state).reversal or Reversal(reason=Reason.SUPERSEDED, message="")
    failure = Failure(reversal.reason, reversal.message, permanent=True)
    return _end(state, seen, failure, Verdict.ROLLED_BACK, {}, None)


def fail_over(state: Checkpoint, seen: Observed) -> Step | None:
    """No pod of the stable revision answers, and the fallback revision does."""
    fallback, candidate = seen.fallback, state.candidate
    if fallback is None or seen.workload(fallback).ready == 0 or state.weights == {fallback: 100}:
        return None
    if quarantine_of(state, fallback) is not None or (candidate is not None and candidate.revision == fallback):
        return None
    update: dict[str, Any] = {"weights": {fallback: 100}, "failover": True}
    if candidate is not None and candidate.stage is Stage.PROMOTING and carries_traffic(state):
        return None
    if candidate is not None and carries_traffic(state):
        # Its share comes back when the stable revision is there to be compared with.
        held = Hold(kind=HoldKind.NOT_READY, message=f"no pod of revision {state.stable} is ready", since=seen.now)
        update["candidate"] = moved(state, seen, hold=held, applied_at=None)
    result = state.model_copy(update=update)
    message = f"No pod of revision {state.stable} is ready: the fallback revision {fallback} takes over."
    return Step(Verdict.FAILOVER, message, result, {"ready": seen.workload(fallback).ready})


def fail_back(state: Checkpoint, seen: Observed) -> Step | None:
    """The stable revision answers again."""
    if not state.failover or state.stable is None:
        return None
    result = state.model_copy(update={"weights": {state.stable: 100}, "failover": False})
    return Step(Verdict.FAILBACK, f"Revision {state.stable} is ready again and gets all traffic.", result)


def _weight_of(state: Checkpoint) -> int:
    candidate = candidate_of(state)
    canary = candidate.plan.canary if candidate.plan else None
    if candidate.stage is Stage.PROMOTING or canary is None:
        return 100
    return canary.steps[candidate.step].weight


def _superseded(state: Checkpoint, seen: Observed) -> Step | None:
    failure = Failure(Reason.SUPERSEDED, f"The spec asks for {seen.revision}.", permanent=True)
    return _roll_back(state, seen, failure, {}, None)


def _roll_back(
    state: Checkpoint, seen: Observed, failure: Failure, inputs: Mapping[str, Any], action: Action | None
) -> Step | None:
    if state.stable is None:
        # A first revision has nothing to go back to. Taking its route away would serve nobody:
        # the condition says what is wrong, and a change of the spec replaces it at once.
        return begin_candidate(state, seen) if failure.reason == Reason.SUPERSEDED else None
    reversal = Reversal(
        reason=failure.reason, message=failure.message, quarantine=failure.reason in QUARANTINED_REASONS
    )
    going = moved(
        state, seen, stage=Stage.ROLLING_BACK, since=seen.now, paused_since=None, hold=None, reversal=reversal
    )
    result = state.model_copy(update={"candidate": going, "weights": champion(state, seen)})
    message = f"Traffic goes back to revision {state.stable}: {failure.reason}: {failure.message}"
    return Step(Verdict.ROLL_BACK, message, result, {**inputs, "reason": failure.reason}, action)


def _end(
    state: Checkpoint,
    seen: Observed,
    failure: Failure,
    verdict: Verdict,
    inputs: Mapping[str, Any],
    action: Action | None,
) -> Step:
    candidate = candidate_of(state)
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
            requesters=candidate.requesters,
        )
        rejected = refused(state, entry)
    past = history(state, seen, ending, failure.reason)
    ended = state.model_copy(update={"candidate": None, "rejected": rejected, "history": past})
    result = ended.model_copy(update={"weights": champion(ended, seen)})
    message = f"Revision {candidate.revision} is out: {failure.reason}: {failure.message}"
    return Step(verdict, message, result, {**inputs, "reason": failure.reason, "detail": failure.message}, action)


def _failure(state: Checkpoint, seen: Observed) -> Failure:
    revision = candidate_of(state).revision
    failure = seen.workload(revision).failure
    if failure is not None and failure.permanent:
        return failure
    smoke = seen.smoke.get(revision)
    message = smoke.message if smoke else "The smoke prediction failed."
    return Failure(Reason.SMOKE_FAILED, message, permanent=True)
