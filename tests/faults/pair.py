"""Two replicas of the operator on one lease, each behind a proxy of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

from tests.faults.arena import NARROWED, Arena
from tests.faults.process import Process
from tests.faults.proxy import Call, Mode, Proxy, Reply
from tests.faults.stage import label

LEADER, STANDBY = "leader", "standby"


@dataclass
class Replica:
    """One of the two. `asked`: how often it has read the lease, which a leader does not do."""

    name: str
    proxy: Proxy
    process: Process
    asked: int = 0

    def look(self, call: Call) -> None:
        """See what it asks for."""
        self.asked += call.plural == "leases" and call.verb == "get"

    def stored(self, since: int = 0) -> list[Call]:
        """What it wrote, its first so many writes aside, and was taken."""
        return [call for call in self.proxy.writes()[since:] if call.code in (200, 201)]


@dataclass
class Pair(Arena):
    """As an arena, but nobody is started again and no lease is freed: that is what the other replica is for."""

    replicas: list[Replica] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._other = await self._stack.enter_async_context(Proxy(self.server.kubeconfig, self.namespace, NARROWED))
        return self

    async def __aexit__(self, *rest: object) -> None:
        for replica in self.replicas:
            replica.process.kill()
            await replica.process.ended()
        await super().__aexit__(*rest)

    @property
    def leader(self) -> Replica:
        """Who leads at first."""
        return self.replicas[0]

    @property
    def standby(self) -> Replica:
        """Who does not."""
        return self.replicas[1]

    async def begin_both(self) -> None:
        """Start one, and the other when the first one leads."""
        await self._start(LEADER, self.proxy)

        async def leads() -> bool:
            return self.proxy.renewals > 0

        await self.until(leads, "the first replica leads")
        standby = await self._start(STANDBY, self._other)

        async def waits() -> bool:
            return standby.asked > 0

        await self.until(waits, "the second replica asks for the lease")

    async def takes_over(self) -> None:
        """Wait until the standby holds the lease."""
        renewals = self.standby.proxy.renewals

        async def renewed() -> bool:
            return self.standby.proxy.renewals > renewals

        await self.until(renewed, "the standby leads")

    async def steps_back(self) -> None:
        """Wait until the old leader has ended or asks, for the second time, who leads: it has had its chance."""
        ended = asyncio.create_task(self.leader.process.ended())
        asked = self.leader.asked

        async def harmless() -> bool:
            return ended.done() or self.leader.asked > asked + 1

        try:
            await self.until(harmless, "the old leader ends or asks who leads")
        finally:
            ended.cancel()

    async def late_writes(self) -> list[Call]:
        """What both write between the next two renewals of the lease by the standby."""
        await self.takes_over()
        before = len(self.all_writes())
        await self.takes_over()
        return self.all_writes()[before:]

    def log(self) -> str:
        """What both have said."""
        logs = [self.folder / f"{replica.name}.log" for replica in self.replicas]
        return "".join(path.read_text(errors="replace") for path in logs if path.exists())

    def all_writes(self) -> list[Call]:
        """What both wrote, or tried to write."""
        return [call for replica in self.replicas for call in replica.proxy.writes()]

    async def _start(self, name: str, proxy: Proxy) -> Replica:
        replica = Replica(name, proxy, Process(self.start_of(proxy, name)))
        proxy.on_call = replica.look
        self.replicas.append(replica)
        return replica


def once(pair: Pair, wanted: str, do: Callable[[], Awaitable[Mode | Reply | None]]) -> None:
    """Make the plan to do something as the leader sends one write; `wanted`: its label, and " #2" for its second."""
    name, _, occurrence = wanted.partition(" #")
    left = int(occurrence or 1)

    async def plan(call: Call) -> Mode | Reply | None:
        nonlocal left
        if not pair.armed or not call.is_write or label(call) != name:
            return None
        left -= 1
        return await do() if left == 0 else None

    pair.proxy.plan = plan
