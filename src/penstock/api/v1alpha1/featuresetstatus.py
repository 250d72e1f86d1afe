"""What the operator shows in the status of a FeatureSet."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.conditions import Condition
from penstock.api.v1alpha1.fields import (
    ATOMIC,
    MAX_SAFE_INTEGER,
    CamelCaseWord,
    Count,
    Digest,
    Hash,
    Text,
    Timestamp,
    list_map,
)

HISTORY_LIMIT = 10
SHOWN_CHECKS = 12
SHOWN_KEYS = 5


class Verdict(StrEnum):
    """What a validation found; NoData and Error are never taken for Pass."""

    PASS = "Pass"  # noqa: S105 - a verdict
    FAIL = "Fail"
    NO_DATA = "NoData"
    ERROR = "Error"


class FailedCheck(ApiType):
    """A check that did not pass."""

    check: CamelCaseWord
    """What was checked, such as Range, NullFraction or Shift."""
    feature: Annotated[str, Field(max_length=128)] | None = None
    """The column, where the check is about one."""
    count: Count | None = None
    """How many rows are wrong."""
    value: Annotated[str, Field(max_length=48)] | None = None
    """What was measured."""
    threshold: Annotated[str, Field(max_length=48)] | None = None
    """What would have been right."""
    keys: Annotated[list[Text], Field(max_length=SHOWN_KEYS, json_schema_extra=ATOMIC)] = Field(default_factory=list)
    """The entity keys of some of the wrong rows, never their values."""


class DatasetVersion(ApiType):
    """One state of the dataset, as validated against one state of the definition."""

    summary: Annotated[str, Field(max_length=128)]
    """Digest, rows and time of validation in one line."""
    digest: Digest | None = None
    """The digest of the dataset's files; absent if they could not be read."""
    definition: Hash
    """The hash of the definition that it was validated against."""
    verdict: Verdict
    """What the validation found."""
    reason: CamelCaseWord
    """One CamelCase word that says why."""
    rows: Count | None = None
    """How many rows it has."""
    newest: Timestamp | None = None
    """The newest row's time, by timestampField."""
    profile_digest: Digest | None = None
    """The digest of its profile in the artifact store."""
    report_digest: Digest | None = None
    """The digest of the full report in the artifact store."""
    checked: Count | None = None
    """How many checks were made."""
    failed: Count | None = None
    """How many of them failed."""
    failed_checks: Annotated[str, Field(max_length=256)] | None = None
    """The checks that failed, in one line."""
    at: Timestamp
    """When it was validated."""


class BaselineStatus(ApiType):
    """The profile that the dataset is compared with."""

    definition: Hash
    """The hash of what the baseline was made from and with."""
    digest: Digest
    """The digest of its dataset."""
    profile_digest: Digest
    """The digest of the profile in the artifact store."""
    rows: Count
    """How many rows it was made of."""
    at: Timestamp
    """When it was made."""


class ValidationRun(ApiType):
    """The validation under way, or the last one."""

    job: Annotated[str, Field(max_length=63)]
    """The Job."""
    definition: Hash
    """The hash of the definition that it validates against."""
    attempt: Annotated[int, Field(ge=1, le=10_000)]
    """Which try it is at this definition."""
    trigger: CamelCaseWord
    """What asked for it: Created, Changed, Schedule or Retry."""
    started: Timestamp
    """When it was begun."""
    finished: Timestamp | None = None
    """When its result was read."""
    verdict: Verdict | None = None
    """What it found."""
    reason: CamelCaseWord | None = None
    """One CamelCase word that says why."""
    message: Annotated[str, Field(max_length=600)] | None = None
    """One sentence about it."""


class FeatureSetStatus(ApiType):
    """What the operator has seen of a dataset."""

    observed_generation: Annotated[int, Field(ge=-1, le=MAX_SAFE_INTEGER)] = -1
    """The metadata.generation that this status is about; -1 before the operator has looked."""
    conditions: Annotated[list[Condition], Field(max_length=16, json_schema_extra=list_map("type"))] = Field(
        default_factory=list
    )
    """What is so, in the form of Kubernetes conditions; Ready is the one to wait for."""
    schema_digest: Digest | None = None
    """The digest of the feature schema: what a model trained now is bound to."""
    current: DatasetVersion | None = None
    """The dataset as last validated."""
    failed_checks: Annotated[list[FailedCheck], Field(max_length=SHOWN_CHECKS, json_schema_extra=ATOMIC)] = Field(
        default_factory=list
    )
    """The first checks that failed; the report has all."""
    baseline: BaselineStatus | None = None
    """The profile that the dataset is compared with."""
    run: ValidationRun | None = None
    """The validation under way, or the last one."""
    history: Annotated[list[DatasetVersion], Field(max_length=HISTORY_LIMIT, json_schema_extra=ATOMIC)] = Field(
        default_factory=list
    )
    """The last versions, the newest first."""
