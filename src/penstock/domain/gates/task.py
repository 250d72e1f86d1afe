"""What an evaluation Job is asked, and the one short message of numbers in which it answers.

The Job reports numbers, it never decides: what they mean is said by `judge`.
"""

from __future__ import annotations

import hashlib
import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer

from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.evaluationgate import (
    Confidence,
    Fairness,
    FairnessName,
    GateKind,
    GateMetric,
    Latency,
)
from penstock.api.v1alpha1.featureset import ColumnName, DatasetRef, Feature, FeatureType
from penstock.api.v1alpha1.fields import CamelCaseWord, Count, Digest, ModelName, ObjectName, Revision
from penstock.api.v1alpha1.serving import Runtime

MESSAGE_BYTES = 3500
"""The kubelet keeps 4096 bytes of a termination message; what is over is cut off and could not be read."""

SHOWN_SLICES = 5
_FEWEST_SLICES = 2
_SLICE_CHARACTERS = 48
_SENTENCE_CHARACTERS = 400
_DIGITS = 7

SEED_VERSION = "penstock.dev/evaluation/1"


class TaskLabel(ApiType):
    """The column with the right answers."""

    column: ColumnName
    type: FeatureType | None = None
    """What its values are, where the FeatureSet says so; as the file has them if absent."""
    positive_class: str | None = None
    """The value that counts as yes, compared as text; true or 1 if absent."""


class Limits(ApiType):
    """What keeps an evaluation bounded; the time it may take stands in the Job's environment."""

    max_rows: Count | None = None
    """How many rows are used at most, drawn by `seed`; all if absent."""
    batch_rows: Annotated[int, Field(ge=1, le=10_000)] = 256
    """How many rows one request may hold where only the answers count."""
    latency_requests: Annotated[int, Field(ge=0, le=100_000)] = 1000
    """How many requests of one row each are timed, on candidate and champion in turn."""
    request_seconds: Annotated[int, Field(ge=1, le=600)] = 30
    """After how many seconds without an answer a request has failed."""
    scratch_bytes: Count | None = None
    """How many bytes the dataset's files may take on the Job's disk."""


class GateTask(ApiType):
    """Everything an evaluation Job needs to know; it has no access to the API server."""

    version: Literal[1] = 1
    kind: GateKind = GateKind.TABULAR
    gate: ObjectName
    model: ModelName
    """The name under which both servers know the model: /v2/models/MODEL/infer."""
    revision: Revision
    """The candidate."""
    runtime: Runtime = Runtime.PENSTOCK
    """Penstock says in every answer which revision it is (x-penstock-revision); a Custom server need not."""
    candidate_url: str
    """The candidate's own Service, such as http://flight-delay-0123456789ab.airline.svc:8080."""
    champion_url: str | None = None
    """The stable revision's own Service; None if there is none to compare with."""
    champion_revision: Revision | None = None
    champion_runtime: Runtime | None = None
    dataset: DatasetRef
    """The held-out rows; always with the digest that they must have."""
    features: list[Feature] = Field(default_factory=list)
    """The columns that are sent, in order; those of the model's own metadata if empty."""
    champion_features: list[Feature] | None = None
    """The columns that the champion is sent, where they differ."""
    label: TaskLabel
    output: str | None = None
    """The output tensor with the scores or numbers; found by its shape if absent."""
    threshold: str = "0.5"
    metrics: list[GateMetric]
    """What is measured; `GateMetric.key` is the id in the result."""
    fairness: Fairness | None = None
    latency: Latency | None = None
    confidence: Confidence = "0.95"
    """The two-sided level of every interval in the result."""
    seed: int
    """For every random draw, so that doing it again cannot give another result."""
    store: str | None = None
    """The repository of the artifact store for the report, as HOST/PATH; kept nowhere if absent."""
    insecure_registries: list[str] = Field(default_factory=list)
    limits: Limits = Field(default_factory=Limits)


def seed_of(revision: str, gate_spec_hash: str, dataset: str) -> int:
    """Return the seed of an evaluation. `dataset`: its digest, or its URI where there is none.

    The result fits into 63 bits. Another attempt has the same seed: trying again cannot fish for a pass.
    """
    content = "\n".join((SEED_VERSION, revision, gate_spec_hash, dataset))
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big") >> 1


class GateStatus(StrEnum):
    """Whether the numbers could be taken; nothing about what they mean."""

    COMPLETE = "Complete"
    ERROR = "Error"


class Problem(StrEnum):
    """Why a number is missing."""

    NO_DATA = "NoData"
    """There are no rows (or requests) to take it of."""
    NOT_DEFINED = "NotDefined"
    """The metric is not defined on these rows, such as roc_auc where all have one class."""
    NOT_FINITE = "MetricNotFinite"
    """It came out infinite or as no number."""
    COLUMN_MISSING = "ColumnMissing"
    """The dataset lacks the column to slice or group by."""
    TOO_FEW = "TooFew"
    """No slice or fewer than two groups have enough rows."""


def _short(rounding: str) -> PlainSerializer:
    context = Context(prec=_DIGITS, rounding=rounding)

    def shorten(value: float) -> float | None:
        return float(context.create_decimal(repr(value))) if math.isfinite(value) else None

    return PlainSerializer(shorten, return_type=float | None, when_used="json")


# A bound is rounded outwards: an interval never gets narrower on the way, so that no verdict gets surer by it.
Number = Annotated[float, _short(ROUND_HALF_EVEN)]
Lower = Annotated[float, _short(ROUND_FLOOR)]
Upper = Annotated[float, _short(ROUND_CEILING)]


class SliceResult(ApiType):
    """One slice of one metric."""

    slice: Annotated[str, Field(alias="s", max_length=256)]
    """`COLUMN=VALUE`."""
    value: Annotated[Number | None, Field(alias="v")] = None
    lower: Annotated[Lower | None, Field(alias="l")] = None
    upper: Annotated[Upper | None, Field(alias="u")] = None
    """The slice's own two-sided interval, not corrected: to pass, every slice must show it by itself."""
    n: Annotated[Count, Field(alias="n")] = 0
    p: Annotated[Upper | None, Field(alias="p")] = None
    """The one-sided p-value of "this slice keeps the bound", Holm-adjusted over all slices of the metric.

    At most (1 - confidence) / 2 shows a breach.
    """


class SlicesResult(ApiType):
    """The slices of one metric."""

    count: Annotated[Count, Field(alias="k")] = 0
    """How many slices had minSamples rows."""
    small: Annotated[Count, Field(alias="z")] = 0
    """How many had fewer and were left out."""
    worst: Annotated[list[SliceResult], Field(alias="w")] = Field(default_factory=list)
    """Up to SHOWN_SLICES. First the one with the smallest p, second the one whose lower (for min; upper for max)
    bound is the worst unless it is the same, then the next worst by that bound. So the first two decide for all."""
    problem: Annotated[Problem | None, Field(alias="x")] = None


class MetricResult(ApiType):
    """One metric on the whole of the rows."""

    id: Annotated[str, Field(alias="i", max_length=48)]
    """`GateMetric.key`."""
    value: Annotated[Number | None, Field(alias="v")] = None
    lower: Annotated[Lower | None, Field(alias="l")] = None
    upper: Annotated[Upper | None, Field(alias="u")] = None
    n: Annotated[Count, Field(alias="n")] = 0
    problem: Annotated[Problem | None, Field(alias="x")] = None
    """Why `value` is missing."""
    champion: Annotated[Number | None, Field(alias="c")] = None
    """The champion's value on the same rows; None if it was not asked or did not answer."""
    difference: Annotated[Number | None, Field(alias="d")] = None
    """Candidate minus champion, in the metric's own direction, paired on the same rows."""
    difference_lower: Annotated[Lower | None, Field(alias="e")] = None
    difference_upper: Annotated[Upper | None, Field(alias="f")] = None
    p: Annotated[Number | None, Field(alias="p")] = None
    """The two-sided p-value of "no difference" (DeLong for roc_auc, exact McNemar for accuracy, else bootstrap)."""
    slices: Annotated[SlicesResult | None, Field(alias="s")] = None


class FairnessResult(ApiType):
    """One difference between the groups of one column."""

    name: Annotated[FairnessName, Field(alias="m")]
    column: Annotated[str, Field(alias="c", max_length=128)]
    value: Annotated[Number | None, Field(alias="v")] = None
    lower: Annotated[Lower | None, Field(alias="l")] = None
    upper: Annotated[Upper | None, Field(alias="u")] = None
    groups: Annotated[Count, Field(alias="g")] = 0
    """How many groups were compared."""
    n: Annotated[Count, Field(alias="n")] = 0
    problem: Annotated[Problem | None, Field(alias="x")] = None


class LatencyResult(ApiType):
    """How long the timed requests of one row each took, in milliseconds."""

    n: Annotated[Count, Field(alias="n")] = 0
    p50: Annotated[Number | None, Field(alias="a")] = None
    p95: Annotated[Number | None, Field(alias="b")] = None
    p99: Annotated[Number | None, Field(alias="v")] = None
    p99_lower: Annotated[Lower | None, Field(alias="l")] = None
    p99_upper: Annotated[Upper | None, Field(alias="u")] = None
    """The interval of p99 by order statistics; None on a side where n is too small to bound it."""
    champion_p50: Annotated[Number | None, Field(alias="d")] = None
    champion_p95: Annotated[Number | None, Field(alias="e")] = None
    champion_p99: Annotated[Number | None, Field(alias="f")] = None


class Disagreement(ApiType):
    """How often candidate and champion differ on the held-out rows: what the shadow stage is to expect."""

    n: Annotated[Count, Field(alias="n")] = 0
    label_flips: Annotated[Count, Field(alias="f")] = 0
    """Rows on which the two decide differently at `threshold`; 0 for regression."""
    mean_absolute_difference: Annotated[Number | None, Field(alias="m")] = None
    """Of the scores or numbers."""
    p95: Annotated[Number | None, Field(alias="q")] = None
    """The 0.95 quantile of the absolute differences."""


class GateResult(ApiType):
    """A Job's answer: its termination message."""

    version: Annotated[Literal[1], Field(alias="V")] = 1
    status: Annotated[GateStatus, Field(alias="S")]
    reason: Annotated[CamelCaseWord, Field(alias="R")] = "Evaluated"
    """One word: Evaluated, or what kept the numbers from being taken (WrongRevision, SourceNotFound, …)."""
    message: Annotated[str, Field(alias="M", max_length=600)] = ""
    """One sentence for people; empty if the reason says it all."""
    rows: Annotated[Count, Field(alias="r")] = 0
    """How many rows were used."""
    dataset_digest: Annotated[Digest | None, Field(alias="D")] = None
    metrics: Annotated[list[MetricResult], Field(alias="m")] = Field(default_factory=list)
    fairness: Annotated[list[FairnessResult], Field(alias="f")] = Field(default_factory=list)
    latency: Annotated[LatencyResult | None, Field(alias="l")] = None
    disagreement: Annotated[Disagreement | None, Field(alias="d")] = None
    failed: Annotated[Count, Field(alias="e")] = 0
    """Rows that the candidate did not answer (an HTTP error, a timeout, an answer of the wrong form)."""
    champion_failed: Annotated[Count, Field(alias="g")] = 0
    """Rows that the champion did not answer; comparisons are made only if it is 0."""
    answered: Annotated[str | None, Field(alias="a", max_length=64)] = None
    """The revision that the candidate's server said it is; None if it does not say."""
    champion_answered: Annotated[str | None, Field(alias="h", max_length=64)] = None
    report_digest: Annotated[Digest | None, Field(alias="P")] = None
    """The digest of the full report in the artifact store."""


def encode(result: GateResult) -> str:
    """Return the termination message: at most MESSAGE_BYTES.

    What only people read goes first: further slices, long names, the sentence's end. The two slices that decide
    stay; if not even they fit, the slices go with `worst` empty, which is judged as not known.
    """
    text = ""
    for sentence, slices, name in (
        (_SENTENCE_CHARACTERS, SHOWN_SLICES, _SLICE_CHARACTERS),
        (_SENTENCE_CHARACTERS, 3, _SLICE_CHARACTERS),
        (200, _FEWEST_SLICES, 32),
        (100, _FEWEST_SLICES, 20),
        (60, 0, 0),
    ):
        text = _cut(result, sentence, slices, name).model_dump_json(by_alias=True, exclude_defaults=True)
        if len(text.encode()) <= MESSAGE_BYTES:
            return text
    return error("ResultTooLarge", "The numbers do not fit into the Job's answer; use fewer metrics.").model_dump_json(
        by_alias=True, exclude_defaults=True
    )


def decode(message: str) -> GateResult | None:
    """Read a termination message; None if it is not one, which is never taken for a pass."""
    try:
        return GateResult.model_validate_json(message)
    except ValueError:
        return None


def error(reason: str, message: str, **known: Any) -> GateResult:
    """Return the answer of a Job that could not take the numbers."""
    return GateResult(status=GateStatus.ERROR, reason=reason, message=message[:600], **known)


def _cut(result: GateResult, sentence: int, slices: int, name: int) -> GateResult:
    metrics = [
        item.model_copy(update={"slices": _cut_slices(item.slices, slices, name)}) if item.slices else item
        for item in result.metrics
    ]
    return result.model_copy(update={"message": result.message[:sentence], "metrics": metrics})


def _cut_slices(slices: SlicesResult, shown: int, name: int) -> SlicesResult:
    kept = [item.model_copy(update={"slice": _cut_name(item.slice, name)}) for item in slices.worst[:shown]]
    return slices.model_copy(update={"worst": kept})


def _cut_name(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
