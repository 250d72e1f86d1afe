"""The area under the ROC curve with DeLong's variance, for one model and for two on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from penstock.stats.evaluation.estimate import Bools, Floats, Problem
from penstock.stats.evaluation.uncertain import LogitNormal, Normal, Uncertain, Unseen

LEAST_PER_CLASS = 10
"""With fewer rows of a class the variance is itself too uncertain to lean on."""
_FEW_WRONG = 5.0
_NEXT_TO = 1e-12


@dataclass(frozen=True)
class Placements:
    """The share of negatives that each positive beats, [positives], and of positives that beat each negative.

    Ties count half. The mean of either is the area: the probability that a positive scores higher than a negative.
    """

    of_positives: Floats
    of_negatives: Floats

    @property
    def area(self) -> float:
        """The area under the ROC curve."""
        return float(self.of_positives.mean())

    @property
    def smaller(self) -> int:
        """Rows of the rarer class."""
        return min(len(self.of_positives), len(self.of_negatives))

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.of_positives) + len(self.of_negatives)


def placements(labels: Bools, scores: Floats) -> Placements:
    """Placements by midranks, O(n log n) (Sun & Xu 2014, IEEE Signal Processing Letters 21); both classes have rows."""
    positives, negatives = scores[labels], scores[~labels]
    together = _midranks(scores)
    m, n = len(positives), len(negatives)
    return Placements((together[labels] - _midranks(positives)) / n, 1 - (together[~labels] - _midranks(negatives)) / m)


def area(labels: Bools, scores: Floats) -> Uncertain | Problem:
    """The area of one model.

    DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, on the logit scale (Pepe 2003, 5.3); where fewer than five rows
    of the rarer class are misplaced on average it knows too little, and Newcombe's score interval is used.
    """
    if problem := _problem(labels):
        return problem
    found = placements(labels, scores)
    value = found.area
    if min(value, 1 - value) * found.smaller < _FEW_WRONG:
        return NewcombeArea(value, len(found.of_positives), len(found.of_negatives))
    variance = _variance(found.of_positives) + _variance(found.of_negatives)
    if variance <= 0:
        return Problem.CONSTANT
    return LogitNormal(value, sqrt(variance), found.n)


def area_difference(labels: Bools, candidate: Floats, champion: Floats) -> Uncertain | Problem:
    """Candidate's area minus champion's, with the covariance of the two (DeLong et al. 1988)."""
    if problem := _problem(labels):
        return problem
    one, other = placements(labels, candidate), placements(labels, champion)
    value = one.area - other.area
    variance = _variance(one.of_positives - other.of_positives) + _variance(one.of_negatives - other.of_negatives)
    if variance > 0:
        return Normal(value, sqrt(variance), one.n, -1.0, 1.0)
    if one.area in (0.0, 1.0):
        return Unseen(value, one.smaller, one.n)
    # Both order the rows alike, but neither orders them at all where all scores are the same.
    return Problem.CONSTANT if _is_constant(candidate) or _is_constant(champion) else Normal(value, 0.0, one.n)


@dataclass(frozen=True, slots=True)
class NewcombeArea:
    """An area near 0 or 1: all θ with |value - θ| <= z·√V(θ), V being Hanley and McNeil's variance at θ.

    Newcombe 2006, Statistics in Medicine 25, 559-573, method 5: both q-terms weighted by (m + n)/2 - 1. Unlike a
    standard error that is estimated where nothing is misplaced, it does not shrink to a point.
    """

    value: float
    positives: int
    negatives: int

    @property
    def n(self) -> int:
        """See Uncertain."""
        return self.positives + self.negatives

    def bounds(self, tail: float) -> tuple[float, float]:
        """See Uncertain."""
        z, value = float(ndtri(1 - tail)), self.value

        def beyond(theta: float) -> float:
            return abs(value - theta) - z * self._error(theta)

        # At 0 and 1 themselves the variance is 0, so that the value always solves the equation.
        lower = 0.0 if value == 0 else float(brentq(beyond, 0.0, value * (1 - _NEXT_TO)))
        upper = 1.0 if value == 1 else float(brentq(beyond, value + (1 - value) * _NEXT_TO, 1.0))
        return lower, upper

    def p_below(self, threshold: float) -> float:
        """See Uncertain."""
        return Normal(self.value, self._error(threshold), self.n).p_below(threshold)

    def p_above(self, threshold: float) -> float:
        """See Uncertain."""
        return Normal(self.value, self._error(threshold), self.n).p_above(threshold)

    def _error(self, theta: float) -> float:
        weight = self.n / 2 - 1
        spread = 1 + weight * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return sqrt(theta * (1 - theta) * spread / (self.positives * self.negatives))


def _problem(labels: Bools) -> Problem | None:
    positives = int(labels.sum())
    if not len(labels):
        return Problem.NO_ROWS
    if positives in (0, len(labels)):
        return Problem.ONE_CLASS
    return Problem.TOO_FEW if min(positives, len(labels) - positives) < LEAST_PER_CLASS else None


def _is_constant(scores: Floats) -> bool:
    return bool((scores == scores[0]).all())


def _variance(values: Floats) -> float:
    # Differences of equal placements may be off by the last digit.
    if np.ptp(values) < 1e-12:
        return 0.0
    return float(values.var(ddof=1)) / len(values)


def _midranks(values: Floats) -> Floats:
    """Ranks from 1, ties sharing the middle of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], dtype=np.float64)
