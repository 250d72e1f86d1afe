"""The whole state of a Model after a decision, as it stands in every DecisionRecord."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.fields import CamelCaseWord, Count, Hash, Message, ObjectName, Revision, Text, Timestamp, Uid
from penstock.api.v1alpha1.modelstatus import HistoryEntry, Stage, Wanted
from penstock.api.v1alpha1.rollout import ApprovalPolicy, Canary, OnMissingEvidence, Shadow


class PreviousRevision(ApiType):
    """A former stable revision that is still kept."""

    revision: Revision
    full_until: Timestamp
    """Until when it keeps all its pods."""
    warm_until: Timestamp
    """Until when it keeps its warm pods."""
    sequence: Count = 0
    """The number of the decision by which it had become stable."""


class Reversal(ApiType):
    """Why a candidate that had traffic is taken back."""

    reason: CamelCaseWord
    message: Message = ""
    quarantine: bool = False
    """Whether it needs a named release to come back."""


class PlannedGate(ApiType):
    """A gate as it was when the candidate started."""

    name: ObjectName
    spec_hash: Hash | None = None
    """The hash of its spec; absent where it did not exist."""
    bars: dict[str, str] = Field(default_factory=dict)
    """What has to be reached, by requirement: tells an edit that asks for more from one that asks for less."""


class Plan(ApiType):
    """What a candidate has to go through: the rollout of its Model as it was when it started."""

    gates: list[PlannedGate] = Field(default_factory=list)
    shadow: Shadow | None = None
    canary: Canary | None = None
    approval: ApprovalPolicy = Field(default_factory=ApprovalPolicy)
    on_missing_evidence: OnMissingEvidence = OnMissingEvidence.HOLD
    stage_deadline_seconds: Count = 3600


class Proof(ApiType):
    """What a gate found about a revision."""

    gate: ObjectName
    revision: Revision
    spec_hash: Hash
    dataset_digest: Hash | None = None
    verdict: CamelCaseWord
    reason: CamelCaseWord
    message: Message = ""
    attempt: Annotated[int, Field(ge=1)] = 1
    evaluation: Annotated[int, Field(ge=1)] = 1
    """The round of evaluation that it belongs to."""
    numbers: list[dict[str, Any]] = Field(default_factory=list)
    """The measures: value, lower, upper, n, threshold and verdict of each."""
    accepted: bool = False
    """Whether an inconclusive verdict may go on if a person approves."""
    expected: dict[str, Any] | None = None
    """How far the holdout lets expect candidate and champion to disagree."""
    report_digest: Hash | None = None
    at: Timestamp


class GivenApproval(ApiType):
    """An approval that counts."""

    user: Text
    action: Uid
    """The uid of the ModelAction."""
    at: Timestamp


class HoldKind(StrEnum):
    """Why a candidate's traffic is withheld for the time being."""

    NOT_READY = "NotReady"


class Hold(ApiType):
    """The candidate keeps its stage, and its traffic goes to the champion until the cause is gone."""

    kind: HoldKind
    message: Message = ""
    since: Timestamp


class Blindness(ApiType):
    """Time in which nothing could be measured: it does not count for the deadline, up to one more of it."""

    since: Timestamp | None = None
    """Since when nothing has been measured; absent while something is."""
    seconds: Count = 0
    """How long that was the case before."""


class CandidateState(ApiType):
    """The revision under way."""

    revision: Revision
    stage: Stage
    since: Timestamp
    """When it entered the stage or step; moved on by the time it was paused, which does not count."""
    attempt: Annotated[int, Field(ge=1)] = 1
    paused_since: Timestamp | None = None
    reversal: Reversal | None = None
    plan: Plan | None = None
    """What it has to go through; set when it leaves Pending."""
    step: Annotated[int, Field(ge=0)] = 0
    """The canary step, from 0."""
    applied_at: Timestamp | None = None
    """When the weight of the step was seen in the data plane; minSeconds counts from then."""
    proofs: list[Proof] = Field(default_factory=list)
    evaluation: Annotated[int, Field(ge=1)] = 1
    """How often its gates were asked for: each round needs proofs of its own."""
    evidence: Hash | None = None
    """The digest of the evidence that people are asked to approve."""
    approvals: list[GivenApproval] = Field(default_factory=list)
    approved: bool = False
    """Whether the approvals it needs were given."""
    hold: Hold | None = None
    blind: Blindness = Field(default_factory=Blindness)
    entered: Count = 0
    """The number of the decision by which it became the candidate."""
    bypassed: bool = False
    """Whether a named person promoted it although evidence was missing."""
    cites: Count = 0
    """The sequence of the decision whose evidence a fast way back relies on; 0 for the ordinary way."""
    requesters: list[Text] = Field(default_factory=list)
    """Who asked for it: they do not count as approvers where duties are separated."""
    shadow: dict[str, Any] | None = None
    """What the comparison of answers showed when the candidate left its shadow."""
    tests: dict[str, Any] | None = None
    """The running state of the canary's tests at this decision."""


class StableEvaluation(ApiType):
    """The last time that a person had the gates asked about the stable revision; it moves no traffic.

    What they say is no evidence for a candidate: bars against the champion are left out.
    """

    revision: Revision
    round: Annotated[int, Field(ge=1)]
    """The number of the decision that ordered it: results of another round do not count."""
    since: Timestamp
    gates: list[ObjectName]
    """The gates that are asked."""
    proofs: list[Proof] = Field(default_factory=list)
    """What they answered, in earlier rounds too; the numbers are in the record of each answer."""
    ended: Timestamp | None = None
    """When the last answer came, or it was given up; absent while gates are asked."""
    message: Message = ""
    """Why it was given up."""


class RejectedRevision(ApiType):
    """A revision that was refused, and whether it needs a named release to come back."""

    revision: Revision
    reason: CamelCaseWord
    message: Message = ""
    quarantined: bool = False
    at: Timestamp
    requesters: list[Text] = Field(default_factory=list)


class Checkpoint(ApiType):
    """The whole state of a Model after a decision: the newest record alone rebuilds the status."""

    wanted: Wanted | None = None
    stable: Revision | None = None
    stable_since: Count = 0
    """The sequence of the decision by which the stable revision became that."""
    previous: list[PreviousRevision] = Field(default_factory=list)
    candidate: CandidateState | None = None
    weights: dict[Revision, Annotated[int, Field(ge=0, le=100)]] = Field(default_factory=dict)
    """Percent of the traffic by revision."""
    failover: bool = False
    """Whether the fallback revision serves because the stable one cannot."""
    rejected: list[RejectedRevision] = Field(default_factory=list)
    proofs: list[Proof] = Field(default_factory=list)
    """The newest results of gates, without their numbers, to be used again where nothing changed."""
    evaluation: StableEvaluation | None = None
    """What the gates say about the stable revision, once somebody had them asked."""
    handled: list[Uid] = Field(default_factory=list)
    """The uids of the ModelActions that were dealt with and still exist."""
    history: list[HistoryEntry] = Field(default_factory=list)
    """How the last rollouts ended, the newest first."""
