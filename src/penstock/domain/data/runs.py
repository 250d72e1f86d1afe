"""When a dataset is validated: pure decisions from the definition, the last run and the clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cronsim import CronSim, CronSimError

from penstock.api.canonical import canonical_digest
from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.featureset import FeatureSetSpec
from penstock.api.v1alpha1.featuresetstatus import ValidationRun, Verdict
from penstock.domain.features.schema import FeatureSchema

DEFINITION_VERSION = "penstock.dev/dataset/1"
BASELINE_VERSION = "penstock.dev/baseline/1"

# What may be gone at the next look without anybody's help is looked at soon, the rest ever more seldom.
_PASSING = frozenset(
    {
        Reason.SOURCE_UNAVAILABLE,
        Reason.SOURCE_CHANGED,
        Reason.STORE_UNAVAILABLE,
        Reason.BASELINE_UNAVAILABLE,
        Reason.VALIDATION_ERROR,
    }
)
_SOON_SECONDS, _SOON_MOST_SECONDS = 10, 300
_LATER_SECONDS, _LATER_MOST_SECONDS = 30, 1800
MAX_ATTEMPT = 10_000


@dataclass(frozen=True, slots=True)
class Start:
    """A validation is due. `due`: the moment that made it due; part of the Job's name, so that it is made once."""

    trigger: str
    attempt: int
    due: datetime | None


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing is due before `until`; None if only a change can make it so."""

    until: datetime | None


def definition_hash(spec: FeatureSetSpec) -> str:
    """Return the hash of everything a validation depends on: an edit of anything else repeats none."""
    source = spec.source.as_json()
    source.pop("freshnessSeconds", None)
    content: dict[str, Any] = {
        "features": FeatureSchema.of(spec.features).as_json(),
        "maxNullFractions": {item.name: item.max_null_fraction for item in spec.features if item.max_null_fraction},
        "entityKey": list(spec.entity_key),
        "source": source,
        "baseline": spec.baseline.as_json() if spec.baseline else None,
        "checks": spec.validation.checks.as_json(),
        "timestampField": spec.timestamp_field,
        "label": spec.label.as_json() if spec.label else None,
    }
    return canonical_digest([DEFINITION_VERSION, content])


def baseline_hash(spec: FeatureSetSpec) -> str | None:
    """Return the hash of what a baseline is made from and with; None without a baseline."""
    if spec.baseline is None:
        return None
    content: Any = {
        "features": FeatureSchema.of(spec.features).as_json(),
        "baseline": spec.baseline.as_json(),
        # A baseline of the source belongs to that source.
        "source": spec.source.uri if spec.baseline.from_source else None,
    }
    return canonical_digest([BASELINE_VERSION, content])


def decide(spec: FeatureSetSpec, run: ValidationRun | None, now: datetime) -> Start | Rest:
    """Say whether a validation is due, when none is under way.

    `run` is the last one, finished. Raises ValueError for a schedule that is no cron line.
    """
    scheduled = _next_fire(spec.validation.schedule, run, now)
    definition = definition_hash(spec)
    if run is None:
        return Start("Created", 1, None)
    if run.definition != definition:
        return Start("Changed", 1, None)
    finished = run.finished or run.started
    if scheduled is not None and scheduled <= now:
        return Start("Schedule", 1, scheduled)
    moments = [scheduled] if scheduled is not None else []
    if run.verdict is not Verdict.PASS:
        again = finished + _pause(run)
        if again <= now:
            return Start("Retry", min(run.attempt + 1, MAX_ATTEMPT), finished)
        moments.append(again)
    return Rest(min(moments) if moments else None)


def job_suffix(uid: str, definition: str, start: Start) -> str:
    """Return 8 hex characters that are the same for the same validation, whoever starts it."""
    due = start.due.astimezone(UTC).isoformat() if start.due else ""
    digest = canonical_digest([DEFINITION_VERSION, uid, definition, start.trigger, start.attempt, due])
    return digest.removeprefix("sha256:")[:8]


def _pause(run: ValidationRun) -> timedelta:
    first, most = (
        (_SOON_SECONDS, _SOON_MOST_SECONDS) if run.reason in _PASSING else (_LATER_SECONDS, _LATER_MOST_SECONDS)
    )
    return timedelta(seconds=min(most, first * 2 ** min(run.attempt - 1, 16)))


def _next_fire(schedule: str | None, run: ValidationRun | None, now: datetime) -> datetime | None:
    """Return the first moment of the schedule after the last run was begun; a missed one is made up for once."""
    if schedule is None:
        return None
    try:
        moments = CronSim(schedule, (run.started if run else now).astimezone(UTC))
        return next(moments, None)
    except CronSimError as error:
        raise ValueError(f"spec.validation.schedule {schedule!r} is not a cron line: {error}") from error
