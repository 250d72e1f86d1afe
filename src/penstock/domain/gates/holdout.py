"""The rows that a gate evaluates on: resolved to one dataset with one digest, or a sentence why not."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.api.v1alpha1.conditions import ConditionStatus, ConditionType, Reason, find_condition
from penstock.api.v1alpha1.evaluationgate import EvaluationGateSpec
from penstock.api.v1alpha1.featureset import DatasetRef, FeatureSet, OnFailure
from penstock.domain.gates.task import TaskLabel


@dataclass(frozen=True, slots=True)
class Rows:
    """What a Job reads. `dataset` has the digest that the files must have."""

    dataset: DatasetRef
    digest: str
    label: TaskLabel
    scratch_gibibytes: int | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why there is nothing to read. `pending`: it will come right without anybody's help."""

    reason: Reason
    detail: str
    pending: bool = False


def rows_of(spec: EvaluationGateSpec, feature_set: FeatureSet | None) -> Rows | Unusable:
    """Resolve a gate's dataset. `feature_set`: the one that the gate names, None if there is none."""
    reference, label = spec.dataset, spec.label
    column = label.column if label else None
    positive = label.positive_class if label else None
    if reference.feature_set_ref is None:
        if reference.uri is None or reference.digest is None or reference.format is None or column is None:
            return Unusable(Reason.INVALID_SPEC, "a dataset by uri needs digest, format and label.column")
        dataset = DatasetRef(
            uri=reference.uri,
            format=reference.format,
            digest=reference.digest,
            credentials_secret_ref=reference.credentials_secret_ref,
        )
        return Rows(dataset, reference.digest, TaskLabel(column=column, positive_class=positive))
    if feature_set is None:
        return Unusable(Reason.HOLDOUT_MISSING, reference.feature_set_ref.name)
    declared = feature_set.spec.label
    column = column or (declared.name if declared else None)
    if column is None:
        return Unusable(Reason.LABEL_MISSING, f"FeatureSet {feature_set.metadata.name} has no label")
    wrong = _not_valid(feature_set)
    if wrong is not None:
        return wrong
    current = feature_set.status.current
    if current is None or current.digest is None:
        return Unusable(Reason.HOLDOUT_PENDING, feature_set.metadata.name, pending=True)
    source = feature_set.spec.source
    dataset = DatasetRef(
        uri=source.uri,
        format=source.format,
        digest=current.digest,
        credentials_secret_ref=source.credentials_secret_ref,
    )
    type_ = declared.type if declared and declared.name == column else None
    task_label = TaskLabel(column=column, type=type_, positive_class=positive)
    return Rows(dataset, current.digest, task_label, feature_set.spec.validation.scratch_gibibytes)


def _not_valid(feature_set: FeatureSet) -> Unusable | None:
    """Say why the dataset must not be used. Its age is no reason: held-out rows may be old."""
    name = feature_set.metadata.name
    valid = find_condition(feature_set.status.conditions, ConditionType.VALID)
    if valid is None or feature_set.status.observed_generation != feature_set.metadata.generation:
        return Unusable(Reason.HOLDOUT_PENDING, name, pending=True)
    if valid.status is ConditionStatus.TRUE:
        return None
    if valid.reason == Reason.CHECKS_FAILED and feature_set.spec.validation.on_failure is OnFailure.WARN:
        return None
    if valid.reason == Reason.VALIDATING:
        return Unusable(Reason.HOLDOUT_PENDING, name, pending=True)
    return Unusable(Reason.HOLDOUT_NOT_VALID, f"{name}: {valid.reason}: {valid.message}", pending=True)
