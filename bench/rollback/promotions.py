"""Whole rollouts through 5, 25 and 50 %: who gets through and when; and who should not, but does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.rollback.lockstep import LOOK_SECONDS, Array, Go, Harm
from bench.rollback.nulls import past
from bench.rollback.traffic import Kind, Traffic, counts
from penstock.stats.sequential import harm

WEIGHTS = np.array((0.05, 0.25, 0.5))
LEAST_REQUESTS, LEAST_SECONDS = 500, 300
"""minRequests of the first step, minSeconds of the second; the last one ends when Go is shown."""
_THRESHOLDS = np.array([harm.threshold(0, 0, 2, step, len(WEIGHTS)) for step in range(len(WEIGHTS))])


@dataclass(frozen=True)
class Plan:
    """One line of the table: the champion's traffic, the candidate's share of errors and the margin.

    `go_only`: nothing is rolled back, to see the Go test alone.
    """

    kind: Kind
    error: float
    margin: float
    seconds: int
    go_only: bool = False


@dataclass
class Outcome:
    """Shares of runs, and when they were promoted: median and 90th percentile in minutes (infinity: never)."""

    plan: Plan
    runs: int
    promoted: float
    rolled_back: float
    within_half_an_hour: float
    minutes: tuple[float, float]


def run(plan: Plan, runs: int, seed: int) -> Outcome:
    """Step by step; a run that is decided stays decided."""
    kind = plan.kind
    history = past(kind, runs, seed)
    factor = history.dispersion()
    traffic = Traffic(kind, runs, seed + 1)
    test, proof = Harm(runs, factor), Go(factor, history.n, history.x)
    step, entered = np.zeros(runs, np.int64), np.zeros(runs)
    promoted, back = np.full(runs, np.inf), np.zeros(runs, bool)
    for look in range(1, plan.seconds // LOOK_SECONDS + 1):
        now = look * LOOK_SECONDS
        weight = WEIGHTS[step]
        seen = counts(*traffic.look(((weight, 2, plan.error), (1 - weight, kind.champion_pods, kind.error))))
        test.observe(seen, now)
        proof.observe(seen, plan.margin)
        if not plan.go_only:
            back |= test.shown(_THRESHOLDS[step], plan.margin) & np.isinf(promoted)
        promoted = np.where(proof.shown() & (step == 2) & ~back & np.isinf(promoted), now, promoted)
        onward = _onward(step, test.requests, now - entered)
        step, entered = step + onward, np.where(onward, now, entered)
        test.restart(np.flatnonzero(onward), now)
    minutes = np.sort(promoted) / 60
    return Outcome(
        plan,
        runs,
        float(np.isfinite(promoted).mean()),
        float(back.mean()),
        float((promoted <= 1800).mean()),
        (float(minutes[runs // 2]), float(minutes[int(runs * 0.9)])),
    )


def _onward(step: Array, requests: Array, seconds: Array) -> Array:
    first = (step == 0) & (requests >= LEAST_REQUESTS)
    return np.asarray(first | ((step == 1) & (seconds >= LEAST_SECONDS)))


def healthy() -> list[Plan]:
    """The target's line first."""
    found = [Plan(Kind(50.0, 0.001), 0.001, 0.005, 3600)]
    found += [
        Plan(Kind(50.0, 0.001, 8), 0.001, 0.005, 7200),
        Plan(Kind(50.0, 0.001, outages_per_hour=2.0), 0.001, 0.005, 7200),
    ]
    found += [Plan(Kind(5.0, 0.001), 0.001, 0.005, 7200), Plan(Kind(50.0, 0.01), 0.01, 0.005, 7200)]
    found += [Plan(Kind(50.0, 0.01), 0.01, 0.01, 7200), Plan(Kind(50.0, 0.05), 0.05, 0.005, 7200)]
    found += [Plan(Kind(50.0, 0.05), 0.05, 0.02, 7200)]
    return found


def at_the_margin() -> list[Plan]:
    """Candidates exactly as much worse as is not tolerated."""
    hour = 3600
    found = [Plan(Kind(50.0, error), error + 0.005, 0.005, hour, go_only=True) for error in (0.001, 0.01, 0.05)]
    found += [Plan(Kind(5.0, 0.001), 0.006, 0.005, 2 * hour, go_only=True)]
    found += [Plan(Kind(50.0, 0.001, burst), 0.006, 0.005, hour, go_only=True) for burst in (3, 8)]
    found += [Plan(Kind(50.0, 0.001, outages_per_hour=2.0), 0.006, 0.005, hour, go_only=True)]
    found += [Plan(Kind(50.0, 0.001), 0.006, 0.005, hour)]
    return found
