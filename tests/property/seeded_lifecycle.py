"""Slips that could be made in the state machine, planted one at a time to see whether the random walks find them.

python -m tests.property.seeded_lifecycle [--limit SEQUENCES] [BUG ...]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass

from tests.property import seeded_lifecycle_evidence, seeded_lifecycle_traffic
from tests.property.lifecycle_walks import walk
from tests.property.seeded_lifecycle_planting import BUGS, planted

__all__ = ["BUGS", "hunt", "seeded_lifecycle_evidence", "seeded_lifecycle_traffic"]
LIMIT = 4000
"""Sequences after which a bug counts as not found."""


@dataclass(frozen=True, slots=True)
class Hunt:
    """What became of a bug: the sequences it took, and the rule it broke (empty: not found)."""

    bug: str
    sequences: int
    rule: str


def hunt(name: str, limit: int = LIMIT) -> Hunt:
    """Walk until the bug shows."""
    with planted(name):
        for seed in range(limit):
            found = walk(seed)
            if found.broken:
                return Hunt(name, seed + 1, found.broken)
    return Hunt(name, limit, "")


def main() -> int:
    """Hunt all bugs, or those that are named; 1 if one gets away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bug", nargs="*", choices=[[], *BUGS])
    parser.add_argument("--limit", type=int, default=LIMIT)
    arguments = parser.parse_args()
    began = time.monotonic()
    hunts = []
    for name in arguments.bug or BUGS:
        found = hunt(name, arguments.limit)
        hunts.append(found)
        print(f"{name:48} {found.sequences:6} {found.rule or 'MISSED'}", flush=True)
    missed = [found.bug for found in hunts if not found.rule]
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"bugs": len(hunts), "caught": len(hunts) - len(missed), "missed": missed, "s": seconds}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
