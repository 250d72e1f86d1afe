"""An API server that misbehaves: whatever it does, the end is the same and nothing that must not be happens.

python -m tests.faults.api_faults [CASE ...]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tests.faults import clocks, rival, storms
from tests.faults.arena import Arena
from tests.faults.history import History
from tests.faults.proxy import Call, Heard, Mode, Plan, Reply
from tests.faults.scenarios import SCENARIOS
from tests.faults.stage import Outcome, Reference, Stage, label, play, references, run_cases, together

Spoil = Callable[[Arena], None]
UNAVAILABLE = (Reply(500, "InternalError"), Reply(503, "ServiceUnavailable"), Reply(504, "Timeout"))


@dataclass(frozen=True, slots=True)
class Case:
    """`spoil`: makes the plan before the operator is started.

    `compared`: whether the end must be as without the fault. `happened`: whether what was stored shows the fault.
    """

    name: str
    scenario: str
    spoil: Spoil
    prune_seconds: float = 300.0
    patience: float = 90.0
    compared: bool = True
    happened: Callable[[History], bool] = lambda _: True


def conflicts(arena: Arena) -> None:
    """Every write is refused with 409 the first time."""
    seen: set[str] = set()

    async def plan(call: Call) -> Mode | Reply | None:
        first = call.is_write and label(call) not in seen
        seen.add(label(call))
        return Reply(409, "Conflict") if first else None

    arena.proxy.plan = plan


def too_many_requests(arena: Arena) -> None:
    """A third of all requests is answered with 429 and the wish to come back after a second."""
    arena.proxy.plan = _by_chance(0.33, (Reply(429, "TooManyRequests", 1),))


def unavailable(arena: Arena) -> None:
    """Of all requests, watches and the lease included, four in ten fail with a 5xx."""
    arena.proxy.plan = _by_chance(0.4, UNAVAILABLE)


def outage(arena: Arena) -> None:
    """From the moment when the operator applies something, for a while nothing at all gets through."""
    left, begun = 30, False

    async def plan(call: Call) -> Mode | Reply | None:
        nonlocal left, begun
        begun = begun or (arena.armed and call.is_write and call.verb == "patch")
        left -= begun
        return Mode.REFUSED if begun and left >= 0 else None

    arena.proxy.plan = plan


def hangs(arena: Arena) -> None:
    """The first decision and the first write of the route are never answered."""
    seen: set[str] = set()

    async def plan(call: Call) -> Mode | Reply | None:
        first = call.is_write and call.resource in {"decisionrecords", "httproutes"} - seen and arena.armed
        if first:
            seen.add(call.resource)
        return Mode.HANG if first else None

    arena.proxy.plan = plan


def half_open(arena: Arena) -> None:
    """All watches fall silent without an end."""
    arena.on_armed = arena.proxy.stall


def stream_errors(arena: Arena) -> None:
    """All watches end with an ERROR 500."""
    arena.on_armed = partial(arena.proxy.send_error, 500, "InternalError")


def stream_expired(arena: Arena) -> None:
    """All watches end with an ERROR 410."""
    arena.on_armed = partial(arena.proxy.send_error, 410, "Expired")


def reordered(arena: Arena) -> None:
    """Every other event of a watch comes after the one that follows it."""
    dice = random.Random(7)
    arena.proxy.holds = lambda heard: arena.armed and heard.type != "BOOKMARK" and dice.random() < 0.5


def repeated(arena: Arena) -> None:
    """Every event comes three times."""
    arena.proxy.repeats = 3


def gone_on_resume(arena: Arena) -> None:
    """The watches fall silent, what is deleted meanwhile is never told, and then they are too old to go on."""
    told: set[str] = set()

    async def plan(call: Call) -> Mode | Reply | None:
        if not call.watch or not arena.armed or call.plural in told:
            return None
        told.add(call.plural)
        return Mode.GONE

    arena.proxy.plan = plan
    arena.proxy.passes = lambda heard: not (arena.armed and heard.type == "DELETED")
    arena.on_armed = arena.proxy.stall


def deletions_lost(arena: Arena) -> None:
    """No DELETED event arrives."""
    arena.proxy.passes = lambda heard: heard.type != "DELETED"


def events_lost(arena: Arena) -> None:
    """A third of all watch events never arrives."""
    dice = random.Random(3)

    def passes(heard: Heard) -> bool:
        return heard.type == "BOOKMARK" or dice.random() > 0.33

    arena.proxy.passes = passes


CASES = {
    case.name: case
    for case in (
        Case("409 on every first write", "switch", conflicts),
        Case("429 with Retry-After", "switch", too_many_requests),
        Case("5xx", "switch", unavailable),
        Case("outage", "switch", outage),
        Case("hanging writes", "switch", hangs),
        Case("half-open watches", "switch", half_open),
        Case("ERROR 500 in the stream", "switch", stream_errors),
        Case("410 on resume after deletions", "deleted", gone_on_resume, prune_seconds=2.0),
        Case("DELETED events lost", "deleted", deletions_lost, prune_seconds=2.0),
        Case("DELETED events lost as a rollout is taken back", "superseded", deletions_lost, prune_seconds=2.0),
        Case("a third of all events lost", "switch", events_lost, prune_seconds=2.0),
        Case("a rival decides first", "switch", rival.decides_first, compared=False),
        Case("a rival decides unheard", "edited", rival.decides_unheard, compared=False),
        Case("ERROR 410 in the stream", "switch", stream_expired),
        Case("events in the wrong order", "switch", reordered),
        Case("every event three times", "switch", repeated),
        Case("slow API", "first", storms.slow, patience=120.0),
        Case("nothing but 503 for 90 s", "switch", storms.unavailable_for_long, patience=180.0),
        Case("nothing but 429 with Retry-After for 20 s", "switch", storms.too_busy, patience=120.0),
        Case("RBAC revoked for 20 s", "switch", storms.forbidden_for_a_while, patience=120.0),
        Case("clock 5 min ahead", "switch", clocks.goes_ahead, happened=clocks.has_jumped),
        Case("clock 5 min back", "switch", clocks.goes_back, happened=clocks.has_jumped),
        Case("clock 5 min ahead as a candidate is lost", "rollback", clocks.goes_ahead, happened=clocks.has_jumped),
        Case("clock 5 min back as a candidate is lost", "rollback", clocks.goes_back, happened=clocks.has_jumped),
    )
}


async def try_case(
    stage: Stage, case: Case, reference: Reference, *, bug: str = "", patience: float | None = None
) -> Outcome:
    """Play the scenario of a case under its fault."""
    scenario = SCENARIOS[case.scenario]
    patience = patience or case.patience
    async with stage.arena(scenario, bug=bug, patience=patience, prune_seconds=case.prune_seconds) as arena:
        case.spoil(arena)
        outcome = await play(arena, scenario, reference if case.compared else None, case.name)
        outcome.reached = case.happened(arena.history)
        return outcome


async def try_cases(stage: Stage, clean: Mapping[str, Outcome], cases: Sequence[Case], jobs: int) -> list[Outcome]:
    """Play the scenario of each case under its fault."""
    return await together(jobs, [try_case(stage, case, clean[case.scenario].reference) for case in cases])


async def _try_cases(ready: Stage, cases: Sequence[Case], jobs: int) -> list[Outcome]:
    clean = await references(ready, (case.scenario for case in cases), jobs)
    return await try_cases(ready, clean, cases, jobs)


def _by_chance(share: float, answers: Sequence[Reply]) -> Plan:
    """The plan to spoil a share of all requests."""
    dice = random.Random(5)

    async def plan(_: Call) -> Mode | Reply | None:
        return dice.choice(answers) if dice.random() < share else None

    return plan


if __name__ == "__main__":
    sys.exit(run_cases(__doc__, CASES, _try_cases, jobs=6))
