"""Intervals of a difference that hold at every look, for people to read; decisions are made on e-values."""

from __future__ import annotations

import math

ALPHA = 0.05
_TUNED_FOR = 1000.0
"""Requests of the candidate at which the interval is narrowest for its level."""


def half_width(variance_of_difference: float, n: float) -> float:
    """Return half the width of the 95 % confidence sequence of a difference estimated from `n` requests.

    Asymptotic (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024, Ann. Stat. 52, theorem 2.2): with t = n requests and
    the variance s^2 = t * `variance_of_difference` of one of them,
    s sqrt(2 (t r^2 + 1) / (t^2 r^2) * log(sqrt(t r^2 + 1) / alpha)).
    """
    r2 = (-2 * math.log(ALPHA) + math.log(-2 * math.log(ALPHA)) + 1) / _TUNED_FOR
    grown = n * r2 + 1
    return math.sqrt(variance_of_difference * n * 2 * grown / (n * n * r2) * math.log(math.sqrt(grown) / ALPHA))


def of_shares(n1: int, x1: int, n2: int, x2: int, dispersion: float) -> float | None:
    """Return the half width for x1/n1 - x2/n2; half an event is added to each side, so that none is never certain."""
    if n1 == 0 or n2 == 0:
        return None
    p1, p2 = (x1 + 0.5) / (n1 + 1), (x2 + 0.5) / (n2 + 1)
    return half_width(dispersion * (p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2), n1)
