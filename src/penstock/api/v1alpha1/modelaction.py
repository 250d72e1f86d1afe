"""The kind ModelAction: one command of a person about a Model, signed by the name of who created it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from penstock.api.v1alpha1.base import ApiObject, ApiType, Column, Crd
from penstock.api.v1alpha1.fields import (
    IMMUTABLE,
    CamelCaseWord,
    Hash,
    Message,
    ModelName,
    Revision,
    Sequence,
    Timestamp,
    cel,
)


class ActionType(StrEnum):
    """What a person can ask for. The verb that RBAC has to grant on the Model is the word in lower case."""

    # Retrain and Rebuild are commands of the design too. They come with what carries them out: a command that is
    # accepted and does nothing would be worse than one that does not exist.
    APPROVE = "Approve"
    REJECT = "Reject"
    PROMOTE = "Promote"
    ROLLBACK = "Rollback"
    RETRY = "Retry"
    EVALUATE = "Evaluate"
    RELEASE_QUARANTINE = "ReleaseQuarantine"


class ActionState(StrEnum):
    """What became of a command."""

    PENDING = "Pending"
    ACCEPTED = "Accepted"
    REFUSED = "Refused"
    DONE = "Done"


class ModelRef(ApiType):
    """A Model of the same namespace."""

    name: ModelName
    """The name of the Model."""


class ModelActionSpec(ApiType):
    """The command; never changes."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.revision) || self.action == 'Rollback'",
                "revision is required: the 12 digits of the revision that this is about",
            ),
            (
                "has(self.evidenceDigest) || self.action != 'Approve'",
                "evidenceDigest is required for Approve: what status.candidate.evidenceDigest of the Model says",
            ),
            (
                "!has(self.evidenceDigest) || self.action in ['Approve', 'Reject']",
                "evidenceDigest is for Approve and Reject only",
            ),
            (
                "!(self.action in ['Reject', 'Promote', 'Rollback', 'ReleaseQuarantine'])"
                " || (has(self.reason) && self.reason.trim() != '')",
                "reason is required for Reject, Promote, Rollback and ReleaseQuarantine: it stays in the decision log",
            ),
            (
                "!has(self.bypass) || !self.bypass || self.action == 'Promote'",
                "bypass is for Promote only",
            ),
        )
    )

    model_ref: ModelRef
    """The Model."""
    action: ActionType
    """What is asked for."""
    revision: Revision | None = None
    """The candidate, for Evaluate also the stable one, for Rollback where to go back to: if absent, the one before."""
    evidence_digest: Hash | None = None
    """The digest of the evidence that was looked at: without it nobody could say what was approved."""
    sequence: Sequence | None = None
    """The number of the decision that was seen last: the command is refused if it came to something else since."""
    reason: Annotated[str, Field(max_length=1024)] | None = None
    """Why, for the decision log."""
    bypass: bool = False
    """Promotes although evidence is missing or inconclusive; never against a failed gate or without an approval."""
    user: Annotated[str, Field(min_length=1, max_length=256)]
    """Who asks: the name that the API server knows the creator by, see kubectl auth whoami."""


class ModelActionStatus(ApiType):
    """What became of the command."""

    state: ActionState = ActionState.PENDING
    """Pending until it was looked at, Accepted while it waits for its effect, then Done, or Refused."""
    reason: CamelCaseWord | None = None
    """One CamelCase word that says why."""
    message: Message | None = None
    """One sentence for people."""
    sequence: Sequence | None = None
    """The number of the decision that followed from it."""
    observed_at: Timestamp | None = None
    """When it was looked at last."""


class ModelAction(ApiObject):
    """One command of a person about a Model: approve, reject, promote, roll back; never changes."""

    crd: ClassVar[Crd] = Crd(
        plural="modelactions",
        short_name="pma",
        columns=(
            Column("Model", ".spec.modelRef.name", "The Model"),
            Column("Action", ".spec.action", "What was asked for"),
            Column("User", ".spec.user", "Who asked"),
            Column("State", ".status.state", "What became of it"),
            Column("Sequence", ".status.sequence", "The number of the decision that followed", type="integer"),
        ),
        status_default={"state": ActionState.PENDING.value},
        selectable=(".spec.modelRef.name", ".status.state"),
    )

    kind: Literal["ModelAction"] = "ModelAction"
    spec: Annotated[ModelActionSpec, Field(json_schema_extra=IMMUTABLE)]
    """The command; never changes."""
    status: ModelActionStatus = Field(default_factory=ModelActionStatus)
    """What became of it."""
