"""The candidate alone against an absolute bound: for when the champion is broken and no measure of anything."""

from __future__ import annotations

import math

_HARM = (0.25, 0.5, 0.75)
_GO = (0.1, 0.3, 0.6)


def log_harm(n: int, x: int, bound: float, dispersion: float) -> float:
    """Return log e against "the share of events is at most `bound`".

    The mean of the likelihood ratios of three shares above the bound (a quarter, a half, three quarters of the way to
    1); each ratio's mean is at most 1 under any smaller share. A function of the totals, so it needs no state.
    """
    return _log_mean([_log_ratio(n, x, bound + part * (1 - bound), bound) / dispersion for part in _HARM])


def log_go(n: int, x: int, bound: float, dispersion: float) -> float:
    """Return log e against "the share of events is at least `bound`": the same with three shares below it."""
    return _log_mean([_log_ratio(n, x, part * bound, bound) / dispersion for part in _GO])


def _log_ratio(n: int, x: int, alternative: float, bound: float) -> float:
    return x * math.log(alternative / bound) + (n - x) * (math.log1p(-alternative) - math.log1p(-bound))


def _log_mean(logs: list[float]) -> float:
    largest = max(logs)
    return largest + math.log(sum(math.exp(log - largest) for log in logs) / len(logs))
