"""Whether a command may be carried out, given where a Model stands: one row per action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from penstock.api.v1alpha1.modelaction import ActionType
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.approval.action import Action, Refusal, Refused
from penstock.domain.approval.votes import Approval, ApprovalPolicy, Question, objection

# What can be decided while spec.suspend is true: the ways back.
WAYS_BACK = frozenset({ActionType.REJECT, ActionType.ROLLBACK})
PASSING = frozenset({"Pass", "NotApplicable"})
FAILING = "Fail"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a Model stands when a command is looked at.

    Attributes:
        model_created: when this Model was made; an older command is about a former one of the same name.
        sequence: the number of the newest decision.
        candidate, stage: the revision under way and its stage.
        candidate_since: the number of the decision that made it the candidate.
        wanted: the revision that is asked for.
        stable: the revision that serves.
        stable_since: the number of the decision that made it stable.
        previous: former stable revisions that are kept, the newest first.
        former: every revision that is known to have been stable.
        rejected: refused revisions, and whether they are quarantined.
        suspended: whether spec.suspend is true.
        question: what waits for approval, None where nothing does.
        policy, approvers: what is needed for it, and whose approval counts already.
        unapproved: whether an approval is needed before the next step and was not given.
        verdicts: the verdict of every required gate and analysis of the candidate.
        gates: the gates that the Model names now.
        evaluates_stable: whether Evaluate may name the stable revision; by the first rules it may not.
    """

    model_created: datetime
    sequence: int
    candidate: str | None = None
    stage: Stage | None = None
    candidate_since: int = 0
    wanted: str | None = None
    stable: str | None = None
    stable_since: int = 0
    previous: tuple[str, ...] = ()
    former: frozenset[str] = frozenset()
    rejected: Mapping[str, bool] = field(default_factory=dict)
    suspended: bool = False
    question: Question | None = None
    policy: ApprovalPolicy = field(default_factory=ApprovalPolicy)
    approvers: frozenset[str] = frozenset()
    unapproved: bool = False
    verdicts: Mapping[str, str] = field(default_factory=dict)
    gates: tuple[str, ...] = ()
    evaluates_stable: bool = True


Rule = Callable[[Action, Standing], Refused | None]


def refusal(action: Action, standing: Standing | None, policies_wrong: str = "") -> Refused | None:
    """Say why a command has no effect, or None if it may be carried out.

    `standing` None: there is no such Model. `policies_wrong`: the sentence about admission
    policies that are not in force; without them nobody's name is proven, so nothing counts.
    """
    if policies_wrong:
        return Refused(
            Refusal.POLICY_MISSING,
            f"The admission policies are not in force, so that nobody knows who asked ({policies_wrong}).",
        )
    if standing is None:
        return Refused(Refusal.MODEL_MISSING, "There is no such Model.")
    if action.created < standing.model_created:
        return Refused(Refusal.FORMER_MODEL, "This is older than the Model: it was about a former one of this name.")
    if action.sequence is not None and action.sequence > standing.sequence:
        return Refused(
            Refusal.UNKNOWN_SEQUENCE,
            f"There is no decision {action.sequence}; the newest one is {standing.sequence}.",
        )
    if standing.suspended and action.type not in WAYS_BACK:
        return Refused(Refusal.SUSPENDED, "spec.suspend is true: only Reject and Rollback are carried out.")
    return RULES[action.type](action, standing)


def rollback_target(action: Action, standing: Standing) -> str | None:
    """Return the revision that a Rollback goes back to, or None if none is known."""
    return action.revision or next(iter(standing.previous), None)


def _of_candidate(action: Action, standing: Standing) -> Refused | None:
    if standing.candidate is None:
        return Refused(Refusal.NO_CANDIDATE, "No revision is under way.")
    if standing.candidate != action.revision:
        return Refused(
            Refusal.WRONG_REVISION,
            f"This is about revision {action.revision}; revision {standing.candidate} is under way.",
        )
    if action.sequence is not None and action.sequence < standing.candidate_since:
        return Refused(
            Refusal.STALE,
            f"Revision {standing.candidate} was started again by decision {standing.candidate_since}, "
            f"after decision {action.sequence}; look again.",
        )
    if standing.stage is Stage.ROLLING_BACK:
        return Refused(Refusal.GOING_BACK, f"Revision {standing.candidate} is being taken back already.")
    return None


def _has_run(action: Action, standing: Standing) -> Refused | None:
    if standing.stage in (Stage.PENDING, Stage.STARTING):
        return Refused(Refusal.TOO_EARLY, f"Revision {standing.candidate} does not run yet.")
    if standing.stage is Stage.PROMOTING:
        return Refused(Refusal.TOO_LATE, f"Revision {standing.candidate} is being promoted already.")
    return None


def _approve(action: Action, standing: Standing) -> Refused | None:
    refused = _of_candidate(action, standing)
    if refused is not None:
        return refused
    if standing.question is None:
        return Refused(
            Refusal.NOT_AWAITING_APPROVAL, f"Revision {standing.candidate} does not wait for approval at the moment."
        )
    return objection(Approval.of(action), standing.question, standing.policy, standing.approvers)


def _reject(action: Action, standing: Standing) -> Refused | None:
    refused = _of_candidate(action, standing)
    if refused is not None or action.evidence_digest is None:
        return refused
    if standing.question is None:
        return Refused(
            Refusal.EVIDENCE_CHANGED,
            f"Revision {standing.candidate} does not wait for approval at the moment, so the evidence named here is "
            "not the present one; leave evidenceDigest out to reject it whatever the evidence says.",
        )
    return objection(Approval.of(action), standing.question, standing.policy)


def _promote(action: Action, standing: Standing) -> Refused | None:
    refused = _of_candidate(action, standing) or _has_run(action, standing)
    if refused is not None:
        return refused
    failed = sorted(name for name, verdict in standing.verdicts.items() if verdict == FAILING)
    if failed:
        return Refused(
            Refusal.EVIDENCE_FAILED, f"Revision {standing.candidate} failed {', '.join(failed)}; nobody can skip that."
        )
    if standing.unapproved:
        return Refused(Refusal.APPROVAL_NEEDED, f"Revision {standing.candidate} has to be approved first.")
    missing = sorted(name for name, verdict in standing.verdicts.items() if verdict not in PASSING)
    if missing and not action.bypass:
        return Refused(
            Refusal.EVIDENCE_MISSING,
            f"There is no verdict about revision {standing.candidate} from {', '.join(missing)}; "
            "who has the verb relax on the Model can promote it with bypass: true, which is recorded.",
        )
    return None


def _evaluate(action: Action, standing: Standing) -> Refused | None:
    if standing.evaluates_stable and standing.stable is not None and action.revision == standing.stable:
        return _evaluate_stable(action, standing)
    return _of_candidate(action, standing) or _has_run(action, standing)


def _evaluate_stable(action: Action, standing: Standing) -> Refused | None:
    if standing.candidate is not None:
        return Refused(
            Refusal.CANDIDATE_UNDER_WAY,
            f"Revision {standing.candidate} is under way, and the gates are asked about it; "
            f"ask about {standing.stable} when that has ended, or Reject that one first.",
        )
    if not standing.gates:
        return Refused(Refusal.NO_GATES, "The Model names no gates; write some into its spec.rollout.gates.")
    return _since_stable(action, standing)


def _since_stable(action: Action, standing: Standing) -> Refused | None:
    if action.sequence is None or action.sequence >= standing.stable_since:
        return None
    return Refused(
        Refusal.STALE,
        f"Revision {standing.stable} serves since decision {standing.stable_since}, "
        f"after decision {action.sequence}; look again.",
    )


def _retry(action: Action, standing: Standing) -> Refused | None:
    quarantined = standing.rejected.get(action.revision or "")
    if quarantined is None:
        return Refused(Refusal.NOT_REJECTED, f"Revision {action.revision} was not rejected.")
    if quarantined:
        return _quarantined(action.revision)
    if action.revision != standing.wanted:
        return Refused(
            Refusal.NOT_WANTED,
            f"The Model asks for revision {standing.wanted} now; write the other one into its spec to have it again.",
        )
    if standing.candidate is not None:
        return Refused(Refusal.CANDIDATE_UNDER_WAY, f"Revision {standing.candidate} is under way.")
    return None


def _rollback(action: Action, standing: Standing) -> Refused | None:
    target = rollback_target(action, standing)
    if target is None:
        return Refused(Refusal.NO_PREVIOUS, "No revision served before this one, or it is not kept any more.")
    if target == standing.stable:
        return Refused(Refusal.ALREADY_STABLE, f"Revision {target} serves; to take back the one under way use Reject.")
    if target not in standing.former and target not in standing.previous:
        return Refused(Refusal.NEVER_STABLE, f"Revision {target} is not known to have served this Model.")
    if standing.rejected.get(target):
        return _quarantined(target)
    if target == standing.candidate and standing.stage is not Stage.ROLLING_BACK:
        return Refused(Refusal.CANDIDATE_UNDER_WAY, f"Revision {target} is on its way already.")
    return _since_stable(action, standing)


def _release(action: Action, standing: Standing) -> Refused | None:
    if standing.rejected.get(action.revision or ""):
        return None
    return Refused(Refusal.NOT_QUARANTINED, f"Revision {action.revision} is not quarantined.")


def _quarantined(revision: str | None) -> Refused:
    return Refused(
        Refusal.QUARANTINED, f"Revision {revision} is quarantined; release it first by the action ReleaseQuarantine."
    )


RULES: Mapping[ActionType, Rule] = {
    ActionType.APPROVE: _approve,
    ActionType.REJECT: _reject,
    ActionType.PROMOTE: _promote,
    ActionType.EVALUATE: _evaluate,
    ActionType.RETRY: _retry,
    ActionType.ROLLBACK: _rollback,
    ActionType.RELEASE_QUARANTINE: _release,
}
"""One rule per action; a test counts them."""
