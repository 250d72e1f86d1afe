"""How a new revision of a Model replaces the one that serves: gates, shadow, canary, approval and times."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from penstock.api.v1alpha1.analysis import Analysis, default_analysis
from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.fields import ATOMIC, WRITTEN, Fraction, ObjectName, cel, explained, list_map

MAX_GATES = 8
MAX_STEPS = 10
MAX_ANALYSES = 8
MONTH_SECONDS = 2_592_000


class GateRef(ApiType):
    """An EvaluationGate of the same namespace that a revision has to pass."""

    name: ObjectName
    """The name of the EvaluationGate."""


class SideEffects(StrEnum):
    """Whether a prediction changes anything outside the model server."""

    NONE = "None"


class Shadow(ApiType):
    """Copies of live requests for the candidate, whose answers are compared and thrown away."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.sideEffects) && self.sideEffects == 'None'",
                "a shadow asks the candidate a second time: write sideEffects: None if a prediction changes nothing"
                " else, or leave shadow out",
            )
        )
    )

    percent: Annotated[int, Field(ge=1, le=100, json_schema_extra=WRITTEN)] = 100
    """How many of 100 requests are copied."""
    min_samples: Annotated[int, Field(ge=10, le=10_000_000, json_schema_extra=WRITTEN)] = 2000
    """How many answers have to be compared before the candidate goes on."""
    max_excess_disagreement: Annotated[Fraction, Field(json_schema_extra=WRITTEN)] = "0.02"
    """How many more answers than the gate's holdout let expect may differ, as a fraction."""
    max_latency_increase_percent: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """By how many percent the candidate's 99th percentile may be slower; not looked at if absent."""
    side_effects: SideEffects | None = None
    """None: a prediction changes nothing outside the model server, so that it may be asked twice."""


class Step(ApiType):
    """One share of the traffic, and what has to pass before the next."""

    weight: Annotated[int, Field(ge=1, le=99)]
    """The candidate's share of the requests in percent."""
    min_requests: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """How many requests the candidate has to have answered in this step."""
    min_seconds: Annotated[int, Field(ge=0, le=MONTH_SECONDS)] = 0
    """How many seconds the step lasts at least."""


class Canary(ApiType):
    """A share of live traffic in steps, judged by sequential tests."""

    steps: Annotated[
        list[Step],
        Field(
            min_length=1,
            max_length=MAX_STEPS,
            json_schema_extra=ATOMIC
            | cel(
                (
                    "self.all(i, self.filter(j, j.weight == i.weight).size() == 1)",
                    "two steps have the same weight; write minSeconds or minRequests into one of them instead",
                ),
                (
                    "self.map(step, step.weight).isSorted()",
                    "the weights of the steps grow",
                ),
            ),
        ),
    ]
    """The shares, growing; after the last the candidate is promoted."""
    warmup_seconds: Annotated[int, Field(ge=0, le=86400, json_schema_extra=WRITTEN)] = 30
    """How many seconds of each step are left out of the comparison of latency."""
    analysis: Annotated[
        list[Analysis],
        Field(min_length=1, max_length=MAX_ANALYSES, json_schema_extra=list_map("name")),
    ] = Field(default_factory=default_analysis)
    """What is compared; errors with a margin of 0.005 if absent."""


class Before(StrEnum):
    """What waits for an approval."""

    ROLLOUT = "Rollout"
    PROMOTION = "Promotion"


class ApprovalPolicy(ApiType):
    """People who have to agree."""

    required: Annotated[bool, Field(json_schema_extra=WRITTEN)] = False
    """Whether a revision needs an approval."""
    before: Annotated[Before, Field(json_schema_extra=WRITTEN)] = Before.PROMOTION
    """Rollout: before any live traffic; Promotion: before it becomes the stable revision."""
    quorum: Annotated[int, Field(ge=1, le=10, json_schema_extra=WRITTEN)] = 1
    """How many different people have to approve."""
    separation_of_duties: Annotated[bool, Field(json_schema_extra=WRITTEN)] = False
    """Whether who asked for the revision does not count; needs the annotation penstock.dev/requested-by."""
    expires_after_seconds: Annotated[int, Field(ge=60, le=MONTH_SECONDS, json_schema_extra=WRITTEN)] = 604_800
    """How long a revision waits for its approval before it is given up."""


class OnMissingEvidence(StrEnum):
    """What follows when nothing can be measured."""

    HOLD = "Hold"
    ROLLBACK = "Rollback"


class Freeze(ApiType):
    """A time in which no revision gets more traffic."""

    schedule: Annotated[
        str,
        Field(
            min_length=9,
            max_length=100,
            pattern="^[-A-Za-z0-9*,/#]+( [-A-Za-z0-9*,/#]+){4}$",
            json_schema_extra=explained(
                'schedule is a cron line of five fields, such as "0 18 * * FRI" for Fridays at 18:00'
            ),
        ),
    ]
    """When the freeze begins, in the form of cron."""
    duration_seconds: Annotated[int, Field(ge=60, le=MONTH_SECONDS)]
    """How long it lasts."""
    time_zone: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            pattern="^[A-Za-z][-A-Za-z0-9_+/]*$",
            json_schema_extra=explained("timeZone is a name of the tz database, such as Europe/Berlin"),
        ),
    ] = "UTC"
    """The time zone of the schedule."""


class Rollout(ApiType):
    """How a new revision replaces the one that serves."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.rollbackFullSeconds) || self.rollbackFullSeconds <= self.rollbackWindowSeconds",
                "rollbackFullSeconds must not be longer than rollbackWindowSeconds (86400 if not set)",
            )
        )
    )

    gates: Annotated[list[GateRef], Field(max_length=MAX_GATES, json_schema_extra=list_map("name"))] = Field(
        default_factory=list
    )
    """The EvaluationGates that a revision has to pass before it gets live traffic."""
    shadow: Shadow | None = None
    """Copies of live requests for the candidate; none if absent."""
    canary: Canary | None = None
    """A share of live traffic in steps; all of it at once if absent."""
    approval: ApprovalPolicy = Field(default_factory=ApprovalPolicy)
    """People who have to agree."""
    on_missing_evidence: Annotated[OnMissingEvidence, Field(json_schema_extra=WRITTEN)] = OnMissingEvidence.HOLD
    """Hold waits, up to the deadline; Rollback takes the candidate back at once; it is never a pass."""
    freeze: Annotated[list[Freeze], Field(max_length=8, json_schema_extra=ATOMIC)] = Field(default_factory=list)
    """Times in which no revision gets more traffic; going back is always possible."""
    stage_deadline_seconds: Annotated[int, Field(ge=30, le=MONTH_SECONDS, json_schema_extra=WRITTEN)] = 3600
    """How many seconds a new revision may stay in one stage before it is taken back."""
    rollback_window_seconds: Annotated[int, Field(ge=0, le=MONTH_SECONDS, json_schema_extra=WRITTEN)] = 86400
    """How many seconds after a promotion the previous revision is kept for a fast way back."""
    rollback_full_seconds: Annotated[int, Field(ge=0, le=MONTH_SECONDS)] | None = None
    """How many seconds of that window the previous revision keeps all its pods; 600 or the window if absent."""
    warm_replicas: Annotated[int, Field(ge=0, le=100, json_schema_extra=WRITTEN)] = 1
    """How many pods the previous revision keeps for the rest of the window."""

    @property
    def full_seconds(self) -> int:
        """The rollbackFullSeconds in force."""
        if self.rollback_full_seconds is None:
            return min(600, self.rollback_window_seconds)
        return self.rollback_full_seconds
