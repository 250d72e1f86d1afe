"""How long a canary still needs, and what would be enough where that is too long."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from penstock.domain.canary.analysis import AnalysisResult, Kind, Worse
from penstock.domain.canary.boundary import LEAST, growth

_MOST_WEIGHT = 0.5
"""Evidence grows fastest with half of the traffic."""
_PRECISION = 40


@dataclass(frozen=True, slots=True)
class Outlook:
    """Expected seconds until the step has its requests and until Go is shown; None: never at this rate, or unknown.

    If Go is not expected before the deadline: `margin`, the smallest that would do at this weight, and `weight`, the
    smallest (in percent) that would do with this margin; None where none does.
    """

    seconds_to_requests: float | None
    seconds_to_go: float | None
    in_time: bool | None
    margin: float | None = None
    weight: int | None = None


def outlook(
    result: AnalysisResult,
    *,
    requests_per_second: float,
    weight_percent: int,
    min_requests: int,
    deadline_seconds: float,
) -> Outlook:
    """Return what to expect of one analysis if traffic goes on like this and the candidate is as good as the champion.

    `requests_per_second`: of both tracks together. Evidence is expected to grow as the Go test's log e does on average
    (`domain.canary.boundary.growth`), so half of the rollouts take somewhat longer. Means and Guardrails have no
    expectation: `in_time` is None. A margin for Latency is one of shares, as in the result.
    """
    weight = weight_percent / 100
    rate = requests_per_second * weight
    missing = max(0, min_requests - result.step_n)
    to_requests = 0.0 if missing == 0 else missing / rate if rate > 0 else None
    share = result.champion_share
    if share is None or result.kind in (Kind.MEAN, Kind.GUARDRAIL):
        return Outlook(to_requests, None, None)
    share = 1 - share if result.worse is Worse.LOWER else share
    needed = max(0.0, result.go_threshold - result.log_go) * result.dispersion

    def seconds(margin: float, at: float) -> float | None:
        if needed == 0:
            return 0.0
        if requests_per_second <= 0 or not 0 < at < 1 or not 0 < margin < 1:
            return None
        gained = growth(share, margin, at) * requests_per_second * at
        return needed / gained if gained > 0 else None

    def enough(margin: float, at: float) -> bool:
        expected = seconds(margin, at)
        return expected is not None and expected <= deadline_seconds

    to_go = seconds(result.margin, weight)
    if enough(result.margin, weight):
        return Outlook(to_requests, to_go, True)
    smallest_margin = _smallest(lambda margin: enough(margin, weight), result.margin, 1 - LEAST - share)
    smallest_weight = _smallest(lambda at: enough(result.margin, at), weight, _MOST_WEIGHT)
    return Outlook(
        to_requests,
        to_go,
        False,
        smallest_margin,
        None if smallest_weight is None else math.ceil(smallest_weight * 100),
    )


def _smallest(enough: Callable[[float], bool], low: float, high: float) -> float | None:
    """Return the least value above `low`, where it is not enough, that is; None if `high` is not either."""
    if high <= low or not enough(high):
        return None
    for _ in range(_PRECISION):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
