"""What the operator shows in the status of a Model."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue
from pydantic.config import JsonDict

from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.conditions import Condition
from penstock.api.v1alpha1.fields import (
    ATOMIC,
    MAX_SAFE_INTEGER,
    CamelCaseWord,
    Count,
    Digest,
    Hash,
    Message,
    ObjectName,
    ReplicaCount,
    Revision,
    Sequence,
    Text,
    Timestamp,
    list_map,
)

HISTORY_LIMIT = 10
FREE: JsonDict = {"additionalProperties": True}
Number = Annotated[str, Field(max_length=32)]
"""A number as text, rounded for people."""


class Stage(StrEnum):
    """How far a revision has come."""

    PENDING = "Pending"
    STARTING = "Starting"
    EVALUATING = "Evaluating"
    AWAITING_APPROVAL = "AwaitingApproval"
    SHADOW = "Shadow"
    CANARY = "Canary"
    PROMOTING = "Promoting"
    STABLE = "Stable"
    ROLLING_BACK = "RollingBack"
    REJECTED = "Rejected"
    SUPERSEDED = "Superseded"


class Source(StrEnum):
    """What asked for the wanted revision."""

    SPEC = "Spec"
    ROLLBACK = "Rollback"


class Outcome(StrEnum):
    """How the rollout of a revision ended."""

    STABLE = "Stable"
    REJECTED = "Rejected"
    SUPERSEDED = "Superseded"


class Role(StrEnum):
    """Why a revision gets traffic."""

    STABLE = "Stable"
    CANDIDATE = "Candidate"
    FALLBACK = "Fallback"


class Wanted(ApiType):
    """The revision that should serve, and who asked for it."""

    revision: Revision
    """The revision that should serve."""
    source: Source
    """What asked for it: Spec is a change of the Model's spec, Rollback a way back to a former revision."""
    spec_hash: Hash
    """The hash of the parts of the spec that change an answer, at that moment."""
    at: Timestamp
    """When it was asked for."""
    requested_by: Text | None = None
    """Who asked for it, where that is known."""


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


class GateStatus(ApiType):
    """What a gate says about a revision."""

    name: ObjectName
    """The EvaluationGate."""
    verdict: CamelCaseWord
    """Pass, Fail, Inconclusive, NoData, NotApplicable or Error; Pending while nothing is known."""
    message: Message = ""
    """The numbers in one sentence, or what it waits for."""
    report_digest: Hash | None = None
    """The digest of the full report in the artifact store."""


class AnalysisStatus(ApiType):
    """One comparison of the candidate with the stable revision; numbers are text."""

    name: Annotated[str, Field(min_length=1, max_length=40)]
    """The name of the comparison."""
    champion: Number | None = None
    """The value of the stable revision."""
    candidate: Number | None = None
    """The value of the candidate."""
    difference: Number | None = None
    """Candidate less stable revision."""
    lower: Number | None = None
    """The lower end of what the difference may be."""
    upper: Number | None = None
    """The upper end of what the difference may be."""
    n: Count = 0
    """How many requests of the candidate it rests on."""
    log_e: Number | None = None
    """The evidence of harm, as the logarithm of an e-value."""
    verdict: CamelCaseWord
    """Pass, Fail, Inconclusive or NoData."""
    source: CamelCaseWord | None = None
    """Where the numbers come from."""


class ShadowStatus(ApiType):
    """How the candidate's answers to copied requests compare."""

    pairs: Count = 0
    """How many answers were compared."""
    disagreements: Count = 0
    """How many of them differ."""
    expected: Number | None = None
    """The fraction that the gate's holdout lets expect."""
    excess: Number | None = None
    """How much larger the fraction is than expected."""
    verdict: CamelCaseWord
    """Pass, Fail, Inconclusive or NoData."""


class StableRevision(ServedRevision):
    """The revision that serves."""

    evaluated: Timestamp | None = None
    """When somebody last had the gates asked about it, by the action Evaluate."""
    gates: Annotated[list[GateStatus], Field(max_length=8, json_schema_extra=list_map("name"))] | None = None
    """What they said then, by absolute bars only; its traffic stays whatever they say."""


class CandidateRevision(ServedRevision):
    """The revision on its way to serving."""

    stage: Stage
    """How far it has come."""
    step: Annotated[str, Field(max_length=16)] | None = None
    """Which step of the canary, such as 2/3."""
    since: Timestamp
    """When it entered that stage or step."""
    deadline: Timestamp | None = None
    """When it is taken back if it is still there; absent while that clock stands still."""
    waiting_for: Message | None = None
    """What it waits for."""
    eta: Timestamp | None = None
    """When that is expected at the present rate; absent where nobody knows."""
    evidence_digest: Hash | None = None
    """What an approval has to name: the digest of the evidence."""
    approvals: Annotated[list[Text], Field(max_length=10, json_schema_extra=ATOMIC)] = Field(default_factory=list)
    """Who has approved it."""
    gates: Annotated[list[GateStatus], Field(max_length=8, json_schema_extra=list_map("name"))] = Field(
        default_factory=list
    )
    """What its gates say."""


class Traffic(ApiType):
    """The share of requests that a revision gets."""

    revision: Revision
    """The revision."""
    role: Role
    """Whether it is the stable revision or the candidate."""
    weight: Annotated[int, Field(ge=0, le=100)]
    """The share in percent, as applied."""
    mirror_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """How many of 100 requests it gets a copy of, as applied."""


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
    stable: StableRevision | None = None
    """The revision that serves."""
    candidate: CandidateRevision | None = None
    """The revision on its way to serving."""
    traffic: Annotated[list[Traffic], Field(max_length=4, json_schema_extra=list_map("revision"))] = Field(
        default_factory=list
    )
    """The share of requests that each revision gets, as applied."""
    analysis: Annotated[list[AnalysisStatus], Field(max_length=8, json_schema_extra=list_map("name"))] = Field(
        default_factory=list
    )
    """How the candidate compares with the stable revision under live traffic."""
    shadow: ShadowStatus | None = None
    """How the candidate's answers to copied requests compare."""
    tests: Annotated[dict[str, JsonValue] | None, Field(max_length=32, json_schema_extra=FREE)] = None
    """The state from which the operator goes on comparing after a restart; for programs."""
    burstiness: Annotated[dict[str, JsonValue] | None, Field(max_length=32, json_schema_extra=FREE)] = None
    """How bursty the stable revision's errors are: sums for the comparison; for programs."""
    replicas: ReplicaCount | None = None
    """How many pods the stable revision has; read by the scale subresource."""
    selector: Annotated[str, Field(max_length=512)] | None = None
    """The label selector of the stable pods; read by the scale subresource."""
    history: Annotated[list[HistoryEntry], Field(max_length=HISTORY_LIMIT, json_schema_extra=ATOMIC)] = Field(
        default_factory=list
    )
    """How the last rollouts ended, the newest first."""
