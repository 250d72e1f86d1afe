"""Where scenarios are played under faults, and how what comes of it is judged."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hack.cluster.addons import chart
from hack.cluster.apiserver import ApiServer
from tests.faults.arena import Arena, NotReached
from tests.faults.history import History
from tests.faults.oracles import Violation, judge, manners, misfits, tracebacks
from tests.faults.process import warm_up
from tests.faults.proxy import Call, Mode, Reply, leave_alone
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.support.cluster import Cluster

Json = dict[str, Any]
C = TypeVar("C")

MODES = (Mode.BEFORE, Mode.AFTER, Mode.LOST, Mode.CUT)
_UID = re.compile(r"-[0-9a-f]{8}-(?=[0-9a-f]{10})")


@dataclass(frozen=True, slots=True)
class Point:
    """A write of a scenario, by what it writes and how often that was written before, and what happens there."""

    scenario: str
    label: str
    occurrence: int
    mode: Mode

    def __str__(self) -> str:
        again = f" #{self.occurrence + 1}" if self.occurrence else ""
        return f"{self.scenario}: {self.mode} {self.label}{again}"


@dataclass(frozen=True, slots=True)
class Reference:
    """A run without faults: what it left, what it made and deleted, which forms objects had, what was written."""

    state: dict[str, Json]
    counts: dict[str, tuple[int, int]]
    courses: dict[str, list[Json]]
    writes: Sequence[str]

    def points(self, scenario: str) -> list[Point]:
        """Every write in every mode."""
        seen: Counter[str] = Counter()
        found = []
        for label in self.writes:
            found += [Point(scenario, label, seen[label], mode) for mode in MODES]
            seen[label] += 1
        return found


@dataclass(slots=True)
class Outcome:
    """`reached`: whether the fault happened at all."""

    name: str
    reached: bool
    violations: list[Violation]
    seconds: float
    reference: Reference = field(repr=False)


Run = Coroutine[Any, Any, list[Outcome]]


class At:
    """The plan to do something at one write."""

    def __init__(self, arena: Arena, point: Point) -> None:
        self.reached = False
        self._arena = arena
        self._point = point
        self._left = point.occurrence

    async def __call__(self, call: Call) -> Mode | Reply | None:
        """Look at a request."""
        if self.reached or not self._arena.armed or not call.is_write or label(call) != self._point.label:
            return None
        self._left -= 1
        self.reached = self._left < 0
        return self._point.mode if self.reached else None


@dataclass(frozen=True, slots=True)
class Stage:
    """Where runs take place."""

    server: ApiServer
    cluster: Cluster

    async def run(
        self,
        scenario: Scenario,
        reference: Reference | None = None,
        point: Point | None = None,
        *,
        bug: str = "",
        patience: float = 60.0,
    ) -> Outcome:
        """Play a scenario, with a fault at `point`; compare with `reference` if there is one."""
        async with self.arena(scenario, bug=bug, patience=patience) as arena:
            at = At(arena, point) if point else None
            arena.proxy.plan = at or leave_alone
            name = str(point) if point else f"{scenario.name}: clean"
            outcome = await play(arena, scenario, reference, name)
            outcome.reached = at is None or at.reached
            return outcome

    def arena(
        self, scenario: Scenario, *, bug: str = "", patience: float = 60.0, prune_seconds: float = 300.0
    ) -> Arena:
        """A fresh namespace for a scenario."""
        return Arena(
            self.server,
            self.cluster,
            self.cluster.create_namespace(),
            patience=patience,
            prune_seconds=prune_seconds,
            bug=bug,
            refused_smoke=dict(scenario.refused_smoke),
        )


async def play(arena: Arena, scenario: Scenario, reference: Reference | None, name: str) -> Outcome:
    """Play a scenario in an arena whose plan is made, and judge what came of it."""
    began = time.monotonic()
    violations: list[Violation] = []
    arena.begin()
    first = 0
    try:
        await scenario.prepare(arena)
        arena.armed, first = True, len(arena.proxy.calls)
        await arena.on_armed()
        await scenario.act(arena)
        if reference is not None:
            await _converges(arena, reference)
        violations += [Violation("quiet", str(call)) for call in await arena.late_writes() if reference is not None]
    except NotReached as missing:
        violations.append(Violation("liveness", str(missing)))
    history = arena.history
    violations += judge(history.timeline(), arena.proxy.writes(), scenario.waived)
    violations += manners(arena.proxy.writes())
    violations += tracebacks(arena.log())
    violations += misfits(arena.log()) if arena.bug else []
    if reference is not None:
        violations += differences(history, reference)
    writes = [label(call) for call in arena.proxy.calls[first:]]
    seen = Reference(history.state(), history.counts(), history.courses(), writes)
    return Outcome(name, True, violations, time.monotonic() - began, seen)


async def _converges(arena: Arena, reference: Reference) -> None:
    async def same() -> bool:
        return arena.history.state() == reference.state

    with contextlib.suppress(NotReached):  # `differences` says it better
        await arena.until(same, "the end is the same")


def differences(history: History, reference: Reference) -> Iterator[Violation]:
    """In what a run differs from the reference: the end, what was made and deleted, the forms on the way."""
    state, counts, courses = history.state(), history.counts(), history.courses()
    for key in sorted(state.keys() | reference.state.keys()):
        if (found := first_difference(reference.state.get(key), state.get(key))) is not None:
            yield Violation("end state", f"{key}: {found}")
    for key in sorted(counts.keys() | reference.counts.keys()):
        made, expected = counts.get(key, (0, 0)), reference.counts.get(key, (0, 0))
        if made != expected:
            yield Violation("created and deleted", f"{key}: {made} times instead of {expected}")
    for key in sorted(courses.keys() & reference.courses.keys()):
        if len(courses[key]) != len(reference.courses[key]):
            forms = len(courses[key]), len(reference.courses[key])
            yield Violation("course", f"{key}: {forms[0]} forms instead of {forms[1]}")
        elif (found := first_difference(reference.courses[key], courses[key])) is not None:
            yield Violation("course", f"{key}: {found}")


def first_difference(expected: Any, found: Any, path: str = "") -> str | None:
    """Where two JSON values differ first."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            inner = first_difference(expected.get(key), found.get(key), f"{path}.{key}")
            if inner is not None:
                return inner
        return None
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return next((text for n, (a, b) in pairs if (text := first_difference(a, b, f"{path}[{n}]"))), None)
    return None if expected == found else f"{path or 'it'} is {_short(found)} instead of {_short(expected)}"


def label(call: Call) -> str:
    """What a write is, whatever the uid of the Model."""
    return _UID.sub("-UID-", str(call))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 120 else text[:120] + "…"


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """An API server with all definitions."""
    with ApiServer() as server, Cluster(server.kubeconfig) as cluster:
        cluster.install_crds()
        install_gateway_api(cluster)
        warm_up()
        yield Stage(server, cluster)


def install_gateway_api(cluster: Cluster) -> None:
    """Define the kinds of the Gateway API that the operator uses."""
    source = chart.module_folder(chart.GATEWAY_API_MODULE) / "config" / "crd" / "standard"
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("gateways", "httproutes"):
            shutil.copyfile(source / f"gateway.networking.k8s.io_{kind}.yaml", Path(folder) / f"{kind}.yaml")
        cluster.install_crds(Path(folder))


async def references(stage: Stage, scenarios: Iterable[str], jobs: int) -> dict[str, Outcome]:
    """Play each scenario without faults."""
    wanted = sorted(set(scenarios))
    outcomes = await together(jobs, [stage.run(SCENARIOS[name]) for name in wanted])
    return dict(zip(wanted, outcomes, strict=True))


def run_cases(
    description: str, cases: Mapping[str, C], attempt: Callable[[Stage, Sequence[C], int], Run], jobs: int
) -> int:
    """Be the command line of a set of cases: try all, or those that are named; 1 if anything was violated or missed.

    `jobs`: how many at a time unless it is said.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("case", nargs="*", choices=[[], *cases])
    parser.add_argument("--jobs", type=int, default=jobs)
    arguments = parser.parse_args()
    wanted = [cases[name] for name in arguments.case or cases]
    with stage() as ready:
        outcomes = asyncio.run(attempt(ready, wanted, arguments.jobs))
    violations = sum(len(outcome.violations) for outcome in outcomes)
    missed = sum(not outcome.reached for outcome in outcomes)
    print(json.dumps({"cases": len(outcomes), "violations": violations, "notReached": missed}))
    return 1 if violations or missed else 0


async def together(jobs: int, runs: Iterable[Awaitable[Outcome]]) -> list[Outcome]:
    """Wait for all, so many at a time, and print each as it ends."""
    gate = asyncio.Semaphore(jobs)

    async def limited(run: Awaitable[Outcome]) -> Outcome:
        async with gate:
            outcome = await run
            print(row(outcome), flush=True)
            return outcome

    return await asyncio.gather(*(limited(run) for run in runs))


def row(outcome: Outcome) -> str:
    """A line for an outcome, and one for each violation."""
    lines = [f"{'ok  ' if not outcome.violations else 'BAD '} {outcome.seconds:5.1f} s  {outcome.name}"]
    lines += [] if outcome.reached else ["       the point was not reached"]
    return "\n".join(lines + [f"       {violation}" for violation in outcome.violations])
