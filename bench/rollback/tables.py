"""The tables, line by line as results come."""

from __future__ import annotations

import math
from collections.abc import Iterable

from bench.rollback.harms import Found
from bench.rollback.latencies import Seen
from bench.rollback.nulls import Line
from bench.rollback.promotions import Outcome
from bench.rollback.rules import RULES


def null_rollouts(results: Iterable[list[Line]]) -> list[Line]:
    """Healthy candidates: the share of runs that was rolled back."""
    _say("\nHealthy candidates rolled back within an hour (share of runs); dispersion: 5 %, median, 95 % of the runs")
    _say(
        f"{'':31}{'req/s':>6}{'errors':>8}{'burst':>6}{'weight':>7}{'Penstock':>10}{'dispersion':>18}"
        + "".join(f"{rule.name:>34}" for rule in RULES)
    )
    found = []
    for lines in results:
        for line in lines:
            kind = line.cell.kind
            factors = "{:.2f} {:.2f} {:.2f}".format(*line.dispersion)
            _say(
                f"{line.cell.group:31}{kind.rate:>6}{kind.error:>8.1%}{kind.burst:>6}{line.weight:>7.0%}"
                f"{line.penstock:>10.4f}{factors:>18}" + "".join(f"{line.rules[rule.name]:>34.3f}" for rule in RULES)
            )
        found += lines
    return found


def bad_candidates(results: Iterable[Found]) -> list[Found]:
    """Worse candidates: how long it took."""
    _say("\nWorse candidates: seconds from the first error to the rollback, median and 95th percentile")
    _say(
        f"{'req/s':>6}{'champion':>10}{'candidate':>10}{'burst':>6}{'weight':>7}{'history':>8}{'bad from':>9}"
        f"{'Penstock':>16}" + "".join(f"{rule.name:>34}" for rule in RULES)
    )
    found = []
    for seen in results:
        bad, kind = seen.bad, seen.bad.kind
        _say(
            f"{kind.rate:>6}{kind.error:>10.1%}{bad.error:>10.1%}{kind.burst:>6}{bad.weight:>7.0%}"
            f"{'yes' if bad.history else 'no':>8}{bad.begins:>9}{_pair(seen.penstock):>16}"
            + "".join(f"{_pair(seen.rules[rule.name]):>34}" for rule in RULES)
        )
        found.append(seen)
    return found


def latencies_seen(results: Iterable[Seen], title: str) -> list[Seen]:
    """Latency: how many were rolled back and when."""
    _say(f"\nLatency (p99, margin 20 %), {title}: seconds from the step's beginning, warm-up of 30 s included")
    _say(
        f"{'median s':>9}{'slower':>8}{'req/s':>6}{'burst':>6}{'weight':>7}{'bound s':>8}{'rolled back':>12}"
        f"{'seconds':>16}"
    )
    found = []
    for seen in results:
        case = seen.slow
        _say(
            f"{case.median:>9}{case.times - 1:>8.0%}{case.rate:>6}{case.burst:>6}{case.weight:>7.0%}{seen.bound:>8}"
            f"{seen.rolled_back:>12.4f}{_pair(seen.seconds):>16}"
        )
        found.append(seen)
    return found


def rollouts(results: Iterable[Outcome], title: str) -> list[Outcome]:
    """Whole rollouts: how many got through and when."""
    _say(f"\nRollouts through 5, 25, 50 %, {title}: minutes until promoted, median and 90th percentile")
    _say(
        f"{'req/s':>6}{'champion':>10}{'candidate':>10}{'burst':>6}{'outages':>8}{'margin':>8}{'go only':>8}"
        f"{'promoted':>10}{'in 30 min':>10}{'rolled back':>12}{'minutes':>16}"
    )
    found = []
    for outcome in results:
        plan, kind = outcome.plan, outcome.plan.kind
        _say(
            f"{kind.rate:>6}{kind.error:>10.1%}{plan.error:>10.1%}{kind.burst:>6}{kind.outages_per_hour:>8}"
            f"{plan.margin:>8}{'yes' if plan.go_only else 'no':>8}{outcome.promoted:>10.4f}"
            f"{outcome.within_half_an_hour:>10.4f}{outcome.rolled_back:>12.4f}{_pair(outcome.minutes):>16}"
        )
        found.append(outcome)
    return found


def _pair(values: tuple[float, float]) -> str:
    return " ".join("never" if math.isinf(value) else f"{value:.1f}" for value in values)


def _say(line: str) -> None:
    print(line, flush=True)
