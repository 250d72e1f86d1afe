"""A number with what is known of its uncertainty, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Problem(StrEnum):
    """Why a number is not known; none of these is ever a good result."""

    NO_ROWS = "NoRows"
    TOO_FEW = "TooFewSamples"
    ONE_CLASS = "OneClass"
    CONSTANT = "Constant"
    """All scores, all labels or all losses are the same: nothing says how far the number is from the truth."""
    NOT_DEFINED = "NotDefined"
    """A share of nothing, such as the precision of a model that never says yes."""
    NOT_PROBABILITY = "NotAProbability"
    NOT_FINITE = "MetricNotFinite"


@dataclass(frozen=True, slots=True)
class Estimate:
    """`value` with its two-sided interval from `n` rows (or what the metric is a share of); None where unknown.

    A `problem` goes with an unknown interval; the value may still be known and is then for the report only.
    `p_below`: how surprising the data would be if the true value were at least the threshold (small: it is below);
    `p_above`: if it were at most the threshold (small: it is above). Both None without a threshold.
    """

    n: int
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    p_below: float | None = None
    p_above: float | None = None
    problem: Problem | None = None

    def __post_init__(self) -> None:
        numbers = (self.value, self.lower, self.upper)
        if any(number is not None and not math.isfinite(number) for number in numbers):
            object.__setattr__(self, "problem", Problem.NOT_FINITE)
            for name in ("value", "lower", "upper", "p_below", "p_above"):
                object.__setattr__(self, name, None)


@dataclass(frozen=True, slots=True)
class Options:
    """How numbers are estimated.

    `confidence`: of two-sided intervals, such as 0.95. `threshold`: scores from here on say yes. `seed`: of the
    bootstrap, from the task, so that asking again gives the same answer. `least_rows`: with fewer there is no number.
    """

    seed: int
    confidence: float = 0.95
    threshold: float = 0.5
    least_rows: int = 1
    resamples: int = 2000

    @property
    def tail(self) -> float:
        """The chance left on each side of an interval."""
        return (1 - self.confidence) / 2
