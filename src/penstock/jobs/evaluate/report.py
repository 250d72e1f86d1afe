"""The full report of an evaluation, as JSON: every number with its interval, never a value of a row."""

from __future__ import annotations

from typing import Any

import orjson

from penstock.domain.features.schema import FeatureSchema
from penstock.domain.gates.task import GateTask
from penstock.jobs.evaluate.asking import Respondent
from penstock.jobs.evaluate.numbers import Numbers, options_of
from penstock.jobs.validate.sources import Dataset

REPORT_VERSION = "penstock.dev/evaluation-report/1"
REPORT_TYPE = "application/vnd.penstock.evaluation-report.v1"
REPORT_FILE = "report.json"


def report_of(
    task: GateTask,
    dataset: Dataset,
    numbers: Numbers,
    respondents: list[Respondent],
    *,
    rows: int,
    rows_in_dataset: int,
    latency: dict[str, Any] | None,
) -> bytes:
    """The report's bytes. Everything but the latencies is the same each time the same is asked."""
    options = options_of(task)
    uri = task.dataset.uri
    content: dict[str, Any] = {
        "version": REPORT_VERSION,
        "gate": task.gate,
        "model": task.model,
        "dataset": {
            # A query may hold a signature.
            "uri": uri.partition("?")[0] if uri.startswith("https://") else uri,
            "digest": dataset.digest,
            "bytes": dataset.size,
            "files": len(dataset.files),
            "rows": rows_in_dataset,
        },
        "rows": rows,
        "schemaDigest": FeatureSchema.of(task.features).digest if task.features else None,
        "label": task.label.as_json(),
        "threshold": task.threshold,
        "confidence": task.confidence,
        "seed": str(task.seed),
        "resamples": options.resamples,
        "latency": latency,
        **numbers.report,
    }
    for respondent in respondents:
        endpoint = respondent.endpoint
        content[endpoint.who] = {
            "revision": endpoint.revision,
            "answered": endpoint.answered,
            "artifactDigest": endpoint.digest,
            "output": respondent.chosen.output if respondent.chosen else None,
            "column": respondent.chosen.column if respondent.chosen else None,
            "failedRows": int(respondent.failed.sum()),
            "trouble": dict(sorted(endpoint.trouble.items())),
            **({"notAsked": respondent.gone} if respondent.gone else {}),
        }
    return orjson.dumps(
        content, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY, default=str
    )
