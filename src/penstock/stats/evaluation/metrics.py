"""Every metric by its name: of one model, and the difference of two on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from penstock.stats.evaluation import decisions, losses, ranking, roc
from penstock.stats.evaluation.estimate import Bools, Estimate, Floats, Ints, Options, Problem
from penstock.stats.evaluation.resampling import stream
from penstock.stats.evaluation.uncertain import Uncertain, estimate, two_sided_p

ROC_AUC, AVERAGE_PRECISION = "roc_auc", "average_precision"
REGRESSION = ("mae", "rmse", "r2")
SMALLER_IS_BETTER = ("log_loss", "brier", "mae", "rmse")
CLASSES = (ROC_AUC, AVERAGE_PRECISION, *decisions.NAMES, "log_loss", "brier")
NAMES = (*CLASSES, *REGRESSION)


@dataclass(frozen=True)
class Rows:
    """Rows with outcomes and one or two models' answers, each [n].

    `labels`: 0 and 1, or numbers for regression. `scores`: of the positive class, or the predicted numbers. `champion`:
    the other model's on the same rows, if there is one.
    """

    labels: Floats
    scores: Floats
    champion: Floats | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def taken(self, index: Bools | Ints) -> Rows:
        """Only these rows: a mask or indices."""
        chosen = None if self.champion is None else self.champion[index]
        return Rows(self.labels[index], self.scores[index], chosen)

    @property
    def is_finite(self) -> bool:
        """Whether every number of the candidate is one; the champion's are looked at where they are used."""
        return bool(np.isfinite(self.scores).all() and np.isfinite(self.labels).all())

    @property
    def positive(self) -> Bools:
        """Labels as yes and no."""
        return self.labels > 0.5


def measured(metric: str, rows: Rows, options: Options, *purpose: str) -> Uncertain | Problem:
    """Return a metric of the candidate; `purpose` tells random draws apart, such as the slice."""
    if not len(rows):
        return Problem.NO_ROWS
    if not rows.is_finite:
        return Problem.NOT_FINITE
    random = stream(options.seed, metric, *purpose)
    if metric == ROC_AUC:
        return roc.area(rows.positive, rows.scores)
    if metric == AVERAGE_PRECISION:
        return ranking.average_precision(rows.positive, rows.scores, random, options.resamples)
    if metric in decisions.NAMES:
        counts = decisions.confusion(rows.positive, rows.scores >= options.threshold)
        return decisions.share(metric, counts)
    return losses.loss(metric, rows.labels, rows.scores, random, options.resamples)


def difference(metric: str, rows: Rows, options: Options) -> Uncertain | Problem:
    """Return candidate's metric minus champion's; smaller may be better, see SMALLER_IS_BETTER."""
    champion = rows.champion
    if champion is None or not len(rows):
        return Problem.NO_ROWS
    if not (rows.is_finite and np.isfinite(champion).all()):
        return Problem.NOT_FINITE
    random = stream(options.seed, metric, "difference")
    if metric == ROC_AUC:
        return roc.area_difference(rows.positive, rows.scores, champion)
    if metric == AVERAGE_PRECISION:
        return ranking.average_precision_difference(rows.positive, rows.scores, champion, random, options.resamples)
    if metric in decisions.NAMES:
        counts = decisions.paired(rows.positive, rows.scores >= options.threshold, champion >= options.threshold)
        return decisions.difference(metric, counts, random, options.resamples)
    return losses.loss_difference(metric, rows.labels, rows.scores, champion, random, options.resamples)


def evaluate(metric: str, rows: Rows, options: Options, bound: float | None = None) -> Estimate:
    """Return the candidate's metric in numbers; p-values are against `bound`."""
    return estimate(measured(metric, rows, options), options, bound, n=len(rows))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The champion's metric on the same rows, the difference, and the p-value of "no difference".

    The p-value is DeLong's for the area, McNemar's exact one for accuracy, that of the bootstrap for the rest.
    """

    champion: Estimate
    difference: Estimate
    p_value: float | None = None


def compare(metric: str, rows: Rows, options: Options) -> Comparison:
    """Return how the candidate stands to the champion."""
    other = Rows(rows.labels, rows.scores if rows.champion is None else rows.champion)
    champion = Estimate(0, problem=Problem.NO_ROWS) if rows.champion is None else evaluate(metric, other, options)
    found = difference(metric, rows, options)
    numbers = estimate(found, options, n=len(rows))
    if isinstance(found, Problem) or numbers.problem or rows.champion is None:
        return Comparison(champion, numbers)
    if metric == "accuracy":
        counts = decisions.paired(rows.positive, rows.scores >= options.threshold, rows.champion >= options.threshold)
        return Comparison(champion, numbers, decisions.mcnemar(counts)[2])
    return Comparison(champion, numbers, two_sided_p(found))


def resamples_for(confidence: float) -> int:
    """How many bootstrap draws an interval of that confidence needs: some 50 in each tail, at most 20,000."""
    return min(20_000, max(2_000, round(100 / (1 - confidence))))
