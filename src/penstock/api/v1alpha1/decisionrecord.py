"""The kind DecisionRecord: one entry of a Model's decision log, chained by hashes."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import rfc8785
from pydantic import ConfigDict, Field, JsonValue, WithJsonSchema

from penstock.api.v1alpha1.base import ApiObject, ApiType, Column, Crd
from penstock.api.v1alpha1.fields import (
    IMMUTABLE,
    CamelCaseWord,
    Hash,
    Message,
    ModelName,
    Revision,
    Sequence,
    Text,
    Timestamp,
    Uid,
    cel,
)
from penstock.api.v1alpha1.modelstatus import HistoryEntry, Stage, Wanted


def _free_object(max_properties: int) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "object", "maxProperties": max_properties, "x-kubernetes-preserve-unknown-fields": True}
    )


class PreviousRevision(ApiType):
    """A former stable revision that is still kept."""

    revision: Revision
    full_until: Timestamp
    """Until when it keeps all its pods."""
    warm_until: Timestamp
    """Until when it keeps its warm pods."""


class Reversal(ApiType):
    """Why a candidate that had traffic is taken back."""

    reason: CamelCaseWord
    message: Message = ""


class CandidateState(ApiType):
    """The revision under way."""

    revision: Revision
    stage: Stage
    since: Timestamp
    """When it entered the stage; moved on by the time it was paused, which does not count."""
    attempt: Annotated[int, Field(ge=1)] = 1
    paused_since: Timestamp | None = None
    reversal: Reversal | None = None


class RejectedRevision(ApiType):
    """A revision that was refused, and whether it needs a named release to come back."""

    revision: Revision
    reason: CamelCaseWord
    message: Message = ""
    quarantined: bool = False
    at: Timestamp


class Checkpoint(ApiType):
    """The whole state of a Model after a decision: the newest record alone rebuilds the status."""

    wanted: Wanted | None = None
    stable: Revision | None = None
    previous: list[PreviousRevision] = Field(default_factory=list)
    candidate: CandidateState | None = None
    weights: dict[Revision, Annotated[int, Field(ge=0, le=100)]] = Field(default_factory=dict)
    """Percent of the traffic by revision."""
    rejected: list[RejectedRevision] = Field(default_factory=list)
    history: list[HistoryEntry] = Field(default_factory=list)
    """How the last rollouts ended, the newest first."""


class Decision(ApiType):
    """What was decided, why, and what holds from then on."""

    model_name: ModelName
    """The name of the Model."""
    model_uid: Annotated[Uid, Field(alias="modelUID")]
    """The uid of the Model, which tells it from a later one of the same name."""
    sequence: Sequence
    """The number of the decision, from 1, without gaps."""
    previous_hash: Hash | None = None
    """The hash of the record before; absent in the first one."""
    time: Timestamp
    """When it was decided."""
    actor: Annotated[str, Field(min_length=1, max_length=256)]
    """Who decided: a rule of the operator or a user."""
    rule: Annotated[str, Field(min_length=1, max_length=128)]
    """The rule that applied."""
    requested_by: Text | None = None
    """Who asked for the wanted revision, where this decision changes it."""
    origin: Text | None = None
    """Where that request came from."""
    inputs: Annotated[dict[str, JsonValue], _free_object(64)] = Field(default_factory=dict)
    """The facts that the decision rests on, such as numbers and digests."""
    verdict: CamelCaseWord
    """What was decided."""
    result: Annotated[Checkpoint, _free_object(32)]
    """The whole state of the Model after this decision."""


class DecisionRecordSpec(Decision):
    """A decision and its hash."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "(self.sequence == 1) != has(self.previousHash)",
                "every record but the first names the hash of the one before it",
            )
        )
    )

    hash: Hash
    """The sha256 of the canonical JSON (RFC 8785) of every other field of the spec."""


def content_hash(spec: Mapping[str, Any]) -> str:
    """Return the digest of a DecisionRecord's spec as JSON values, its own `hash` left out.

    Takes the stored JSON rather than the parsed type, so that fields of a newer release count too.
    Raises rfc8785.CanonicalizationError for values that JSON cannot hold exactly.
    """
    content = {key: value for key, value in spec.items() if key != "hash"}
    return f"sha256:{hashlib.sha256(rfc8785.dumps(content)).hexdigest()}"


def seal(decision: Decision) -> DecisionRecordSpec:
    """Return the decision as a record's spec, with its hash."""
    content = decision.as_json()
    return DecisionRecordSpec.model_validate(content | {"hash": content_hash(content)})


class DecisionRecord(ApiObject):
    """One decision about a Model, written by the operator before it takes effect; never changes."""

    crd: ClassVar[Crd] = Crd(
        plural="decisionrecords",
        short_name="pdr",
        columns=(
            Column("Model", ".spec.modelName", "The Model"),
            Column("Sequence", ".spec.sequence", "The number of the decision", type="integer"),
            Column("Rule", ".spec.rule", "The rule that applied"),
            Column("Verdict", ".spec.verdict", "What was decided"),
            Column("Actor", ".spec.actor", "Who decided", priority=1),
        ),
        rules=(
            (
                "self.metadata.name.startsWith(self.spec.modelName + '-' + self.spec.modelUID.substring(0, 8) + '-')"
                " && self.metadata.name.size() == self.spec.modelName.size() + 20"
                " && int(self.metadata.name.substring(self.spec.modelName.size() + 10)) == self.spec.sequence",
                "a DecisionRecord is named MODEL-UID8-SEQUENCE after its spec, with ten digits of sequence",
            ),
        ),
        selectable=(".spec.modelName", ".spec.modelUID"),
    )

    kind: Literal["DecisionRecord"] = "DecisionRecord"
    spec: Annotated[DecisionRecordSpec, Field(json_schema_extra=IMMUTABLE)]
    """The decision; never changes."""
