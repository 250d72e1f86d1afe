"""Latency: the 99th percentile of answers whose times are log-normal, seen through the model server's buckets.

The bound is chosen by the operator's code from the champion's histogram; slow answers then are events like errors are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from bench.rollback.harms import quantiles
from bench.rollback.lockstep import LOOK_SECONDS, Harm
from bench.rollback.nulls import STEPS, past
from bench.rollback.traffic import Kind, Traffic, counts
from penstock.stats.sequential import harm
from penstock.stats.sequential.latency import choose

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, math.inf)
THRESHOLD = harm.threshold(1, 0, 2, 0, STEPS)
QUANTILE, MARGIN = 0.99, 0.2
WARMUP_SECONDS = 30
_SPREAD = 0.6
"""Of the logarithm of the times."""
_HISTOGRAM = 300_000


@dataclass(frozen=True)
class Slow:
    """One line of the table: median answer in seconds, how much slower the candidate is, traffic, weight."""

    median: float
    times: float
    rate: float
    weight: float
    burst: int = 1


@dataclass
class Seen:
    """Share of runs rolled back, and when (seconds from the step's beginning, warm-up included): median and p95."""

    slow: Slow
    runs: int
    bound: float
    margin: float
    rolled_back: float
    seconds: tuple[float, float]


def run(slow: Slow, runs: int, seconds: int, seed: int) -> Seen:
    """Look every 5 s, after the warm-up."""
    random = np.random.default_rng(seed)
    times = np.sort(random.lognormal(math.log(slow.median), _SPREAD, _HISTOGRAM))
    cut = choose([(bound, float(np.searchsorted(times, bound, "right"))) for bound in BUCKETS], QUANTILE, MARGIN)
    assert cut is not None
    kind = Kind(slow.rate, _slower(cut.at, slow.median), slow.burst)
    factor = past(kind, runs, seed + 1).dispersion()
    traffic = Traffic(kind, runs, seed + 2)
    test = Harm(runs, factor)
    found = np.full(runs, np.inf)
    share = _slower(cut.at, slow.median * slow.times)
    tracks = ((slow.weight, 1, share), (1 - slow.weight, kind.champion_pods, kind.error))
    for look in range(1, (seconds - WARMUP_SECONDS) // LOOK_SECONDS + 1):
        now = WARMUP_SECONDS + look * LOOK_SECONDS
        test.observe(counts(*traffic.look(tracks)), now)
        found = np.where(test.shown(THRESHOLD, cut.margin) & np.isinf(found), now, found)
    return Seen(slow, runs, cut.at, cut.margin, float(np.isfinite(found).mean()), quantiles(found, np.zeros(runs)))


def _slower(bound: float, median: float) -> float:
    return math.erfc(math.log(bound / median) / _SPREAD / math.sqrt(2)) / 2


def nulls() -> list[Slow]:
    """Equally fast candidates."""
    found = [Slow(median, 1.0, rate, 0.25) for median in (0.01, 0.014, 0.02) for rate in (5.0, 50.0)]
    found += [Slow(0.014, 1.0, 50.0, weight) for weight in (0.05, 0.5)]
    found.append(Slow(0.014, 1.0, 50.0, 0.25, burst=8))
    return found


def slows() -> list[Slow]:
    """Slower ones; the target's lines (half as slow again at 25 %) first."""
    found = [Slow(median, 1.5, 50.0, 0.25) for median in (0.01, 0.014, 0.02)]
    found += [replace(found[1], weight=0.05), replace(found[1], times=1.3), replace(found[1], times=2.0)]
    found.append(replace(found[1], rate=5.0))
    return found
