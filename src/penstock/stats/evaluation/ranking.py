"""Average precision: the area under the precision-recall curve as steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from penstock.stats.evaluation.estimate import Bools, Floats, Ints, Problem
from penstock.stats.evaluation.resampling import row_order, weights
from penstock.stats.evaluation.uncertain import Draws, LogitNormal, Uncertain, Unseen

LEAST_POSITIVES = 10
_WORK = 100_000_000
_LEAST_RESAMPLES = 400


class Steps:
    """One model's rows by falling score, ready to be weighted."""

    def __init__(self, labels: Bools, scores: Floats) -> None:
        """`labels` and `scores`: [n]."""
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        # Rows of one score are taken or left together.
        self._starts = np.flatnonzero(np.append(True, np.diff(ordered) != 0))
        self._positive = labels[self._order]

    def average_precision(self, counts: Ints) -> float:
        """Σ (R_k - R_(k-1))·P_k over falling scores for rows that count so often [n]; NaN without a positive.

        Source: Manning, Raghavan & Schütze 2008, Introduction to Information Retrieval, 8.4, as scikit-learn has it: no
        interpolation, which would flatter (Davis & Goadrich 2006).
        """
        found = counts[self._order]
        rows = np.cumsum(np.add.reduceat(found, self._starts))
        hits = np.add.reduceat(np.where(self._positive, found, 0), self._starts)
        total = int(hits.sum())
        if not total:
            return float("nan")
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(rows > 0, np.cumsum(hits) / rows, 0.0)
        return float((precision * hits).sum() / total)


def resamples_for(n: int, wanted: int) -> int:
    """Fewer resamples for very many rows: at least 400, which know a standard error to some 4 %."""
    return min(wanted, max(_LEAST_RESAMPLES, _WORK // max(n, 1)))


def average_precision(
    labels: Bools, scores: Floats, random: np.random.Generator, resamples: int
) -> Uncertain | Problem:
    """Return one model's average precision: about normal on the logit scale, with the error of resampled rows.

    Boyd, Eng & Page 2013, ECML PKDD: logit intervals hold the truth as often as they say, percentiles of resamples do
    not, since resampled rows are ranked better than new ones.
    """
    if problem := _problem(labels):
        return problem
    order = row_order(labels.astype(np.float64), scores)
    steps = Steps(labels[order], scores[order])
    value = steps.average_precision(np.ones(len(labels), dtype=np.int64))
    draws = _draws(steps.average_precision, len(labels), random, resamples)
    if value == 1:
        # Every positive was ranked above all negatives; the next one need not be.
        return Unseen(value, int(labels.sum()), len(labels), low=0.0)
    if np.ptp(draws) == 0:
        return Problem.CONSTANT
    return LogitNormal(value, float(draws.std(ddof=1)), len(labels))


def average_precision_difference(
    labels: Bools, candidate: Floats, champion: Floats, random: np.random.Generator, resamples: int
) -> Uncertain | Problem:
    """Return candidate's minus champion's, of the same resamples."""
    if problem := _problem(labels):
        return problem
    order = row_order(labels.astype(np.float64), candidate, champion)
    one, other = Steps(labels[order], candidate[order]), Steps(labels[order], champion[order])

    def difference(counts: Ints) -> float:
        return one.average_precision(counts) - other.average_precision(counts)

    every = np.ones(len(labels), dtype=np.int64)
    value = difference(every)
    if value == 0 and one.average_precision(every) == 1:
        return Unseen(value, int(labels.sum()), len(labels))
    return Draws(value, _draws(difference, len(labels), random, resamples), len(labels))


def _draws(of: Callable[[Ints], float], n: int, random: np.random.Generator, resamples: int) -> Floats:
    found = np.array([of(counts) for counts in weights(n, random, resamples_for(n, resamples))])
    known: Floats = found[~np.isnan(found)]
    return known


def _problem(labels: Bools) -> Problem | None:
    positives = int(labels.sum())
    if not len(labels):
        return Problem.NO_ROWS
    if positives in (0, len(labels)):
        return Problem.ONE_CLASS
    return Problem.TOO_FEW if positives < LEAST_POSITIVES else None
