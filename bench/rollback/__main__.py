"""False rollbacks, time to a rollback, and promotions of Penstock's canary, by simulation with the operator's code.

Beside it what Flagger and Argo Rollouts do by their documented rules on the same traffic. Prints tables and, as the
last line, the figures as JSON. `QUICK=1`: few runs, for development.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from multiprocessing import Pool
from typing import Any

from bench.rollback import harms, latencies, nulls, promotions
from bench.rollback.rules import RULES

SEED = 20261121
TARGETS = {
    "false_rollback_rate_independent": "<= 0.02 in each cell",
    "false_rollback_rate_worst_cell": "<= 0.05",
    "false_promotion_rate": "<= 0.05",
    "healthy_promoted_share": ">= 0.9",
    "detect_5pct_median_s": "<= 12",
    "detect_5pct_p95_s": "<= 50",
    "detect_20pct_median_s": "<= 5",
    "latency_false_rate": "<= 0.02",
    "latency_detect_median_s": "<= 120",
}

Job = Callable[[], Any]


def main() -> None:
    quick = bool(os.environ.get("QUICK"))
    runs = 200 if quick else 2000
    hour = 1200 if quick else 3600
    began = time.monotonic()
    cells, bads, slows, fasts = nulls.cells(), harms.bads(), latencies.slows(), latencies.nulls()
    healthy, margins = promotions.healthy(), promotions.at_the_margin()
    if quick:
        cells, healthy, margins = cells[::5], healthy[:2], margins[:2]
    jobs: list[Job] = [partial(nulls.run, cell, runs, hour, _seed(0, i)) for i, cell in enumerate(cells)]
    # The targets' cells are small, so they get more runs.
    jobs += [
        partial(harms.run, bad, runs * (5 if i < 2 else 1), 600 if bad.history else 1200, _seed(1, i))
        for i, bad in enumerate(bads)
    ]
    jobs += [partial(latencies.run, slow, runs, 600, _seed(2, i)) for i, slow in enumerate(slows)]
    jobs += [partial(latencies.run, fast, runs, hour, _seed(3, i)) for i, fast in enumerate(fasts)]
    jobs += [partial(promotions.run, plan, runs, _seed(4, i)) for i, plan in enumerate(healthy)]
    jobs += [partial(promotions.run, plan, runs, _seed(5, i)) for i, plan in enumerate(margins)]
    with Pool(2) as pool:
        done = iter(_watched(pool.imap(_call, jobs), len(jobs)))
        lines = [line for _ in cells for line in next(done)]
        found = [next(done) for _ in bads]
        slow_seen, fast_seen = [next(done) for _ in slows], [next(done) for _ in fasts]
        through, wrongly = [next(done) for _ in healthy], [next(done) for _ in margins]
    _print_nulls(lines)
    _print_harms(found)
    _print_latencies(slow_seen, fast_seen)
    _print_promotions(through, wrongly)
    figures = _figures(lines, found, slow_seen, fast_seen, through, wrongly)
    print()
    for key, value in figures.items():
        print(f"{key:34} {_shown(value):>10}  {TARGETS.get(key, '')}")
    print(f"{'took, minutes':34} {(time.monotonic() - began) / 60:>10.1f}  < 15")
    print(json.dumps(figures))


def _figures(
    lines: list[nulls.Line],
    found: list[harms.Found],
    slow: list[latencies.Seen],
    fast: list[latencies.Seen],
    through: list[promotions.Outcome],
    wrongly: list[promotions.Outcome],
) -> dict[str, Any]:
    """Rates are those of the worst cell; undetected counts as infinity, which JSON has not: null."""
    five, twenty = found[0].penstock, found[1].penstock
    return {
        "null_runs": sum(line.runs for line in lines) + sum(seen.runs for seen in fast),
        "false_rollback_rate_independent": max(line.penstock for line in lines if line.cell.group == "independent"),
        "false_rollback_rate_worst_cell": max(line.penstock for line in lines),
        "false_promotion_rate": max(outcome.promoted for outcome in wrongly),
        "healthy_promoted_share": through[0].within_half_an_hour,
        "detect_5pct_median_s": _json(five[0]),
        "detect_5pct_p95_s": _json(five[1]),
        "detect_20pct_median_s": _json(twenty[0]),
        "latency_false_rate": max(seen.rolled_back for seen in fast),
        "latency_detect_median_s": _json(max(seen.seconds[0] for seen in slow[:3])),
        "cluster_seconds_to_zero_weight": None,
    }


def _print_nulls(lines: list[nulls.Line]) -> None:
    print("\nHealthy candidates rolled back within an hour (share of runs)")
    print(f"{'':31}{'req/s':>6}{'errors':>8}{'burst':>6}{'weight':>7}{'Penstock':>10}{'dispersion':>18}", end="")
    print("".join(f"{name:>32}" for name in (rule.name for rule in RULES)))
    for line in lines:
        kind = line.cell.kind
        factors = "{:.2f} {:.2f} {:.2f}".format(*line.dispersion)
        print(f"{line.cell.group:31}{kind.rate:>6}{kind.error:>8.1%}{kind.burst:>6}{line.weight:>7.0%}", end="")
        print(f"{line.penstock:>10.4f}{factors:>18}" + "".join(f"{line.rules[rule.name]:>32.3f}" for rule in RULES))


def _print_harms(found: list[harms.Found]) -> None:
    print("\nWorse candidates: seconds from the first error to the rollback, median and 95th percentile")
    print(
        f"{'req/s':>6}{'champion':>10}{'candidate':>10}{'burst':>6}{'weight':>7}{'history':>8}{'Penstock':>16}", end=""
    )
    print("".join(f"{name:>32}" for name in (rule.name for rule in RULES)))
    for seen in found:
        bad, kind = seen.bad, seen.bad.kind
        print(f"{kind.rate:>6}{kind.error:>10.1%}{bad.error:>10.1%}{kind.burst:>6}{bad.weight:>7.0%}", end="")
        print(f"{'yes' if bad.history else 'no':>8}{bad.begins:>8}{_pair(seen.penstock):>16}", end="")
        print("".join(f"{_pair(seen.rules[rule.name]):>32}" for rule in RULES))


def _print_latencies(slow: list[latencies.Seen], fast: list[latencies.Seen]) -> None:
    print("\nLatency (p99, margin 20 %): rollbacks, and seconds from the step's beginning, warm-up of 30 s included")
    print(f"{'median s':>9}{'slower':>8}{'req/s':>6}{'burst':>6}{'weight':>7}{'bound s':>8}", end="")
    print(f"{'rolled back':>12}{'seconds':>16}")
    for seen in [*slow, *fast]:
        case = seen.slow
        print(f"{case.median:>9}{case.times - 1:>8.0%}{case.rate:>6}{case.burst:>6}{case.weight:>7.0%}", end="")
        print(f"{seen.bound:>8}{seen.rolled_back:>12.4f}{_pair(seen.seconds):>16}")


def _print_promotions(through: list[promotions.Outcome], wrongly: list[promotions.Outcome]) -> None:
    print("\nRollouts through 5, 25, 50 %: minutes until promoted, median and 90th percentile")
    print(f"{'req/s':>6}{'champion':>10}{'candidate':>10}{'burst':>6}{'outages':>8}{'margin':>8}{'go only':>8}", end="")
    print(f"{'promoted':>10}{'in 30 min':>10}{'rolled back':>12}{'minutes':>16}")
    for outcome in [*through, *wrongly]:
        plan, kind = outcome.plan, outcome.plan.kind
        print(f"{kind.rate:>6}{kind.error:>10.1%}{plan.error:>10.1%}{kind.burst:>6}{kind.outages_per_hour:>8}", end="")
        print(f"{plan.margin:>8}{'yes' if plan.go_only else 'no':>8}{outcome.promoted:>10.4f}", end="")
        print(f"{outcome.within_half_an_hour:>10.4f}{outcome.rolled_back:>12.4f}{_pair(outcome.minutes):>16}")


def _pair(values: tuple[float, float]) -> str:
    return " ".join("never" if math.isinf(value) else f"{value:.1f}" for value in values)


def _json(value: float) -> float | None:
    return round(value, 1) if math.isfinite(value) else None


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _seed(part: int, index: int) -> int:
    # Cells draw from a few seeds in a row.
    return SEED + part * 1_000_000 + index * 10_000


def _call(job: Job) -> Any:
    return job()


def _watched(results: Iterable[Any], count: int) -> Iterable[Any]:
    for index, result in enumerate(results, 1):
        print(f"{index} of {count}", end="\r", file=sys.stderr, flush=True)
        yield result


if __name__ == "__main__":
    main()
