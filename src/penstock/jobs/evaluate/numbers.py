"""From answers to the numbers that were asked for: short for the termination message, in full for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from penstock.api.v1alpha1.evaluationgate import REGRESSION, GateMetric, SliceRule
from penstock.domain.gates.task import (
    SHOWN_SLICES,
    Disagreement,
    FairnessResult,
    GateTask,
    LatencyResult,
    MetricResult,
    Problem,
    SliceResult,
    SlicesResult,
)
from penstock.jobs.evaluate.holdout import Groups
from penstock.stats.evaluation import decisions, estimate, losses, metrics
from penstock.stats.evaluation.estimate import Bools, Estimate, Floats, Options
from penstock.stats.evaluation.fairness import disparity
from penstock.stats.evaluation.metrics import Comparison, Rows
from penstock.stats.evaluation.resampling import stream
from penstock.stats.evaluation.slices import Slice, sliced
from penstock.stats.evaluation.uncertain import Share
from penstock.stats.evaluation.uncertain import estimate as in_numbers
from penstock.stats.evaluation.waiting import quantile, quantile_bounds

Json = dict[str, Any]
_PROBLEMS = {
    estimate.Problem.NO_ROWS: Problem.NO_DATA,
    estimate.Problem.TOO_FEW: Problem.TOO_FEW,
    estimate.Problem.ONE_CLASS: Problem.NOT_DEFINED,
    estimate.Problem.CONSTANT: Problem.NOT_DEFINED,
    estimate.Problem.NOT_DEFINED: Problem.NOT_DEFINED,
    estimate.Problem.NOT_PROBABILITY: Problem.NOT_DEFINED,
    estimate.Problem.NOT_FINITE: Problem.NOT_FINITE,
}


@dataclass(frozen=True)
class Answers:
    """What is known of every row, [n] each. `champion` is None unless it answered every row."""

    labels: Floats
    scores: Floats
    failed: Bools
    champion: Floats | None
    groups: Mapping[str, Groups]

    @property
    def rows(self) -> Rows:
        """The rows that the candidate answered."""
        everything = Rows(self.labels, self.scores, self.champion)
        return everything.taken(~self.failed) if self.failed.any() else everything


@dataclass
class Numbers:
    """The results for the message, and the report's part of each."""

    metrics: list[MetricResult] = field(default_factory=list)
    fairness: list[FairnessResult] = field(default_factory=list)
    disagreement: Disagreement | None = None
    report: Json = field(default_factory=dict)


def options_of(task: GateTask) -> Options:
    """How this task's numbers are estimated."""
    confidence = float(task.confidence)
    return Options(task.seed, confidence, float(task.threshold), resamples=metrics.resamples_for(confidence))


def is_regression(task: GateTask) -> bool:
    """Whether the labels are numbers rather than classes; the API lets a gate ask for one kind of metric only."""
    return any(metric.name in REGRESSION for metric in task.metrics)


def numbers_of(task: GateTask, answers: Answers) -> Numbers:
    """Take every number that the task asks for."""
    return _Taking(task, answers).done()


class _Taking:
    def __init__(self, task: GateTask, answers: Answers) -> None:
        self._task, self._answers = task, answers
        self._options, self._rows = options_of(task), answers.rows
        self._known: dict[str, tuple[Estimate, Comparison | None]] = {}
        self._found = Numbers()

    def done(self) -> Numbers:
        details = [self._metric(metric) for metric in self._task.metrics]
        self._found.report = {"metrics": details, "fairness": self._fairness()}
        if self._answers.champion is not None:
            self._found.disagreement, self._found.report["disagreement"] = self._disagreement()
        if self._rows.champion is not None and not is_regression(self._task) and len(self._rows):
            self._found.report["mcnemar"] = self._mcnemar(self._rows.champion)
        return self._found

    def _metric(self, metric: GateMetric) -> Json:
        name = metric.name.value
        if name not in self._known:
            against = metrics.compare(name, self._rows, self._options) if self._rows.champion is not None else None
            self._known[name] = metrics.evaluate(name, self._rows, self._options), against
        found, against = self._known[name]
        slices, parts = self._slices(name, metric.slices) if metric.slices else (None, None)
        compared: Json = {}
        if against is not None and metric.versus_champion is not None:
            # Only where it is asked for: the message is short, and the report has all of them.
            known = against.difference
            compared = {
                "champion": against.champion.value if against.champion.problem is None else None,
                "difference": known.value if known.problem is None else None,
                "difference_lower": known.lower,
                "difference_upper": known.upper,
                "p": against.p_value,
            }
        self._found.metrics.append(
            MetricResult(id=metric.key, n=found.n, slices=slices, **_interval(found), **compared)
        )
        detail: Json = {"id": metric.key, "name": name, **_full(found)}
        if against is not None:
            detail |= {"champion": _full(against.champion), "difference": _full(against.difference)}
            detail["pValueOfNoDifference"] = against.p_value
        return detail if parts is None else detail | {"slices": parts}

    def _slices(self, name: str, rule: SliceRule) -> tuple[SlicesResult, Json]:
        if any(column not in self._answers.groups for column in rule.by):
            return SlicesResult(problem=Problem.COLUMN_MISSING), {"problem": Problem.COLUMN_MISSING.value}
        columns = []
        for column in rule.by:
            group = self._answers.groups[column]
            columns.append(([f"{column}={value}" for value in group.names], group.codes[~self._answers.failed]))
        bound = float(rule.min if rule.min is not None else rule.max or "nan")
        found = sliced(name, self._rows, columns, self._options, least_rows=rule.min_samples, bound=bound)
        # Where the metric has no meaning, such as recall without a positive row, the slice has too few rows for it.
        parts = [item for item in found.parts if item.found.problem in (None, estimate.Problem.NOT_FINITE)]
        small = found.small + len(found.parts) - len(parts)
        result = SlicesResult(count=len(parts), small=small, worst=[_slice(item) for item in parts[:SHOWN_SLICES]])
        report = {
            "bound": bound,
            "minSamples": rule.min_samples,
            "count": len(parts),
            "small": small,
            "slices": [
                {"slice": item.name, "rows": item.rows, "pBreachHolm": item.p_breach, **_full(item.found)}
                for item in found.parts
            ],
        }
        return result, report

    def _fairness(self) -> list[Json]:
        wanted, details = self._task.fairness, []
        if wanted is None:
            return []
        finite = self._rows.is_finite
        decided = self._rows.scores >= self._options.threshold
        for column in wanted.protected:
            for metric in wanted.metrics:
                group = self._answers.groups.get(column)
                result = FairnessResult(name=metric.name, column=column, n=len(self._rows))
                detail: Json = {"name": metric.name.value, "column": column}
                if group is None:
                    result = result.model_copy(update={"problem": Problem.COLUMN_MISSING})
                elif not finite:
                    result = result.model_copy(update={"problem": Problem.NOT_FINITE})
                else:
                    codes = group.codes[~self._answers.failed]
                    found = disparity(metric.name.value, self._rows.positive, decided, codes, self._options)
                    result = result.model_copy(
                        update={"groups": found.groups, "n": found.found.n, **_interval(found.found)}
                    )
                    detail |= {"groups": found.groups, "leftOut": found.left_out, **_full(found.found)}
                self._found.fairness.append(result)
                details.append(detail if result.problem is None else detail | {"problem": result.problem.value})
        return details

    def _disagreement(self) -> tuple[Disagreement | None, Json | None]:
        champion = self._rows.champion
        if champion is None or not len(self._rows) or not np.isfinite(self._rows.scores + champion).all():
            return None, None
        gaps = np.abs(self._rows.scores - champion)
        flips, options = 0, self._options
        report: Json = {"n": len(gaps)}
        if not is_regression(self._task):
            flips = int(((self._rows.scores >= options.threshold) != (champion >= options.threshold)).sum())
            report["labelFlips"] = _full(in_numbers(Share(flips, len(gaps)), options)) | {"count": flips}
        mean = losses.mean_of(gaps, stream(options.seed, "disagreement"), options.resamples)
        report["meanAbsoluteDifference"] = _full(in_numbers(mean, options, n=len(gaps)))
        report["quantiles"] = {str(share): quantile(gaps, share) for share in (0.5, 0.9, 0.95, 0.99)}
        short = Disagreement(
            n=len(gaps), label_flips=flips, mean_absolute_difference=float(gaps.mean()), p95=quantile(gaps, 0.95)
        )
        return short, report

    def _mcnemar(self, champion: Floats) -> Json:
        threshold = self._options.threshold
        if not (self._rows.is_finite and np.isfinite(champion).all()):
            return {"problem": Problem.NOT_FINITE.value}
        counts = decisions.paired(self._rows.positive, self._rows.scores >= threshold, champion >= threshold)
        only_candidate, only_champion, p_value = decisions.mcnemar(counts)
        return {"onlyCandidateRight": only_candidate, "onlyChampionRight": only_champion, "pValue": p_value}


def latency_of(candidate: Floats, champion: Floats, confidence: float) -> tuple[LatencyResult, Json]:
    """Return the quantiles of latencies in milliseconds, [n] each, and the report's part."""
    tail = (1 - confidence) / 2
    content: Json = {"n": len(candidate)}
    report: Json = {}
    for who, values in (("candidate", candidate), ("champion", champion)):
        if not len(values):
            continue
        found = {str(share): quantile(values, share) for share in (0.5, 0.9, 0.95, 0.99)}
        bounds = {str(share): quantile_bounds(values, share, tail) for share in (0.5, 0.95, 0.99)}
        report[who] = {"n": len(values), "milliseconds": found, "intervals": bounds, "longest": float(values.max())}
        prefix = "" if who == "candidate" else "champion_"
        content |= {f"{prefix}p{share[2:]:0<2}": found[share] for share in ("0.5", "0.95", "0.99")}
        if who == "candidate":
            content["p99_lower"], content["p99_upper"] = bounds["0.99"]
    return LatencyResult(**content), report


def _interval(found: Estimate) -> Json:
    if found.problem is not None:
        return {"problem": _PROBLEMS[found.problem]}
    return {"value": found.value, "lower": found.lower, "upper": found.upper}


def _full(found: Estimate) -> Json:
    return {key: value for key, value in asdict(found).items() if value is not None}


def _slice(item: Slice) -> SliceResult:
    found = item.found
    known: Json = {} if found.problem else {"value": found.value, "lower": found.lower, "upper": found.upper}
    return SliceResult(slice=item.name[:256], n=item.rows, p=item.p_breach, **known)
