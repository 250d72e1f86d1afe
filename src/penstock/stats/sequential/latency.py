"""A latency quantile as a share: of the requests that are slower than one bound of the histogram.

Of a quantile the histogram only tells between which bounds it is. But that a quantile has grown means that more
requests are slower than a bound near it, and shares are what the tests compare. So the bound whose share in the
champion is nearest to 1 - quantile is chosen once, and "slower than that" is the event. The margin, a relative increase
of the quantile, becomes a margin of shares: what would be slower than the bound if every answer took that much longer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.domain.canary.counters import PodCounts

LEAST_REQUESTS = 500
"""Requests of the champion below which no bound is chosen."""

Histogram = Sequence[tuple[float, float]]
"""(Bound in seconds, requests up to it), cumulative and ascending; the last bound is infinity."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The event is "slower than `at`"; `below` and `above` are the bounds beside it, for values in seconds."""

    below: float
    at: float
    above: float
    margin: float
    """As a share of the requests."""


def choose(histogram: Histogram, quantile: float, relative_margin: float) -> Bounds | None:
    """Return the bound to test at, by what the champion has shown so far; None if that is too little."""
    finite = [(bound, count) for bound, count in histogram if 0 < bound < math.inf]
    total = histogram[-1][1] if histogram else 0.0
    if total < LEAST_REQUESTS or len(finite) < 2:
        return None
    shares = {bound: (total - count + 0.5) / (total + 1) for bound, count in finite}
    # Of bounds with the same share the last: the quantile is behind it.
    at = min(shares, key=lambda bound: (abs(math.log(shares[bound] / (1 - quantile))), -bound))
    lower = [bound for bound in shares if bound <= at / (1 + relative_margin)]
    higher = [bound for bound in shares if bound >= at * (1 + relative_margin)]
    below = max(lower) if lower else min(shares)
    above = min(higher) if higher else max(shares)
    margin = 0.0
    if below < at:
        margin = _between(at / (1 + relative_margin), below, at, shares[below], shares[at]) - shares[at]
    # Where no times are between two bounds nothing would cross; even the heaviest tails grow as much as the times.
    return Bounds(below, at, above, max(margin, relative_margin * shares[at]))


def _between(value: float, low: float, high: float, share_low: float, share_high: float) -> float:
    """Return the share slower than `value`, straight between two bounds on logarithmic scales."""
    part = (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return math.exp(math.log(share_low) + part * (math.log(share_high) - math.log(share_low)))


def seconds_at(quantile: float, n: int, slower: Sequence[int], bounds: Bounds) -> float | None:
    """Return the quantile in seconds, of `n` requests of which `slower` took longer than each of the three bounds.

    Straight between (and beyond) bounds on logarithmic scales; never more than a factor of 4 beyond them.
    """
    points: list[tuple[float, float]] = []
    for bound, count in zip((bounds.below, bounds.at, bounds.above), slower, strict=True):
        if not points or bound > points[-1][0]:
            points.append((bound, (count + 0.5) / (n + 1)))
    if n == 0 or len(points) < 2:
        return None
    wanted = 1 - quantile
    pair = next((i for i in range(len(points) - 1) if points[i + 1][1] <= wanted), len(points) - 2)
    (low, share_low), (high, share_high) = points[pair], points[pair + 1]
    if share_low <= share_high:
        return high if wanted <= share_high else low
    part = math.log(share_low / wanted) / math.log(share_low / share_high)
    value = low * math.exp(part * math.log(high / low))
    return min(max(value, points[0][0] / 4), points[-1][0] * 4)


def cumulative(pod: PodCounts) -> tuple[tuple[float, int], ...]:
    """Return the pod's histogram with infinity as the last bound."""
    if pod.buckets and pod.buckets[-1][0] == math.inf:
        return pod.buckets
    return (*pod.buckets, (math.inf, pod.total))


def slower_than(pod: PodCounts, bounds: Sequence[float]) -> tuple[int, ...] | None:
    """Return (requests measured, of them slower than each of `bounds`); None if the pod has other buckets."""
    counts = dict(cumulative(pod))
    if any(bound not in counts for bound in bounds):
        return None
    total = counts[math.inf]
    return (total, *(total - counts[bound] for bound in bounds))


def together(pods: Sequence[PodCounts]) -> list[tuple[float, float]]:
    """Return the sum of the pods' histograms; pods whose bounds differ from the first one's are left out."""
    found = [cumulative(pod) for pod in pods]
    if not found:
        return []
    bounds = [bound for bound, _ in found[0]]
    alike = [histogram for histogram in found if [bound for bound, _ in histogram] == bounds]
    return [(bound, float(sum(histogram[i][1] for histogram in alike))) for i, bound in enumerate(bounds)]
