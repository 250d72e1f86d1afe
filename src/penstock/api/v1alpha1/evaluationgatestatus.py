"""What the operator shows in the status of an EvaluationGate."""

from typing import Annotated

from pydantic import Field

from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.conditions import Condition
from penstock.api.v1alpha1.fields import (
    ATOMIC,
    MAX_SAFE_INTEGER,
    SET,
    CamelCaseWord,
    Count,
    Digest,
    ModelName,
    Revision,
    Timestamp,
    list_map,
)

LAST_RUNS = 10
SEEN_LIMIT = 500
USERS_LIMIT = 64


class Holdout(ApiType):
    """How often the present rows have been looked at: each look makes a pass by luck a little likelier."""

    digest: Digest
    """The digest of the dataset."""
    revisions: Count
    """How many different revisions have been evaluated on it."""
    seen: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=SEEN_LIMIT, json_schema_extra=SET)] = (
        Field(default_factory=list)
    )
    """These revisions as MODEL/REVISION, as many as are kept."""


class GateRun(ApiType):
    """One evaluation."""

    job: Annotated[str, Field(max_length=63)]
    """The Job."""
    model: ModelName
    """The Model."""
    revision: Revision
    """The revision that was evaluated."""
    attempt: Annotated[int, Field(ge=1, le=10_000)]
    """Which try it was."""
    started: Timestamp
    """When it was begun."""
    outcome: CamelCaseWord
    """Running, Complete, Ended, or the reason of an error; what the numbers mean is in the Model's log."""


class EvaluationGateStatus(ApiType):
    """What the operator has seen of a gate."""

    observed_generation: Annotated[int, Field(ge=-1, le=MAX_SAFE_INTEGER)] = -1
    """The metadata.generation that this status is about; -1 before the operator has looked."""
    conditions: Annotated[list[Condition], Field(max_length=16, json_schema_extra=list_map("type"))] = Field(
        default_factory=list
    )
    """What is so, in the form of Kubernetes conditions; Ready is the one to wait for."""
    used_by: Count | None = None
    """How many Models of the namespace name the gate."""
    models: Annotated[list[ModelName], Field(max_length=USERS_LIMIT, json_schema_extra=SET)] = Field(
        default_factory=list
    )
    """These Models, as many as are shown."""
    holdout: Holdout | None = None
    """How often the present rows have been looked at."""
    last: Annotated[str, Field(max_length=160)] | None = None
    """The last evaluation in one line."""
    runs: Annotated[list[GateRun], Field(max_length=LAST_RUNS, json_schema_extra=ATOMIC)] = Field(default_factory=list)
    """The last evaluations, the newest first."""
