"""Whether a revision is approved: whose word counts, for which evidence, and until when."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from penstock.api.v1alpha1.modelaction import ActionType
from penstock.domain.approval.action import Action, Refusal, Refused


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's word about a revision: yes, or no where `approves` is False.

    `uid`: of the ModelAction, which may be gone by now. `at`: when that was created.
    """

    uid: str
    user: str
    revision: str
    evidence_digest: str | None
    at: datetime
    approves: bool = True

    @classmethod
    def of(cls, action: Action) -> Approval:
        """The word that an Approve or Reject gives. Raises ValueError for any other action."""
        if action.type not in (ActionType.APPROVE, ActionType.REJECT) or action.revision is None:
            raise ValueError(f"{action.type} of {action.name} is no vote")
        approves = action.type is ActionType.APPROVE
        return cls(action.uid, action.user, action.revision, action.evidence_digest, action.created, approves)


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """What is needed. `expires_after`: seconds after which nobody can approve any more, None for never."""

    quorum: int = 1
    separation: bool = False
    expires_after: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `since`: when it was first asked; moved on by time that does not count, such as suspension.

    `requesters`: everybody who asked for this revision since it was last stable.
    """

    revision: str
    evidence_digest: str
    since: datetime
    requesters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ApprovalState:
    """What has been said so far. `missing`: how many more people are needed. `refused`: by uid of the ModelAction."""

    valid: tuple[Approval, ...]
    missing: int
    refused: dict[str, Refused]
    rejected_by: Approval | None
    expired: bool

    @property
    def approved(self) -> bool:
        """Whether the revision may go on."""
        return self.missing == 0 and self.rejected_by is None


def deadline(question: Question, policy: ApprovalPolicy) -> datetime | None:
    """Return the moment from which on nobody can approve any more, or None."""
    return None if policy.expires_after is None else question.since + timedelta(seconds=policy.expires_after)


def objection(
    approval: Approval, question: Question, policy: ApprovalPolicy, approvers: Collection[str] = ()
) -> Refused | None:
    """Say why a vote does not count, or None if it does. `approvers`: users whose approval counts already.

    A vote from before the question was asked counts only if it names this very evidence.
    """
    revision, user, end = question.revision, approval.user, deadline(question, policy)
    if approval.revision != revision:
        return Refused(
            Refusal.WRONG_REVISION, f"This is about revision {approval.revision}; what waits is revision {revision}."
        )
    if approval.evidence_digest != question.evidence_digest and (
        approval.approves or approval.evidence_digest is not None
    ):
        return Refused(
            Refusal.EVIDENCE_CHANGED,
            f"There is other evidence about revision {revision} now: {question.evidence_digest}. "
            "Look at it and decide again.",
        )
    if not approval.approves:
        return None
    if policy.separation and not question.requesters:
        return Refused(
            Refusal.REQUESTER_UNKNOWN,
            f"Nobody is on record as having asked for revision {revision}, so nobody can be told apart from them; "
            "have a named person ask for another one.",
        )
    if policy.separation and user in question.requesters:
        return Refused(Refusal.OWN_REQUEST, f"{user} asked for revision {revision}; somebody else has to approve it.")
    if end is not None and approval.at >= end:
        return Refused(
            Refusal.EXPIRED, f"Revision {revision} could be approved until {end:%Y-%m-%d %H:%M:%S} UTC only."
        )
    if user in approvers:
        return Refused(Refusal.ALREADY_APPROVED, f"{user} approved revision {revision} already and counts once.")
    return None


def count(approvals: Iterable[Approval], question: Question, policy: ApprovalPolicy, now: datetime) -> ApprovalState:
    """Count the votes about a question, in whatever order they come.

    One valid Reject ends it, whatever the others say. Approvals given in time stay valid when the
    time is over, so that it does not matter when they were looked at.
    """
    valid: dict[str, Approval] = {}
    refused: dict[str, Refused] = {}
    rejection: Approval | None = None
    counted: set[str] = set()
    for approval in sorted(approvals, key=lambda item: (item.at, item.uid)):
        if approval.uid in counted:
            continue
        counted.add(approval.uid)
        refusal = objection(approval, question, policy, valid)
        if refusal is not None:
            refused[approval.uid] = refusal
        elif approval.approves:
            valid[approval.user] = approval
        else:
            rejection = rejection or approval
    missing = max(0, max(1, policy.quorum) - len(valid))
    end = deadline(question, policy)
    return ApprovalState(
        valid=tuple(valid.values()),
        missing=missing,
        refused=refused,
        rejected_by=rejection,
        expired=missing > 0 and rejection is None and end is not None and now >= end,
    )
