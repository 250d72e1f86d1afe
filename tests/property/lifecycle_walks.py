"""Random walks through the world of a Model: lighter than hypothesis, for campaigns of many sequences.

python -m tests.property.lifecycle_walks [--sequences N] [--jobs N] [--first SEED]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.property.lifecycle_moves import ALL_MOVES, goes_well, heal
from tests.property.lifecycle_settled import Violation, must
from tests.property.lifecycle_world import PLANS, World

STEPS = 25
HEALED_ROUNDS = 24
A_WEEK = 700_000


@dataclass
class Walk:
    """One sequence: what was drawn, what it broke (None for nothing), and which stages it reached."""

    seed: int
    moves: list[str] = field(default_factory=list)
    broken: str | None = None
    detail: str = ""
    reached: Counter[str] = field(default_factory=Counter)


def begin(plan: dict[str, Any], *, beside: bool) -> World:
    """Make a Model with that plan; `beside`: revision a serves already, and b is asked for."""
    if not beside:
        return World(rollout=dict(plan))
    world = World()
    while world.state is None or world.state.stable is None:
        goes_well(world, lambda options: options[0])
        world.decide()
    world.name, world.rollout = "b", dict(plan)
    return world


def walk(seed: int, steps: int = STEPS) -> Walk:
    """Draw a sequence and play it. Every tenth makes the costly checks, every third must come to an end."""
    draw = random.Random(seed)
    done = Walk(seed)
    world = begin(draw.choice(PLANS), beside=seed % 4 != 0)
    world.never.slow = seed % 10 == 0
    try:
        for _ in range(steps):
            move = draw.choice(ALL_MOVES)
            done.moves.append(move.__name__)
            move(world, draw.choice)
            if draw.random() < 0.85:
                world.decide()
        if seed % 3 == 0:
            comes_to_an_end(world, draw.choice)
    except Violation as violation:
        done.broken, done.detail = violation.rule, str(violation)
    except Exception as problem:  # the campaign goes on, and tells of it
        done.broken, done.detail = f"raises {type(problem).__name__}", traceback.format_exc()[-1500:]
    done.reached.update(commit.rule for commit in world.log)
    return done


def comes_to_an_end(world: World, choose: Any) -> None:
    """Judge that with everything in order, every candidate is stable or out in the end.

    One that nobody may approve ends with its time, and so may the one that the spec asks for by then.
    """
    for late in (False, False, True):
        for _ in range(HEALED_ROUNDS):
            heal(world, choose)
            goes_well(world, choose)
            world.decide()
            if world.state is not None and world.state.candidate is None and not late:
                break
        world.pass_time(A_WEEK if not late else 0)
        world.decide()
    # A first revision keeps trying where a gate of its plan was edited after the Model had dropped it.
    state = world.state
    must(
        state is not None and (state.candidate is None or state.stable is None),
        "every candidate comes to an end",
        state,
    )


def walks(seeds: Sequence[int]) -> list[Walk]:
    """Play sequences one after the other."""
    return [walk(seed) for seed in seeds]


def campaign(first: int, sequences: int, jobs: int) -> tuple[list[Walk], Counter[str]]:
    """Play many sequences in several processes; return those that broke a rule, and what was decided how often."""
    size = 250
    parts = [range(begin, min(begin + size, first + sequences)) for begin in range(first, first + sequences, size)]
    broken, reached, done = [], Counter[str](), 0
    with ProcessPoolExecutor(jobs) as pool:
        for found in pool.map(walks, parts):
            for item in found:
                if item.broken:
                    broken.append(item)
                    print(f"seed {item.seed}: {item.detail[:300]}", file=sys.stderr, flush=True)
            done += len(found)
            print(f"{done} sequences, {len(broken)} broken", file=sys.stderr, flush=True)
            for item in found:
                reached.update(item.reached)
    return broken, reached


def main() -> int:
    """Run a campaign; 1 if a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    began = time.monotonic()
    broken, reached = campaign(arguments.first, arguments.sequences, arguments.jobs)
    for rule, count in sorted(reached.items()):
        print(f"{count:9} {rule}")
    kinds = Counter(item.broken for item in broken)
    for rule, count in kinds.most_common():
        example = next(item for item in broken if item.broken == rule)
        print(f"BROKEN {count} x {rule}\n  seed {example.seed}: {example.detail}")
    seconds = round(time.monotonic() - began, 1)
    total = {"sequences": arguments.sequences, "decisions": sum(reached.values()), "broken": len(broken), "s": seconds}
    print(json.dumps(total))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
