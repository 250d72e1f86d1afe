"""One of two replicas dies, sleeps, is cut off or has the wrong time: the other takes over, and nothing is done twice.

python -m tests.faults.replicas [CASE ...]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.controller.world import digest
from tests.faults.arena import NotReached
from tests.faults.clocks import has_jumped
from tests.faults.oracles import Violation, judge, manners, tracebacks
from tests.faults.pair import LEADER, STANDBY, Pair, once
from tests.faults.proxy import Call, Mode, Reply, leave_alone
from tests.faults.scenarios import first_revision, second_revision
from tests.faults.stage import Outcome, Reference, Stage, differences, references, run_cases, together

# Fifteen seconds of the lease, and two looks at it, the first and the last, by the one who waits.
TAKEOVER_SECONDS = 25.0
PAUSE_SECONDS = 40.0
SKEW_SECONDS = 300.0
PATIENCE = 90.0
# What a leader says that finds itself in the future: it ends, and is started again elsewhere.
TOO_LATE = "LeadershipLost: The lease penstock-operator could not be renewed"

Act = Callable[[Pair], Awaitable[list[Violation]]]


@dataclass(frozen=True, slots=True)
class Case:
    """`compared`: whether the end must be that of "switch".

    `skewed`: whether one clock is five minutes ahead and the other one as much behind.
    """

    name: str
    act: Act
    compared: bool = False
    skewed: bool = False


class Fault:
    """Happens as the leader sends one write."""

    def __init__(self, pair: Pair, at: str, do: Callable[[], Mode | Reply | None]) -> None:
        self._pair = pair
        self._do = do
        self._began = 0.0
        once(pair, at, self._happen)

    async def is_survived_by(self, rollout: Callable[[Pair], Coroutine[Any, Any, None]]) -> None:
        """Wait for the fault, which comes during the rollout, for the standby to lead, and for the rollout's end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(rollout(self._pair))
            await self._is_taken_over()

    async def _is_taken_over(self) -> None:
        async def began() -> bool:
            return bool(self._began)

        await self._pair.until(began, "the fault happens")
        await self._pair.takes_over()
        if (seconds := time.monotonic() - self._began) > TAKEOVER_SECONDS:
            raise NotReached(f"the standby took {seconds:.1f} s to take over")

    async def has_lasted(self, seconds: float) -> None:
        """Wait until so much time has passed since it began."""
        await asyncio.sleep(max(0.0, self._began + seconds - time.monotonic()))

    async def _happen(self) -> Mode | Reply | None:
        self._began = time.monotonic()
        return self._do()


def killed_at(at: str, *, skewed: bool = False) -> Case:
    """The leader dies; the write gets through, its answer does not."""

    async def act(pair: Pair) -> list[Violation]:
        def kill() -> None:
            pair.leader.process.kill()

        fault = Fault(pair, at, kill)
        await fault.is_survived_by(second_revision)
        return []

    clocks = ", clocks ten minutes apart" if skewed else ""
    return Case(f"leader killed at: {at}{clocks}", act, compared=True, skewed=skewed)


def paused_at(at: str) -> Case:
    """The leader stands still for 40 s, and finds the answer to its write when it wakes; much was decided meanwhile."""

    async def act(pair: Pair) -> list[Violation]:
        def pause() -> None:
            pair.leader.process.pause()

        fault = Fault(pair, at, pause)
        await fault.is_survived_by(second_revision)
        await third_revision(pair)
        await fault.has_lasted(PAUSE_SECONDS)
        written = len(pair.leader.proxy.writes())
        pair.leader.process.resume()
        await pair.steps_back()
        return late(pair.leader.stored(written))

    return Case(f"leader paused at: {at}", act)


def cut_off_at(at: str) -> Case:
    """Nothing of the leader gets through any more, and nothing comes back, until another one has long decided."""

    async def act(pair: Pair) -> list[Violation]:
        proxy = pair.leader.proxy

        async def swallow(_: Call) -> Mode | Reply | None:
            return Mode.HANG

        def cut() -> Mode:
            proxy.plan = swallow
            proxy.stall_all()
            return Mode.HANG

        fault = Fault(pair, at, cut)
        await fault.is_survived_by(second_revision)
        await third_revision(pair)
        await fault.has_lasted(PAUSE_SECONDS)
        written = len(proxy.writes())
        proxy.plan = leave_alone
        proxy.end_streams()
        await pair.steps_back()
        return late(pair.leader.stored(written))

    return Case(f"leader cut off at: {at}", act)


async def third_revision(pair: Pair) -> None:
    """Yet another artifact takes over."""
    await pair.rests(await pair.edit(artifact={"digest": digest("c")}))


def late(calls: Sequence[Call]) -> list[Violation]:
    """What a leader wrote that no longer was one."""
    return [Violation("one leader", f"{call} was written by the old leader") for call in calls]


PROMOTE = "create decisionrecords flight-UID-0000000005"
ROUTE = "patch httproutes flight #2"
SERVICE = "patch services flight"
STATUS = "patch models/status flight"
LAST_STATUS = "patch models/status flight #4"
CASES = {
    case.name: case
    for case in (
        killed_at(PROMOTE),
        killed_at(ROUTE),
        killed_at(STATUS),
        killed_at(ROUTE, skewed=True),
        paused_at(PROMOTE),
        paused_at(ROUTE),
        paused_at(SERVICE),
        paused_at(LAST_STATUS),
        cut_off_at(PROMOTE),
        cut_off_at(ROUTE),
    )
}


async def try_case(stage: Stage, case: Case, reference: Reference) -> Outcome:
    """Play a case in a namespace of its own."""
    namespace = stage.cluster.create_namespace()
    async with Pair(stage.server, stage.cluster, namespace, patience=PATIENCE) as pair:
        if case.skewed:
            pair.set_clock(SKEW_SECONDS, LEADER)
            pair.set_clock(-SKEW_SECONDS, STANDBY)
        began, violations = time.monotonic(), []
        try:
            await pair.begin_both()
            await first_revision(pair)
            pair.armed = True
            violations += await case.act(pair)
            violations += [Violation("quiet", str(call)) for call in await pair.late_writes()]
        except* NotReached as missing:
            violations += [Violation("liveness", str(error)) for error in missing.exceptions]
        writes = pair.all_writes()
        violations += judge(pair.history.timeline(), writes) + manners(writes) + tracebacks(pair.log(), TOO_LATE)
        violations += differences(pair.history, reference) if case.compared else doubled(pair)
        reached = has_jumped(pair.history) or not case.skewed
        return Outcome(case.name, reached, violations, time.monotonic() - began, reference)


def doubled(pair: Pair) -> Iterator[Violation]:
    """What was created more than once."""
    for key, (created, _) in pair.history.counts().items():
        if created > 1:
            yield Violation("created and deleted", f"{key} was created {created} times")


async def try_cases(stage: Stage, reference: Reference, cases: Sequence[Case], jobs: int) -> list[Outcome]:
    """Play the cases, so many at a time."""
    return await together(jobs, [try_case(stage, case, reference) for case in cases])


async def _try_cases(ready: Stage, cases: Sequence[Case], jobs: int) -> list[Outcome]:
    clean = await references(ready, ["switch"], 1)
    return await try_cases(ready, clean["switch"].reference, cases, jobs)


if __name__ == "__main__":
    sys.exit(run_cases(__doc__, CASES, _try_cases, jobs=5))
