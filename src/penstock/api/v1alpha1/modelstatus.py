"""What the operator shows in the status of a Model."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.conditions import Condition
from penstock.api.v1alpha1.fields import (
    ATOMIC,
    MAX_SAFE_INTEGER,
    CamelCaseWord,
    Digest,
    Hash,
    Message,
    ReplicaCount,
    Revision,
    Sequence,
    Timestamp,
    list_map,
)

HISTORY_LIMIT = 10


class Stage(StrEnum):
    """How far a revision has come."""

    PENDING = "Pending"
    STARTING = "Starting"
    PROMOTING = "Promoting"
    STABLE = "Stable"
    ROLLING_BACK = "RollingBack"
    REJECTED = "Rejected"
    SUPERSEDED = "Superseded"


class Source(StrEnum):
    """What asked for the wanted revision."""

    SPEC = "Spec"


class Outcome(StrEnum):
    """How the rollout of a revision ended."""

    STABLE = "Stable"
    REJECTED = "Rejected"
    SUPERSEDED = "Superseded"


class Role(StrEnum):
    """Why a revision gets traffic."""

    STABLE = "Stable"
    CANDIDATE = "Candidate"


class Wanted(ApiType):
    """The revision that should serve, and who asked for it."""

    revision: Revision
    """The revision that should serve."""
    source: Source
    """What asked for it: Spec is a change of the Model's spec."""
    spec_hash: Hash
    """The hash of the parts of the spec that change an answer, at that moment."""
    at: Timestamp
    """When it was asked for."""


class ServedRevision(ApiType):
    """A revision with pods."""

    revision: Revision
    """The revision."""
    digest: Digest
    """The digest of its artifact."""
    replicas: ReplicaCount = 0
    """How many pods it has."""
    ready_replicas: ReplicaCount = 0
    """How many of its pods are ready."""


class CandidateRevision(ServedRevision):
    """The revision on its way to serving."""

    stage: Stage
    """How far it has come."""
    since: Timestamp
    """When it entered that stage."""
    waiting_for: Message | None = None
    """What it waits for."""


class Traffic(ApiType):
    """The share of requests that a revision gets."""

    revision: Revision
    """The revision."""
    role: Role
    """Whether it is the stable revision or the candidate."""
    weight: Annotated[int, Field(ge=0, le=100)]
    """The share in percent, as applied."""


class HistoryEntry(ApiType):
    """How the rollout of a revision ended."""

    revision: Revision
    """The revision."""
    outcome: Outcome
    """How its rollout ended: Stable, Rejected or Superseded."""
    reason: CamelCaseWord
    """One CamelCase word that says why."""
    at: Timestamp
    """When its rollout ended."""


class Address(ApiType):
    """Where clients inside the cluster reach a Model."""

    url: Annotated[str, Field(max_length=2048)]
    """The URL of the Service of the stable revision."""


class ModelStatus(ApiType):
    """What the operator has seen of a Model and done for it."""

    observed_generation: Annotated[int, Field(ge=-1, le=MAX_SAFE_INTEGER)] = -1
    """The metadata.generation that this status is about; -1 before the operator has looked."""
    conditions: Annotated[list[Condition], Field(max_length=32, json_schema_extra=list_map("type"))] = Field(
        default_factory=list
    )
    """What is so, in the form of Kubernetes conditions; Ready is the one to wait for."""
    url: Annotated[str, Field(max_length=2048)] | None = None
    """Where clients outside the cluster reach the Model."""
    address: Address | None = None
    """Where clients inside the cluster reach the stable revision; weights hold at status.url only."""
    sequence: Sequence | None = None
    """The number of the newest DecisionRecord."""
    head: Hash | None = None
    """The hash of the newest DecisionRecord."""
    wanted: Wanted | None = None
    """The revision that should serve, and who asked for it."""
    stable: ServedRevision | None = None
    """The revision that serves."""
    candidate: CandidateRevision | None = None
    """The revision on its way to serving."""
    traffic: Annotated[list[Traffic], Field(max_length=4, json_schema_extra=list_map("revision"))] = Field(
        default_factory=list
    )
    """The share of requests that each revision gets, as applied."""
    replicas: ReplicaCount | None = None
    """How many pods the stable revision has; read by the scale subresource."""
    selector: Annotated[str, Field(max_length=512)] | None = None
    """The label selector of the stable pods; read by the scale subresource."""
    history: Annotated[list[HistoryEntry], Field(max_length=HISTORY_LIMIT, json_schema_extra=ATOMIC)] = Field(
        default_factory=list
    )
    """How the last rollouts ended, the newest first."""
