"""What people decide about revisions: who may say what, when it counts, and what it is bound to."""

from penstock.domain.approval.action import Action, Refusal, Refused
from penstock.domain.approval.evidence import EvidenceSnapshot, GateEvidence, LiveEvidence, evidence_digest
from penstock.domain.approval.rules import Standing, refusal, rollback_target
from penstock.domain.approval.votes import Approval, ApprovalPolicy, ApprovalState, Question, count, deadline, objection

__all__ = [
    "Action",
    "Approval",
    "ApprovalPolicy",
    "ApprovalState",
    "EvidenceSnapshot",
    "GateEvidence",
    "LiveEvidence",
    "Question",
    "Refusal",
    "Refused",
    "Standing",
    "count",
    "deadline",
    "evidence_digest",
    "objection",
    "refusal",
    "rollback_target",
]
