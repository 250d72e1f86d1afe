"""Metrics that are means over rows, or functions of such means: log loss, Brier score, MAE, RMSE, R²."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from penstock.stats.evaluation.estimate import Floats, Problem
from penstock.stats.evaluation.resampling import draws_of_sums, row_order
from penstock.stats.evaluation.uncertain import Uncertain, accelerated

_EPSILON = float(np.finfo(np.float64).eps)
_Terms = Callable[[Floats, Floats], Floats]
_OfSums = Callable[[Floats], Floats]


def _log_loss(labels: Floats, scores: Floats) -> Floats:
    # A certain and wrong answer counts as one that is off by a rounding error, as scikit-learn has it.
    chance = np.clip(scores, _EPSILON, 1 - _EPSILON)
    return -np.where(labels > 0, np.log(chance), np.log1p(-chance))[:, None]


def _squared(labels: Floats, scores: Floats) -> Floats:
    return ((labels - scores) ** 2)[:, None]


def _absolute(labels: Floats, scores: Floats) -> Floats:
    return np.abs(labels - scores)[:, None]


def _explained(labels: Floats, scores: Floats) -> Floats:
    centred = labels - labels.mean()
    return np.column_stack([(labels - scores) ** 2, centred, centred**2])


def _mean(sums: Floats) -> Floats:
    return sums[:, 0] / sums[:, -1]


def _root_mean(sums: Floats) -> Floats:
    return np.sqrt(_mean(sums))


def _r2(sums: Floats) -> Floats:
    residual, total, squares, n = sums.T
    spread = squares - total**2 / n
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, 1 - residual / spread, np.nan)


_METRICS: dict[str, tuple[_Terms, _OfSums]] = {
    "log_loss": (_log_loss, _mean),
    "brier": (_squared, _mean),
    "mae": (_absolute, _mean),
    "rmse": (_squared, _root_mean),
    "r2": (_explained, _r2),
}
NAMES = tuple(_METRICS)
PROBABILITIES = ("log_loss", "brier")
LEAST_ROWS = 10
"""With fewer rows their spread is itself too uncertain to lean on."""


def loss(
    metric: str, labels: Floats, scores: Floats, random: np.random.Generator, resamples: int
) -> Uncertain | Problem:
    """Return one model's metric; labels of classifiers are 0 and 1."""
    if problem := _problem(metric, labels, scores):
        return problem
    order = row_order(labels, scores)
    terms, of_sums = _METRICS[metric]
    found = terms(labels[order], scores[order])
    value = _value(found, of_sums)
    if np.ptp(found[:, 0]) == 0:
        return Problem.CONSTANT
    return _known(value, draws_of_sums(found, of_sums, random, resamples), len(labels))


def loss_difference(
    metric: str, labels: Floats, candidate: Floats, champion: Floats, random: np.random.Generator, resamples: int
) -> Uncertain | Problem:
    """Return candidate's metric minus champion's, of the same resamples."""
    if problem := _problem(metric, labels, candidate, champion):
        return problem
    order = row_order(labels, candidate, champion)
    terms, of_sums = _METRICS[metric]
    one, other = terms(labels[order], candidate[order]), terms(labels[order], champion[order])
    width = one.shape[1]

    def difference(sums: Floats) -> Floats:
        return of_sums(sums[:, [*range(width), -1]]) - of_sums(sums[:, width:])

    value = _value(one, of_sums) - _value(other, of_sums)
    return _known(value, draws_of_sums(np.column_stack([one, other]), difference, random, resamples), len(labels))


def mean_of(values: Floats, random: np.random.Generator, resamples: int) -> Uncertain | Problem:
    """Return the mean of values that are the same for any order of rows."""
    if not len(values):
        return Problem.NO_ROWS
    ordered = np.sort(values)[:, None]
    return _known(float(values.mean()), draws_of_sums(ordered, _mean, random, resamples), len(values))


def _value(terms: Floats, of_sums: _OfSums) -> float:
    return float(of_sums(np.append(terms.sum(axis=0), len(terms))[None, :])[0])


def _known(value: float, found: tuple[Floats, Floats], n: int) -> Uncertain | Problem:
    draws, without = found
    known = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not np.isfinite(without).all() or len(known) < 0.95 * len(draws):
        return Problem.NOT_FINITE
    return accelerated(value, known, n, without)


def _problem(metric: str, labels: Floats, *models: Floats) -> Problem | None:
    if not len(labels):
        return Problem.NO_ROWS
    if not all(np.isfinite(scores).all() for scores in (labels, *models)):
        return Problem.NOT_FINITE
    if metric in PROBABILITIES and any(((scores < 0) | (scores > 1)).any() for scores in models):
        return Problem.NOT_PROBABILITY
    if len(labels) < LEAST_ROWS:
        return Problem.TOO_FEW
    return Problem.CONSTANT if metric == "r2" and np.ptp(labels) == 0 else None
