"""What people's commands do that neither begin nor end a candidate: approvals, promotion, another evaluation."""

from __future__ import annotations

from penstock.api.v1alpha1.checkpoint import Checkpoint, GivenApproval
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.lifecycle import evidence
from penstock.domain.lifecycle.observed import Observed
from penstock.domain.lifecycle.people import refusal_of
from penstock.domain.lifecycle.plan import stages
from penstock.domain.lifecycle.stages import Verdict
from penstock.domain.lifecycle.transitions.back import make_way
from penstock.domain.lifecycle.transitions.begin import roll_back_to
from penstock.domain.lifecycle.transitions.forward import advance, enter
from penstock.domain.lifecycle.transitions.step import Step, candidate_of, carries_traffic, handled, moved

_AIMS = (Stage.AWAITING_APPROVAL, Stage.PROMOTING)


def refuse(state: Checkpoint, seen: Observed) -> Step | None:
    """The command has no effect; that somebody gave it, and why it has none, is kept."""
    action = seen.actions[0]
    refused = refusal_of(action, state, seen)
    if refused is None:
        return None
    result = state.model_copy(update={"handled": handled(state, seen, action)})
    inputs = {"refused": refused.reason.value, "action": action.type.value, "revision": action.revision or ""}
    message = f"{action.type.value} by {action.user} is refused: {refused.sentence}"
    return Step(Verdict.REFUSE, message, result, inputs, action)


def approve(state: Checkpoint, seen: Observed) -> Step | None:
    """One more person agrees; with the last one that is needed the candidate goes on."""
    action = seen.actions[0]
    candidate = candidate_of(state)
    given = GivenApproval(user=action.user, action=action.uid, at=action.created)
    approvals = [*candidate.approvals, given]
    quorum = candidate.plan.approval.quorum if candidate.plan else 1
    enough = len(approvals) >= quorum
    changed = moved(state, seen, approvals=approvals, approved=enough)
    noted = state.model_copy(update={"candidate": changed, "handled": handled(state, seen, action)})
    inputs = {"evidenceDigest": candidate.evidence or "", "reason": action.reason, "approvals": len(approvals)}
    said = f"{action.user} approves revision {candidate.revision} ({len(approvals)} of {quorum})"
    step = advance(noted, seen, said, inputs) if enough else None
    if step is not None:
        return Step(step.verdict, step.message, step.result, step.inputs, action)
    return Step(Verdict.APPROVE, f"{said}.", noted, inputs, action)


def approved(state: Checkpoint, seen: Observed) -> Step | None:
    """The approvals are there, and what held the candidate up then is gone."""
    return advance(state, seen, f"Revision {candidate_of(state).revision} is approved", {})


def promote(state: Checkpoint, seen: Observed) -> Step | None:
    """A person skips the rest of soak and waiting; never a verdict against it, never an approval."""
    action = seen.actions[0]
    candidate = candidate_of(state)
    order = stages(state)
    behind = order[order.index(candidate.stage) + 1 :] if candidate.stage in order else order
    aim = next((stage for stage in behind if stage in _AIMS), None)
    if aim is None:
        return None
    bypassed = bool(evidence.missing(state, seen))
    changed = moved(state, seen, bypassed=candidate.bypassed or bypassed)
    noted = state.model_copy(update={"candidate": changed, "handled": handled(state, seen, action)})
    inputs = {
        "reason": action.reason,
        "bypass": sorted(evidence.missing(state, seen)),
        "analysis": evidence.findings(seen),
    }
    said = f"{action.user} promotes revision {candidate.revision}: {action.reason}"
    step = enter(noted, seen, aim, said, inputs)
    return None if step is None else Step(step.verdict, step.message, step.result, step.inputs, action)


def evaluate(state: Checkpoint, seen: Observed) -> Step | None:
    """A person has the gates asked once more about the candidate; traffic stays as it is."""
    action = seen.actions[0]
    candidate = candidate_of(state)
    changed = moved(state, seen, evaluation=candidate.evaluation + 1)
    result = state.model_copy(update={"candidate": changed, "handled": handled(state, seen, action)})
    message = f"{action.user} has the gates of revision {candidate.revision} asked again: {action.reason}"
    return Step(Verdict.NOTED, message, result, {"evaluation": changed.evaluation}, action)


def roll_back_asked(state: Checkpoint, seen: Observed) -> Step | None:
    """Back to a former revision while people are asked: with traffic, the champion gets that first."""
    return make_way(state, seen) if carries_traffic(state) else roll_back_to(state, seen)
