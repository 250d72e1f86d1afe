"""Kills the operator at every write of every scenario, and holds the oracles against what it leaves.

python -m tests.faults.campaign [--scenario NAME | --all] [--points A:B] [--sample N --seed S] [--jobs N]
                                [--ledger FILE [--seconds N]]

With a ledger, points that were tried on the same source are not tried again. It ends with 0 if all points are done and
nothing was violated, with 1 if something was, and with 3 if time ran out before the last point: then run it again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.faults.ledger import Entry, Ledger, oracle_of
from tests.faults.scenarios import SCENARIOS
from tests.faults.stage import Outcome, Point, Stage, references, row, stage

Json = dict[str, Any]

# From nothing to serving, another artifact, back again because it fails, and anew under the same name.
CORE = ("first", "switch", "rollback", "again")
REPEATABLE = tuple(name for name, scenario in SCENARIOS.items() if scenario.repeatable)
# What the operator writes a fourth time in one run it may write three times in another.
ATTEMPTS = 3
UNFINISHED = 3


def points_of(clean: Mapping[str, Outcome]) -> list[Point]:
    """All points of all scenarios, in an order that is the same in every run."""
    found = [point for name in clean if name in REPEATABLE for point in clean[name].reference.points(name)]
    return sorted(found, key=lambda point: (point.scenario, point.label, point.occurrence, point.mode))


def sampled(clean: Mapping[str, Outcome], sample: int, seed: int) -> list[Point]:
    """So many points of all scenarios."""
    points = points_of(clean)
    return random.Random(seed).sample(points, min(sample, len(points)))


async def try_points(
    stage: Stage,
    clean: Mapping[str, Outcome],
    points: Sequence[Point],
    jobs: int,
    *,
    until: float = math.inf,
    done: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Play a scenario for each point, with the fault there; begin no run after the moment `until`."""
    left = iter(points)
    outcomes = []

    async def work() -> None:
        for point in left:
            if time.monotonic() >= until:
                return
            outcome = await _try_point(stage, clean[point.scenario].reference, point)
            print(row(outcome), flush=True)
            done(outcome)
            outcomes.append(outcome)

    await asyncio.gather(*(work() for _ in range(jobs)))
    return outcomes


async def _try_point(stage: Stage, reference: Any, point: Point) -> Outcome:
    violations = []
    for _ in range(ATTEMPTS):
        outcome = await stage.run(SCENARIOS[point.scenario], reference, point)
        violations += outcome.violations
        if outcome.reached:
            break
    outcome.violations = violations
    return outcome


def summary(clean: Mapping[str, Outcome], points: Sequence[Point], entries: Mapping[str, Entry]) -> Json:
    """The one line of the result."""
    tried = [entries[str(point)] for point in points if str(point) in entries]
    texts = [str(item) for outcome in clean.values() for item in outcome.violations]
    texts += [text for entry in tried for text in entry.violations]
    return {
        "points": len(points),
        "byScenario": dict(Counter(point.scenario for point in points)),
        "done": len(tried),
        "notReached": sum(not entry.reached for entry in tried),
        "violations": len(texts),
        "pointsWithViolations": sum(bool(entry.violations) for entry in tried),
        "oracles": dict(Counter(oracle_of(text) for text in texts)),
        "secondsPerPoint": round(sum(entry.seconds for entry in tried) / max(1, len(tried)), 2),
    }


async def _campaign(ready: Stage, arguments: argparse.Namespace, ledger: Ledger) -> Json:
    began = time.monotonic()
    names = REPEATABLE if arguments.all else arguments.scenario or CORE
    clean = await references(ready, names, arguments.jobs)
    points = points_of(clean) if arguments.sample is None else sampled(clean, arguments.sample, arguments.seed)
    points = points[arguments.points]
    left = [point for point in points if str(point) not in ledger.entries()]
    print(f"{len(points)} points, {len(left)} to be tried", flush=True)
    until = began + (arguments.seconds or math.inf)
    await try_points(ready, clean, left, arguments.jobs, until=until, done=ledger.add)
    return summary(clean, points, ledger.entries())


def _slice(text: str) -> slice:
    first, _, last = text.partition(":")
    return slice(int(first or 0), int(last) if last else None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", choices=REPEATABLE, action="append", help="by default: " + ", ".join(CORE))
    parser.add_argument("--all", action="store_true", help="every scenario")
    parser.add_argument("--points", type=_slice, default=slice(None), metavar="A:B", help="those of all that are")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--ledger", type=Path, help="where results are kept, to go on from")
    parser.add_argument("--seconds", type=float, help="after which no further point is begun")
    return parser.parse_args()


def main() -> int:
    """Run the campaign and print its result."""
    arguments = _arguments()
    ledger = Ledger(arguments.ledger)
    began = time.monotonic()
    with stage() as ready:
        result = asyncio.run(_campaign(ready, arguments, ledger))
    result["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(result))
    if result["violations"]:
        return 1
    return UNFINISHED if result["done"] < result["points"] else 0


if __name__ == "__main__":
    sys.exit(main())
