"""What an approval is bound to: a snapshot of everything known about a revision, and its digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, JsonValue

from penstock.api.canonical import canonical_digest
from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.fields import Timestamp

Numbers = dict[str, JsonValue]
"""Values, bounds and counts as they are shown: decimal strings or integers."""


class GateEvidence(ApiType):
    """What one gate found out."""

    name: str
    spec_hash: str
    """The hash of the gate's spec in force."""
    dataset_digest: str | None = None
    """The digest of the rows that were judged on."""
    verdict: str
    numbers: Numbers = Field(default_factory=dict)


class LiveEvidence(ApiType):
    """What live traffic showed: the shadow, or one analysis of the canary."""

    name: str
    verdict: str
    n: Annotated[int, Field(ge=0)]
    """How many answers it rests on."""
    window_end: Timestamp
    """Until when answers were counted; later ones are not part of the evidence."""
    numbers: Numbers = Field(default_factory=dict)


_Named = TypeVar("_Named", GateEvidence, LiveEvidence)


def _by_name(items: tuple[_Named, ...]) -> tuple[_Named, ...]:
    return tuple(sorted(items, key=lambda item: item.name))


class EvidenceSnapshot(ApiType):
    """Everything that a person who approves a revision relies on. Never changes once it is written down."""

    version: Literal["penstock.dev/evidence/1"] = "penstock.dev/evidence/1"
    """Stands in the digest, so that a later change of this form can never collide with an older one."""
    model: str
    """The name of the Model."""
    model_uid: Annotated[str, Field(alias="modelUID")]
    """The uid of the Model: an approval does not pass on to a later one of the same name."""
    revision: str
    plan: dict[str, JsonValue]
    """The plan in force: gates, steps, margins, what is needed for approval."""
    policy_version: str
    """The version of the rules that the verdicts were made by."""
    gates: Annotated[tuple[GateEvidence, ...], AfterValidator(_by_name)] = ()
    shadow: LiveEvidence | None = None
    analysis: Annotated[tuple[LiveEvidence, ...], AfterValidator(_by_name)] = ()


def evidence_digest(snapshot: EvidenceSnapshot | Mapping[str, Any]) -> str:
    """Return `sha256:<hex>` of the snapshot's RFC 8785 JSON, so that anybody can compute it again.

    Takes the stored JSON too. Raises CanonicalizationError for what JSON cannot hold exactly.
    """
    content = snapshot.as_json() if isinstance(snapshot, EvidenceSnapshot) else dict(snapshot)
    return canonical_digest(content)
