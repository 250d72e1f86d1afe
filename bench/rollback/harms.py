"""Candidates that are worse: how long until they are rolled back, from their first bad answer on?"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bench.rollback.lockstep import LOOK_SECONDS, Array, Harm
from bench.rollback.nulls import ERRORS_THRESHOLD, MARGIN, past
from bench.rollback.rules import RULES, Watch
from bench.rollback.traffic import Kind, Traffic, counts
from penstock.stats.sequential.dispersion import PESSIMISTIC


@dataclass(frozen=True)
class Bad:
    """One line of the table: the champion's traffic, the weight, and the candidate's share of errors."""

    kind: Kind
    weight: float
    error: float
    history: bool = True
    begins: int = 0
    """Seconds into the step at which the candidate goes bad; before, it is as good as the champion."""


@dataclass
class Found:
    """Seconds from the first error (infinity: not found): median and 95th percentile, for Penstock and each rule."""

    bad: Bad
    runs: int
    penstock: tuple[float, float]
    found_share: float
    rules: dict[str, tuple[float, float]] = field(default_factory=dict)


def run(bad: Bad, runs: int, seconds: int, seed: int) -> Found:
    """Look every 5 s until all rules have decided or the time is over."""
    kind = bad.kind
    factor = past(kind, runs, seed).dispersion() if bad.history else np.full(runs, PESSIMISTIC)
    traffic = Traffic(kind, runs, seed + 1)
    random = np.random.default_rng(seed + 2)
    test = Harm(runs, factor)
    watches = [Watch(rule, runs) for rule in RULES]
    first, found = np.full(runs, np.inf), np.full(runs, np.inf)
    candidate_pods = max(1, round(kind.champion_pods * bad.weight))
    for look in range(1, (bad.begins + seconds) // LOOK_SECONDS + 1):
        is_bad = look * LOOK_SECONDS > bad.begins
        error = bad.error if is_bad else kind.error
        tracks = ((bad.weight, candidate_pods, error), (1 - bad.weight, kind.champion_pods, kind.error))
        candidate, champion = traffic.look(tracks)
        seen = counts(candidate, champion)
        # The first of so many errors in a look, each at a moment of its own.
        moment = look - random.random(runs) ** (1 / np.maximum(seen[1], 1))
        first = np.where(is_bad & (seen[1] > 0) & np.isinf(first), moment * LOOK_SECONDS, first)
        test.observe(seen, look * LOOK_SECONDS)
        found = np.where(test.shown(ERRORS_THRESHOLD, MARGIN) & np.isinf(found) & is_bad, look * LOOK_SECONDS, found)
        for watch in watches:
            watch.observe(seen[0], seen[1], look * LOOK_SECONDS)
    rules = {watch.rule.name: quantiles(watch.found, first) for watch in watches}
    return Found(bad, runs, quantiles(found, first), float(np.isfinite(found).mean()), rules)


def quantiles(found: Array, first: Array) -> tuple[float, float]:
    """Median and 95th percentile of the time from `first` to `found`."""
    with np.errstate(invalid="ignore"):
        delay = np.where(np.isfinite(found), found - np.minimum(first, found), np.inf)
    ordered = np.sort(delay)
    return float(ordered[len(ordered) // 2]), float(ordered[int(len(ordered) * 0.95)])


def bads() -> list[Bad]:
    """The targets' cells first, then what else one wants to know."""
    busy = Kind(50.0, 0.001)
    found = [Bad(busy, 0.05, error) for error in (0.05, 0.2, 0.01, 0.02, 1.0)]
    found += [Bad(busy, weight, 0.01) for weight in (0.25, 0.5)]
    found += [Bad(Kind(50.0, 0.01), 0.05, 0.05), Bad(Kind(5.0, 0.001), 0.05, 0.05), Bad(Kind(5.0, 0.001), 0.25, 0.05)]
    found += [Bad(Kind(50.0, 0.001, 8), 0.05, error) for error in (0.05, 0.2)]
    found += [Bad(busy, 0.05, error, history=False) for error in (0.05, 0.2)]
    found += [Bad(busy, 0.05, 0.05, begins=1800), Bad(busy, 0.5, 0.05, begins=3 * 3600)]
    return found
