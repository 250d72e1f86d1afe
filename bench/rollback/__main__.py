"""False rollbacks, time to a rollback, and promotions of Penstock's canary.

Part `cluster`: on a real cluster, from the first bad answer to the last request of the candidate. Part `simulation`:
with the operator's code on arrays, and beside it what Flagger and Argo Rollouts do by their documented rules on the
same traffic. Prints tables and, as the last line, the figures as JSON. `QUICK=1`: few runs, for development;
`CLUSTER=off`: nothing is measured on a cluster.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import Pool
from typing import Any

from bench.rollback import cluster, harms, latencies, nulls, promotions, tables

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
    options = _options()
    quick = bool(os.environ.get("QUICK"))
    began = time.monotonic()
    figures: dict[str, Any] = {}
    if options.only != "cluster":
        figures |= _simulated(options.workers, quick=quick)
    if options.only != "simulation":
        figures["cluster_seconds_to_zero_weight"] = cluster.median_seconds(1 if quick else cluster.REPEATS)
    print()
    for key, value in figures.items():
        print(f"{key:34} {_shown(value):>10}  {TARGETS.get(key, '')}")
    print(f"{'took, minutes':34} {(time.monotonic() - began) / 60:>10.1f}  < 15")
    print(json.dumps(figures))


def _simulated(workers: int, *, quick: bool) -> dict[str, Any]:
    runs, hour = (200, 1200) if quick else (2000, 3600)
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
    with Pool(workers) as pool:
        done = pool.imap(_call, jobs)
        lines = tables.null_rollouts(next(done) for _ in cells)
        found = tables.bad_candidates(next(done) for _ in bads)
        slow_seen = tables.latencies_seen((next(done) for _ in slows), "slower candidates")
        fast_seen = tables.latencies_seen((next(done) for _ in fasts), "equally fast ones, for an hour")
        through = tables.rollouts((next(done) for _ in healthy), "healthy candidates")
        wrongly = tables.rollouts((next(done) for _ in margins), "candidates as much worse as is not tolerated")
    return _figures(lines, found, slow_seen, fast_seen, through, wrongly)


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
    }


def _json(value: float) -> float | None:
    return round(value, 1) if math.isfinite(value) else None


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _seed(part: int, index: int) -> int:
    # Cells draw from a few seeds in a row.
    return SEED + part * 1_000_000 + index * 10_000


def _call(job: Job) -> Any:
    return job()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.rollback", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="processes of the simulation")
    parser.add_argument("--only", choices=("cluster", "simulation"), help="one part alone, with its figures alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
