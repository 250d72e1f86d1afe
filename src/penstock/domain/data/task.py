"""What a validation Job is asked, and the one short message in which it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.featureset import Checks, DatasetRef, Feature, FeatureSetSpec, Label
from penstock.api.v1alpha1.featuresetstatus import SHOWN_CHECKS, FailedCheck, Verdict
from penstock.api.v1alpha1.fields import CamelCaseWord, Count, Digest, Timestamp

MESSAGE_BYTES = 3500
"""The kubelet keeps 4096 bytes of a termination message; what is over is cut off and could not be read."""

DEFAULT_SCRATCH_GIBIBYTES = 16
"""The disk of a Job whose FeatureSet names no size."""


class ProfileRef(ApiType):
    """A profile in the artifact store."""

    digest: Digest
    """The digest of the profile's file."""


class ValidationTask(ApiType):
    """Everything a validation Job needs to know; it has no access to the API server."""

    version: Literal[1] = 1
    features: list[Feature]
    """The columns to check, in order."""
    entity_key: list[str] = Field(default_factory=list)
    timestamp_field: str | None = None
    label: Label | None = None
    source: DatasetRef
    baseline_profile: ProfileRef | None = None
    """The profile to compare with, if it was made already."""
    baseline_dataset: DatasetRef | None = None
    """The dataset to make that profile of, if it was not."""
    baseline_from_source: bool = False
    """Whether the profile of this dataset becomes the baseline if all checks pass."""
    checks: Checks = Field(default_factory=Checks)
    store: str | None = None
    """The repository of the artifact store, as HOST/PATH; profiles and reports are kept nowhere if absent."""
    insecure_registries: list[str] = Field(default_factory=list)
    scratch_bytes: Count | None = None
    """How many bytes the datasets' files may take on the Job's disk; as many as there are if absent."""


class MadeBaseline(ApiType):
    """The baseline that a Job made."""

    digest: Digest
    """The digest of its dataset."""
    profile_digest: Digest
    rows: Count


class ValidationResult(ApiType):
    """A Job's answer: its termination message."""

    version: Literal[1] = 1
    verdict: Verdict
    """Pass or Fail about the checks; NoData for a dataset without rows; Error if it could not be checked."""
    reason: CamelCaseWord
    """One word: Valid, ChecksFailed, or what kept the dataset from being checked."""
    message: Annotated[str, Field(max_length=600)] = ""
    """One sentence for people; empty if the reason says it all."""
    digest: Digest | None = None
    """The digest of the dataset's files."""
    rows: Count | None = None
    newest: Timestamp | None = None
    """The newest row's time, by timestampField."""
    profile_digest: Digest | None = None
    report_digest: Digest | None = None
    baseline: MadeBaseline | None = None
    """The baseline, if this Job made it."""
    checked: Count | None = None
    failed: Count | None = None
    failed_checks: list[FailedCheck] = Field(default_factory=list)
    """The first failed checks: as many as the message has room for."""


def task_of(
    spec: FeatureSetSpec, *, baseline_profile: str | None, store: str | None, insecure_registries: Sequence[str] = ()
) -> ValidationTask:
    """Return what a Job is asked. `baseline_profile`: the digest of the baseline's profile, if it exists."""
    baseline = spec.baseline
    known = ProfileRef(digest=baseline_profile) if baseline_profile else None
    return ValidationTask(
        features=[item.model_copy(update={"description": None}) for item in spec.features],
        entity_key=spec.entity_key,
        timestamp_field=spec.timestamp_field,
        label=spec.label,
        source=DatasetRef.model_validate(spec.source.model_dump()),
        baseline_profile=known,
        baseline_dataset=baseline.dataset if baseline and not known else None,
        baseline_from_source=bool(baseline and baseline.from_source and not known),
        checks=spec.validation.checks,
        store=store,
        insecure_registries=list(insecure_registries),
        scratch_bytes=_data_bytes(spec.validation.scratch_gibibytes or DEFAULT_SCRATCH_GIBIBYTES),
    )


def _data_bytes(gibibytes: int) -> int:
    """What of the disk the files may take: a pod that exceeds its volume is evicted, and sorting takes room too."""
    return (gibibytes << 30) * 15 // 16


def encode(result: ValidationResult) -> str:
    """Return the termination message: at most MESSAGE_BYTES, with as many failed checks as fit."""
    shown = result.failed_checks[:SHOWN_CHECKS]
    while True:
        text = result.model_copy(update={"failed_checks": shown}).model_dump_json(by_alias=True, exclude_none=True)
        if len(text.encode()) <= MESSAGE_BYTES or not shown:
            return text
        shown = shown[:-1]


def decode(message: str) -> ValidationResult | None:
    """Read a termination message; None if it is not one, which is never taken for a pass."""
    try:
        return ValidationResult.model_validate_json(message)
    except ValueError:
        return None


def error(reason: str, message: str, **known: Any) -> ValidationResult:
    """Return the answer of a Job that could not check the dataset."""
    return ValidationResult(verdict=Verdict.ERROR, reason=reason, message=message[:600], **known)
