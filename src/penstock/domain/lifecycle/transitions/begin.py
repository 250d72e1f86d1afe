"""How a candidate begins: asked for by the spec, by a person, or because the stable revision does harm."""

from __future__ import annotations

from typing import Any

from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint, RejectedRevision
from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.modelstatus import Outcome, Source, Stage, Wanted
from penstock.domain.lifecycle.observed import Observed
from penstock.domain.lifecycle.plan import merged, missing_gates
from penstock.domain.lifecycle.stages import Verdict
from penstock.domain.lifecycle.transitions import stable
from penstock.domain.lifecycle.transitions.step import (
    MAX_REQUESTERS,
    Step,
    candidate_of,
    champion,
    goes_back,
    handled,
    hindrances,
    history,
    quarantine_of,
    refused,
    wanted,
)


def begin_candidate(state: Checkpoint, seen: Observed) -> Step | None:
    """Make the revision the spec asks for the candidate; the one under way is superseded."""
    asked = wanted(seen)
    if state.candidate is not None and state.candidate.revision == seen.revision:
        return _asked_for_too(state, seen)
    quarantine = quarantine_of(state, seen.revision)
    if quarantine is not None:
        since = f"{quarantine.at:%Y-%m-%d %H:%M} UTC"
        message = f"Revision {seen.revision} is quarantined since {since}: {quarantine.reason}."
        if goes_back(state):
            return still_leaving(state, seen, message)
        update: dict[str, Any] = {"wanted": asked, "candidate": None, "weights": champion(state, seen)}
        if state.candidate is not None:
            update["history"] = history(state, seen, Outcome.SUPERSEDED, Reason.SUPERSEDED)
        return Step(Verdict.REJECT, message, state.model_copy(update=update), {"quarantine": quarantine.reason})
    return _begin(state, seen, asked)


def _asked_for_too(state: Checkpoint, seen: Observed) -> Step:
    """The spec asks for what is under way already, such as a Git revert after the command Rollback."""
    candidate = candidate_of(state)
    asking = [*candidate.requesters, *([seen.requester] if seen.requester else [])]
    known = candidate.model_copy(update={"requesters": list(dict.fromkeys(asking))[:MAX_REQUESTERS]})
    result = state.model_copy(update={"wanted": wanted(seen), "candidate": known})
    message = f"The spec asks for revision {candidate.revision}, which is under way."
    return Step(Verdict.NOTED, message, result, {"specHash": seen.spec_hash})


def still_leaving(state: Checkpoint, seen: Observed, why: str) -> Step | None:
    """The spec asks for what is quarantined while that is being left: what is under way goes on."""
    if state.wanted is None or state.wanted.spec_hash == seen.spec_hash:
        return None
    result = state.model_copy(update={"wanted": state.wanted.model_copy(update={"spec_hash": seen.spec_hash})})
    message = f"{why} Revision {candidate_of(state).revision} goes on."
    return Step(Verdict.REJECT, message, result, {"specHash": seen.spec_hash})


def start(state: Checkpoint, seen: Observed) -> Step | None:
    """Nothing blocks the pending candidate any more: what it has to go through is fixed from here on."""
    candidate = candidate_of(state)
    moved = candidate.model_copy(update={"stage": Stage.STARTING, "since": seen.now, "plan": seen.plan})
    result = state.model_copy(update={"candidate": moved})
    return Step(Verdict.START, f"Revision {candidate.revision} is started.", result, {"plan": seen.plan.as_json()})


def replan(state: Checkpoint, seen: Observed) -> Step | None:
    """The plan was edited before anything was measured: what asks for more holds, what asks for less waits as ever."""
    candidate = candidate_of(state)
    plan = merged(candidate.plan, seen.plan, missing_gates(candidate)) if candidate.plan else seen.plan
    if candidate.plan == plan or candidate.cites:
        return None
    old = candidate.plan.as_json() if candidate.plan else None
    result = state.model_copy(update={"candidate": candidate.model_copy(update={"plan": plan})})
    message = f"The plan of revision {candidate.revision} was edited before it was measured."
    return Step(Verdict.RECONSIDER, message, result, {"old": old, "new": plan.as_json()})


def retry(state: Checkpoint, seen: Observed) -> Step | None:
    """A person asks for a rejected revision once more."""
    action = seen.actions[0]
    step = _begin(state, seen, state.wanted or wanted(seen), revision=action.revision, asker=action.user)
    result = step.result.model_copy(update={"handled": handled(state, seen, action)})
    message = f"{action.user} has revision {action.revision} tried again. {step.message}"
    return Step(step.verdict, message, result, {**step.inputs, "reason": action.reason}, action)


def release(state: Checkpoint, seen: Observed) -> Step | None:
    """A person lifts a quarantine; if that revision is still asked for, it begins anew."""
    action = seen.actions[0]
    freed = state.model_copy(
        update={
            "rejected": [
                item.model_copy(update={"quarantined": False}) if item.revision == action.revision else item
                for item in state.rejected
            ],
            "handled": handled(state, seen, action),
        }
    )
    message = f"{action.user} releases revision {action.revision} from quarantine: {action.reason}"
    asked_for = state.wanted is not None and state.wanted.revision == action.revision
    if not asked_for or state.candidate is not None or state.stable == action.revision or seen.undecided:
        return Step(Verdict.RELEASE, message, freed, {"reason": action.reason}, action)
    step = _begin(freed, seen, state.wanted or wanted(seen), revision=action.revision)
    return Step(
        Verdict.RELEASE, f"{message} {step.message}", step.result, {**step.inputs, "reason": action.reason}, action
    )


def roll_back_to(state: Checkpoint, seen: Observed) -> Step | None:
    """A person asks for a former revision: what serves, and what is under way, is quarantined."""
    action = seen.actions[0]
    target = action.revision or next((item.revision for item in state.previous), None)
    if target is None:
        return None
    message = f"{action.user} asks for revision {target} again: {action.reason}"
    why = f"Rolled back by {action.user}: {action.reason}"
    step = _go_back(state, seen, target, why, Reason.ROLLED_BACK, asker=action.user)
    result = step.result.model_copy(update={"handled": handled(state, seen, action)})
    return Step(step.verdict, f"{message} {step.message}", result, {**step.inputs, "reason": action.reason}, action)


def roll_back_stable(state: Checkpoint, seen: Observed) -> Step | None:
    """The stable revision does harm inside the rollback window: its predecessor takes over again."""
    target = next((item.revision for item in state.previous if item.warm_until > seen.now), None)
    if target is None or state.stable is None or quarantine_of(state, target) is not None:
        return None
    if quarantine_of(state, state.stable) is not None:
        # That way was tried already, and its end is in the log: it would be begun again at every look.
        return None
    harm = seen.crashed[state.stable]
    return _go_back(state, seen, target, harm, Reason.CANARY_HARM)


def _go_back(state: Checkpoint, seen: Observed, target: str, why: str, reason: Reason, *, asker: str = "") -> Step:
    """Make a former revision the candidate and quarantine the one that serves."""
    rejected = state.rejected
    if state.stable is not None:
        entry = RejectedRevision(revision=state.stable, reason=reason, message=why, quarantined=True, at=seen.now)
        rejected = refused(state, entry)
    left = state.model_copy(update={"rejected": rejected})
    if state.candidate is not None and state.candidate.revision != target:
        # What was under way was built on what is left now.
        under_way = RejectedRevision(
            revision=state.candidate.revision,
            reason=reason,
            message=why,
            quarantined=True,
            at=seen.now,
            requesters=state.candidate.requesters,
        )
        left = left.model_copy(update={"rejected": refused(left, under_way)})
    asked = Wanted(revision=target, source=Source.ROLLBACK, spec_hash=seen.spec_hash, at=seen.now)
    return _begin(left, seen, asked, revision=target, urgent=True, asker=asker)


def _begin(
    state: Checkpoint,
    seen: Observed,
    asked: Wanted,
    *,
    revision: str | None = None,
    urgent: bool = False,
    asker: str = "",
) -> Step:
    """Make a revision the candidate.

    `urgent`: a way back waits neither for a freeze nor for data. `asker`: the person whose command it carries out.
    """
    revision = revision or seen.revision
    lately = next((item for item in state.previous if item.revision == revision and item.warm_until > seen.now), None)
    # A way back to what served lately relies on what was proven then: a freeze or bad data do not hold it up.
    free = urgent or lately is not None
    blockers, held = hindrances(seen, free=free)
    waits = bool(blockers or held)
    before = next((item for item in state.rejected if item.revision == revision), None)
    requesters = [*(before.requesters if before else []), *(name for name in (seen.requester, asker) if name)]
    candidate = CandidateState(
        revision=revision,
        stage=Stage.PENDING if waits else Stage.STARTING,
        since=seen.now,
        attempt=_attempt(state, revision),
        plan=None if waits else seen.plan,
        cites=max(1, lately.sequence) if lately is not None else 0,
        entered=seen.sequence + 1,
        requesters=list(dict.fromkeys(requesters))[:MAX_REQUESTERS],
    )
    result = state.model_copy(
        update={
            "wanted": asked,
            "candidate": candidate,
            "weights": champion(state, seen),
            "rejected": [item for item in state.rejected if item.revision != revision],
            # The gates have a candidate to look at, and the champion's pods are needed to compare it with.
            "evaluation": stable.given_up(state, seen.now, f"Given up: revision {revision} is under way."),
        }
    )
    inputs: dict[str, Any] = {
        "specHash": asked.spec_hash,
        "source": asked.source.value,
        "blockers": [item.reason for item in blockers],
    }
    if not waits:
        inputs["plan"] = seen.plan.as_json()
    if (under_way := stable.running(state)) is not None:
        inputs["givenUp"] = {"evaluation": under_way.round, "gates": stable.unanswered(under_way)}
    if lately is not None:
        inputs["reliesOn"] = candidate.cites
    if state.candidate is not None:
        inputs["superseded"] = state.candidate.revision
        result = result.model_copy(update={"history": history(state, seen, Outcome.SUPERSEDED, Reason.SUPERSEDED)})
    if waits:
        why = blockers[0].message if blockers else held
        return Step(Verdict.WAIT, f"Revision {revision} waits: {why}", result, inputs)
    return Step(Verdict.START, f"Revision {revision} is started.", result, inputs)


def _attempt(state: Checkpoint, revision: str) -> int:
    if state.candidate is not None and state.candidate.revision == revision:
        return state.candidate.attempt
    return 1 + sum(item.revision == revision for item in state.rejected)
