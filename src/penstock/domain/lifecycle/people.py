"""Where a Model stands for the person who gives a command."""

from __future__ import annotations

from datetime import timedelta

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.modelstatus import Outcome, Stage
from penstock.domain.approval import Action, ApprovalPolicy, Question, Refused, Standing, refusal
from penstock.domain.lifecycle import evidence
from penstock.domain.lifecycle.observed import Observed
from penstock.domain.lifecycle.plan import needs_approval

EVALUATES_STABLE = 2
"""Since this version of the rules Evaluate may name the stable revision."""


def next_action(state: Checkpoint, seen: Observed) -> Action | None:
    """Return the oldest command that was not dealt with."""
    return seen.actions[0] if seen.actions and seen.actions[0].uid not in state.handled else None


def refusal_of(action: Action, state: Checkpoint, seen: Observed) -> Refused | None:
    """Say why a command has no effect, or None if it has (now, or as soon as it can)."""
    wrong = next((item.message for item in seen.blockers if item.reason == Reason.POLICY_MISSING), "")
    return refusal(action, standing(state, seen), wrong)


def standing(state: Checkpoint, seen: Observed) -> Standing:
    """Return what commands are judged against."""
    candidate = state.candidate
    plan = candidate.plan if candidate else None
    policy = ApprovalPolicy()
    if plan is not None:
        expires = plan.approval.expires_after_seconds
        policy = ApprovalPolicy(plan.approval.quorum, plan.approval.separation_of_duties, expires)
    question = None
    if candidate is not None and candidate.stage is Stage.AWAITING_APPROVAL and candidate.evidence:
        # While the clock stands nobody's time to approve runs out.
        still = seen.now - max(candidate.paused_since, candidate.since) if candidate.paused_since else timedelta(0)
        since = candidate.since + still
        question = Question(candidate.revision, candidate.evidence, since, frozenset(candidate.requesters))
    asked = candidate is not None and needs_approval(candidate) and not candidate.approved
    served = {item.revision for item in state.history if item.outcome is Outcome.STABLE}
    return Standing(
        model_created=seen.created or seen.now,
        sequence=seen.sequence,
        candidate=candidate.revision if candidate else None,
        stage=candidate.stage if candidate else None,
        candidate_since=candidate.entered if candidate else 0,
        wanted=state.wanted.revision if state.wanted else None,
        stable=state.stable,
        stable_since=state.stable_since,
        previous=tuple(item.revision for item in state.previous),
        former=frozenset(served),
        rejected={item.revision: item.quarantined for item in state.rejected},
        suspended=seen.suspended,
        question=question,
        policy=policy,
        approvers=frozenset(item.user for item in candidate.approvals) if candidate else frozenset(),
        unapproved=asked and candidate is not None and candidate.stage is Stage.AWAITING_APPROVAL,
        verdicts=evidence.verdicts(state, seen),
        gates=tuple(gate.name for gate in seen.plan.gates),
        evaluates_stable=seen.rules >= EVALUATES_STABLE,
    )
