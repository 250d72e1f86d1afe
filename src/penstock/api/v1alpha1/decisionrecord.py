"""The kind DecisionRecord: one entry of a Model's decision log, chained by hashes."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, JsonValue, WithJsonSchema

from penstock.api.canonical import canonical_digest
from penstock.api.v1alpha1.base import ApiObject, ApiType, Column, Crd
from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.fields import (
    IMMUTABLE,
    CamelCaseWord,
    Hash,
    ModelName,
    Sequence,
    Text,
    Timestamp,
    Uid,
    cel,
)


def _free_object(max_properties: int) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "object", "maxProperties": max_properties, "x-kubernetes-preserve-unknown-fields": True}
    )


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
    Raises CanonicalizationError for values that JSON cannot hold exactly.
    """
    return canonical_digest({key: value for key, value in spec.items() if key != "hash"})


def seal(decision: Decision) -> dict[str, Any]:
    """Return the decision as the JSON of a record's spec, with its hash."""
    content = decision.as_json()
    return {**content, "hash": content_hash(content)}


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
