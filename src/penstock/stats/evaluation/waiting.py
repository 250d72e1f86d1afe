"""Quantiles of latencies with intervals that assume nothing about their distribution."""

from __future__ import annotations

from math import ceil

import numpy as np
from scipy.stats import binom

from penstock.stats.evaluation.estimate import Floats


def quantile(values: Floats, share: float) -> float:
    """The smallest of the values [n > 0] that a share of at least `share` does not exceed."""
    ordered = np.sort(values)
    return float(ordered[max(0, ceil(share * len(ordered) - 1e-9) - 1)])


def quantile_bounds(values: Floats, share: float, tail: float) -> tuple[float | None, float | None]:
    """Two of the values between which the true quantile lies but for a chance of `tail` on each side.

    How many values lie below the quantile is binomial (Conover 1999, 3.2; David & Nagaraja 2003, 7.1). None where no
    value is far enough out: nothing bounds the 99 % quantile from above by fewer than 368 values at a tail of 0.025.
    """
    ordered, n = np.sort(values), len(values)
    # P(fewer than `below` values lie under the quantile) <= tail, and P(`above` or more do) <= tail.
    below = int(binom.ppf(tail, n, share))
    lower = float(ordered[below - 1]) if below >= 1 else None
    above = int(binom.isf(tail, n, share)) + 1
    upper = float(ordered[above - 1]) if above <= n else None
    return lower, upper
