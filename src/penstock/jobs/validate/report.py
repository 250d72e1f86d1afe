"""The full report of a validation, as JSON: every check with its numbers, never a value of a row."""

from __future__ import annotations

from typing import Any

import orjson

from penstock.domain.data.task import ValidationTask
from penstock.domain.features.schema import FeatureSchema
from penstock.jobs.validate.checks.shift import shift_json
from penstock.jobs.validate.engine import Outcome
from penstock.jobs.validate.sources import Dataset

REPORT_VERSION = "penstock.dev/validation-report/1"
_MAX_FILES = 1000


def report_of(
    outcome: Outcome,
    task: ValidationTask,
    dataset: Dataset,
    *,
    profile_digest: str | None,
    baseline_profile: str | None,
) -> bytes:
    """The report's bytes: the same findings on the same dataset give the same bytes."""
    content: dict[str, Any] = {
        "version": REPORT_VERSION,
        "verdict": outcome.verdict.value,
        "dataset": {
            # A query may hold a signature.
            "uri": task.source.uri.partition("?")[0] if task.source.uri.startswith("https://") else task.source.uri,
            "format": dataset.format.value,
            "digest": dataset.digest,
            "bytes": dataset.size,
            "fileCount": len(dataset.files),
            "files": [
                {"name": file.name, "bytes": file.size, "digest": file.digest} for file in dataset.files[:_MAX_FILES]
            ],
        },
        "schemaDigest": FeatureSchema.of(task.features).digest,
        "rows": outcome.rows,
        "newest": outcome.newest.strftime("%Y-%m-%dT%H:%M:%SZ") if outcome.newest else None,
        "extraColumns": outcome.extra_columns,
        "checks": [item.as_json() for item in outcome.checks],
        "shifts": [shift_json(item) for item in outcome.shifts],
        "profileDigest": profile_digest,
        "baselineProfileDigest": baseline_profile,
    }
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
