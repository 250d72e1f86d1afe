"""The operator's wall clock jumps in the middle of a rollout."""

from __future__ import annotations

import itertools
from datetime import datetime

from penstock.controllers.resources import DECISIONRECORDS
from tests.faults.arena import Arena
from tests.faults.history import History
from tests.faults.proxy import Call, Mode, Reply

JUMP_SECONDS = 300.0
# By then the candidate is starting, and the traffic has not moved.
WRITES_BEFORE = 4


def goes_ahead(arena: Arena) -> None:
    """It is suddenly five minutes later."""
    _jump(arena, JUMP_SECONDS)


def goes_back(arena: Arena) -> None:
    """It is suddenly five minutes earlier."""
    _jump(arena, -JUMP_SECONDS)


def has_jumped(history: History) -> bool:
    """Whether two decisions in a row say that they were made minutes apart, which no scenario takes."""
    records = [obj["spec"] for (kind, _), obj in history.now().items() if kind is DECISIONRECORDS]
    times = [datetime.fromisoformat(spec["time"]) for spec in sorted(records, key=lambda spec: int(spec["sequence"]))]
    gaps = [abs((later - earlier).total_seconds()) for earlier, later in itertools.pairwise(times)]
    return max(gaps, default=0.0) > JUMP_SECONDS / 2


def _jump(arena: Arena, seconds: float) -> None:
    left = WRITES_BEFORE

    async def plan(call: Call) -> Mode | Reply | None:
        nonlocal left
        if arena.armed and call.is_write:
            left -= 1
            if left == 0:
                arena.set_clock(seconds)
        return None

    arena.proxy.plan = plan
