"""A person's command as plain values, and what is said where it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from penstock.api.v1alpha1.modelaction import ActionType, ModelAction


@dataclass(frozen=True, slots=True)
class Action:
    """A ModelAction. `created`: by the clock of the API server, in whole seconds."""

    uid: str
    name: str
    type: ActionType
    revision: str | None
    user: str
    evidence_digest: str | None
    sequence: int | None
    reason: str
    created: datetime
    bypass: bool = False

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Action:
        """Read a stored ModelAction. Raises pydantic.ValidationError, ValueError for what no API server returns."""
        action = ModelAction.model_validate(obj)
        created = action.metadata.creation_timestamp
        if created is None:
            raise ValueError(f"ModelAction {action.metadata.name} has no creationTimestamp")
        spec = action.spec
        return cls(
            uid=action.metadata.uid,
            name=action.metadata.name,
            type=spec.action,
            revision=spec.revision,
            user=spec.user,
            evidence_digest=spec.evidence_digest,
            sequence=spec.sequence,
            reason=spec.reason or "",
            created=created,
            bypass=spec.bypass,
        )


class Refusal(StrEnum):
    """Why a command is refused; docs/actions.md says what a person can do then."""

    POLICY_MISSING = "PolicyMissing"
    MODEL_MISSING = "ModelMissing"
    FORMER_MODEL = "FormerModel"
    EXPIRED = "Expired"
    STALE = "Stale"
    UNKNOWN_SEQUENCE = "UnknownSequence"
    SUSPENDED = "Suspended"
    NO_CANDIDATE = "NoCandidate"
    WRONG_REVISION = "WrongRevision"
    GOING_BACK = "GoingBack"
    TOO_EARLY = "TooEarly"
    TOO_LATE = "TooLate"
    NOT_AWAITING_APPROVAL = "NotAwaitingApproval"
    EVIDENCE_CHANGED = "EvidenceChanged"
    OWN_REQUEST = "OwnRequest"
    REQUESTER_UNKNOWN = "RequesterUnknown"
    ALREADY_APPROVED = "AlreadyApproved"
    APPROVAL_NEEDED = "ApprovalNeeded"
    EVIDENCE_FAILED = "EvidenceFailed"
    EVIDENCE_MISSING = "EvidenceMissing"
    CANDIDATE_UNDER_WAY = "CandidateUnderWay"
    NOT_REJECTED = "NotRejected"
    NOT_WANTED = "NotWanted"
    QUARANTINED = "Quarantined"
    NOT_QUARANTINED = "NotQuarantined"
    NO_PREVIOUS = "NoPrevious"
    ALREADY_STABLE = "AlreadyStable"
    NEVER_STABLE = "NeverStable"
    NO_GATES = "NoGates"


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that has no effect: one word for programs and a sentence for people."""

    reason: Refusal
    sentence: str
