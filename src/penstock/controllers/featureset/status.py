"""What the status of a FeatureSet shows: a pure view of the last result, the Job under way and the time."""

from __future__ import annotations

from datetime import datetime, timedelta

from penstock.api.v1alpha1.conditions import Condition, ConditionStatus, ConditionType, Reason, describe, set_condition
from penstock.api.v1alpha1.featureset import FeatureSet, FeatureSetSpec, OnFailure
from penstock.api.v1alpha1.featuresetstatus import (
    HISTORY_LIMIT,
    SHOWN_CHECKS,
    BaselineStatus,
    DatasetVersion,
    FailedCheck,
    FeatureSetStatus,
    ValidationRun,
    Verdict,
)
from penstock.domain.data import runs
from penstock.domain.data.task import ValidationResult
from penstock.domain.features.schema import FeatureSchema

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
SUBJECT = "the dataset"
_CHECKS_LINE = 256
_Said = tuple[ConditionType, ConditionStatus, Reason, str]


def record(
    feature_set: FeatureSet, run: ValidationRun, baseline: str, result: ValidationResult, now: datetime
) -> FeatureSetStatus:
    """Return the status with a Job's result taken in. `baseline`: the hash of the baseline that the Job was to make."""
    before = feature_set.status
    finished = run.model_copy(
        update={
            "finished": now,
            "verdict": result.verdict,
            "reason": result.reason,
            "message": result.message or None,
        }
    )
    change: dict[str, object] = {"run": finished}
    if result.verdict is not Verdict.ERROR:
        version = _version(run, result, now)
        change["current"] = version
        change["failed_checks"] = result.failed_checks[:SHOWN_CHECKS]
        change["history"] = _history(before.history, version)
    if result.baseline is not None and baseline:
        change["baseline"] = BaselineStatus(
            definition=baseline,
            digest=result.baseline.digest,
            profile_digest=result.baseline.profile_digest,
            rows=result.baseline.rows,
            at=now,
        )
    return before.model_copy(update=change)


def show(
    feature_set: FeatureSet, known: FeatureSetStatus, waiting: str, problem: str, now: datetime
) -> FeatureSetStatus:
    """Return the whole status. `known`: with results taken in; `problem`: why the definition cannot be used."""
    spec, generation = feature_set.spec, feature_set.metadata.generation
    conditions: list[Condition] = []
    for type_, status, reason, message in _conditions(spec, known, waiting, problem, now):
        base = [*conditions, *(item for item in known.conditions if item.type == type_)]
        conditions = set_condition(base, type_, status, reason, message, generation=generation, now=now)
    return known.model_copy(
        update={
            "observed_generation": generation,
            "conditions": conditions,
            "schema_digest": FeatureSchema.of(spec.features).digest,
        }
    )


def stale_at(spec: FeatureSetSpec, known: FeatureSetStatus) -> datetime | None:
    """Return when the dataset becomes too old by the clock alone."""
    seconds, current = spec.source.freshness_seconds, known.current
    if seconds is None or current is None or current.newest is None:
        return None
    return current.newest + timedelta(seconds=seconds)


def _conditions(
    spec: FeatureSetSpec, known: FeatureSetStatus, waiting: str, problem: str, now: datetime
) -> list[_Said]:
    if problem:
        message = describe(Reason.INVALID_SPEC, subject=SUBJECT, detail=problem)
        return [
            (ConditionType.READY, FALSE, Reason.INVALID_SPEC, message),
            (ConditionType.STALLED, TRUE, Reason.INVALID_SPEC, message),
        ]
    valid = _valid(spec, known, waiting)
    fresh = _fresh(spec, known, now)
    said = [_ready(spec, valid, fresh)]
    if known.run is None or known.run.finished is None or known.run.definition != runs.definition_hash(spec):
        said.append((ConditionType.RECONCILING, TRUE, Reason.VALIDATING, _validating(waiting)))
    elif valid[1] is FALSE and spec.validation.on_failure is OnFailure.BLOCK:
        said.append((ConditionType.STALLED, TRUE, valid[2], valid[3]))
    said.append(valid)
    if fresh is not None:
        said.append(fresh)
    return said


def _ready(spec: FeatureSetSpec, valid: _Said, fresh: _Said | None) -> _Said:
    warned = spec.validation.on_failure is OnFailure.WARN
    if valid[1] is TRUE and fresh is not None and fresh[1] is not TRUE and not warned:
        return (ConditionType.READY, FALSE, fresh[2], fresh[3])
    if valid[2] is Reason.CHECKS_FAILED and warned:
        message = describe(Reason.CHECKS_FAILED_WARNING, subject=SUBJECT, detail=valid[3])
        return (ConditionType.READY, TRUE, Reason.CHECKS_FAILED_WARNING, message)
    return (ConditionType.READY, valid[1], valid[2], valid[3])


def _valid(spec: FeatureSetSpec, known: FeatureSetStatus, waiting: str) -> _Said:
    run, current = known.run, known.current
    definition = runs.definition_hash(spec)
    finished = run is not None and run.definition == definition and run.finished is not None
    if run is not None and finished and run.verdict is Verdict.ERROR and run.reason is not None:
        reason = _known_reason(run.reason)
        return (ConditionType.VALID, UNKNOWN, reason, describe(reason, subject=SUBJECT, detail=run.message))
    if current is None or current.definition != definition:
        return (ConditionType.VALID, UNKNOWN, Reason.VALIDATING, _validating(waiting))
    if current.verdict is Verdict.PASS:
        detail = f"{current.rows} rows, {current.checked} checks"
        return (ConditionType.VALID, TRUE, Reason.VALID, describe(Reason.VALID, subject=SUBJECT, detail=detail))
    reason = _known_reason(current.reason)
    failed = current.failed_checks or (run.message if run is not None else None)
    return (ConditionType.VALID, FALSE, reason, describe(reason, subject=SUBJECT, detail=failed))


def _fresh(spec: FeatureSetSpec, known: FeatureSetStatus, now: datetime) -> _Said | None:
    if spec.source.freshness_seconds is None or known.current is None:
        return None
    limit = stale_at(spec, known)
    if limit is None:
        message = describe(Reason.AGE_UNKNOWN, subject=SUBJECT)
        return (ConditionType.FRESH, UNKNOWN, Reason.AGE_UNKNOWN, message)
    newest = f"newest row {known.current.newest:%Y-%m-%d %H:%M} UTC"
    if now >= limit:
        message = describe(Reason.STALE, subject=SUBJECT, detail=newest)
        return (ConditionType.FRESH, FALSE, Reason.STALE, message)
    return (ConditionType.FRESH, TRUE, Reason.FRESH, describe(Reason.FRESH, subject=SUBJECT, detail=newest))


def _validating(waiting: str) -> str:
    return describe(Reason.VALIDATING, subject=SUBJECT, detail=waiting or None)


def _known_reason(reason: str) -> Reason:
    try:
        return Reason(reason)
    except ValueError:
        return Reason.VALIDATION_ERROR


def _version(run: ValidationRun, result: ValidationResult, now: datetime) -> DatasetVersion:
    short = (result.digest or "").removeprefix("sha256:")[:12] or "unknown"
    return DatasetVersion(
        summary=f"{short}, {result.rows or 0} rows, {now:%Y-%m-%d %H:%M} UTC",
        digest=result.digest,
        definition=run.definition,
        verdict=result.verdict,
        reason=result.reason,
        rows=result.rows,
        newest=result.newest,
        profile_digest=result.profile_digest,
        report_digest=result.report_digest,
        checked=result.checked,
        failed=result.failed,
        failed_checks=_line(result.failed_checks, result.failed or 0),
        at=now,
    )


def _line(failed: list[FailedCheck], count: int) -> str | None:
    """Return the failed checks in one line, such as `Range(distance), Shift(temp) and 3 more`."""
    if not count:
        return None
    names = [f"{item.check}({item.feature})" if item.feature else item.check for item in failed]
    shown: list[str] = []
    for name in names:
        if len(", ".join([*shown, name])) > _CHECKS_LINE - len(" and 1000000 more"):
            break
        shown.append(name)
    rest = count - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 and shown else "")


def _history(before: list[DatasetVersion], version: DatasetVersion) -> list[DatasetVersion]:
    """Return the history with a version at its head; the same dataset found the same again is one entry."""
    same = (version.digest, version.definition, version.verdict)
    others = [item for item in before if (item.digest, item.definition, item.verdict) != same]
    return [version, *others][:HISTORY_LIMIT]
