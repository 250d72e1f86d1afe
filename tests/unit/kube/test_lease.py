import asyncio
import contextlib
import random
from collections.abc import Callable

import pytest

from penstock.kube import errors
from penstock.kube.lease import LeaderElector, LeadershipLost
from penstock.kube.resources import Json, Resource
from tests.unit.kube.virtual_time import now, run_virtual


class FakeLeaseServer:
    """One Lease with compare-and-swap. `fault` says what happens to one client's requests from now on."""

    def __init__(self) -> None:
        self.lease: Json | None = None
        self.version = 0
        self.writes: list[tuple[float, str]] = []

    def store(self, obj: Json) -> Json:
        self.version += 1
        self.lease = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        self.writes.append((now(), obj["spec"]["holderIdentity"]))
        return self.lease


class FakeLeaseClient:
    def __init__(self, server: FakeLeaseServer) -> None:
        self.server = server
        self.fault: Callable[[], None] | None = None
        self.hangs = False
        self.answer_takes = 0.0

    async def _travel(self) -> None:
        await asyncio.sleep(0.01)
        if self.hangs:
            await asyncio.sleep(10_000)
        if self.fault is not None:
            self.fault()

    async def get(self, _resource: Resource, _namespace: str | None, _name: str, *, timeout: float) -> Json:
        await self._travel()
        if self.server.lease is None:
            raise errors.NotFound(404, "NotFound", "no lease")
        return self.server.lease

    async def create(self, _resource: Resource, obj: Json, *, timeout: float) -> Json:
        await self._travel()
        if self.server.lease is not None:
            raise errors.AlreadyExists(409, "AlreadyExists", "lease exists")
        return self.server.store(obj)

    async def update(self, _resource: Resource, obj: Json, subresource: str | None = None, *, timeout: float) -> Json:
        await self._travel()
        if self.server.lease is None or obj["metadata"]["resourceVersion"] != str(self.server.version):
            raise errors.Conflict(409, "Conflict", "changed meanwhile")
        stored = self.server.store(obj)
        await asyncio.sleep(self.answer_takes)
        return stored


class Replica:
    """An elector with leading work that notes when it ran."""

    def __init__(self, server: FakeLeaseServer, identity: str, leading: dict[str, float]) -> None:
        self.identity = identity
        self.client = FakeLeaseClient(server)
        self.elector = LeaderElector(self.client, "ns", "lock", identity, clock=now, rng=random.Random(identity))
        self.leading = leading
        self.periods: list[tuple[float, float]] = []
        self.leads = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def work(self) -> None:
        started = now()
        self.leading[self.identity] = started
        self.leads.set()
        assert len(self.leading) == 1, f"two leaders at {now()}: {self.leading}"
        try:
            await asyncio.Event().wait()
        finally:
            del self.leading[self.identity]
            self.periods.append((started, now()))

    def start(self) -> "Replica":
        self.task = asyncio.create_task(self.elector.run(self.work))
        return self

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, LeadershipLost):
            await self.task


def unreachable() -> None:
    raise errors.Unreachable("no route to host", outcome_unknown=False)


def test_one_of_two_leads_and_the_lease_says_who() -> None:
    async def main() -> None:
        server, leading = FakeLeaseServer(), dict[str, float]()
        one, two = (Replica(server, name, leading).start() for name in ("one", "two"))
        await asyncio.sleep(100)
        assert len(leading) == 1
        assert server.lease is not None
        spec = server.lease["spec"]
        assert {spec["holderIdentity"]} == set(leading)
        assert spec["leaseTransitions"] == 0
        assert spec["leaseDurationSeconds"] == 15
        assert spec["renewTime"].endswith("Z")
        await one.stop()
        await two.stop()

    run_virtual(main)


def test_a_clean_exit_stops_the_work_releases_and_the_other_takes_over_at_its_next_try() -> None:
    async def main() -> None:
        server, leading = FakeLeaseServer(), dict[str, float]()
        one = Replica(server, "one", leading).start()
        await asyncio.sleep(1)
        two = Replica(server, "two", leading).start()
        await asyncio.sleep(30)
        await one.stop()
        assert server.lease is not None
        assert server.lease["spec"]["holderIdentity"] == ""
        released = now()
        await asyncio.sleep(5)
        assert list(leading) == ["two"]
        assert leading["two"] - released < 3
        assert server.lease["spec"]["leaseTransitions"] == 1
        await two.stop()

    run_virtual(main)


@pytest.mark.parametrize("how", ["unreachable", "hanging"])
def test_a_partitioned_leader_stops_its_work_before_another_can_lead(how: str) -> None:
    async def main() -> None:
        server, leading = FakeLeaseServer(), dict[str, float]()
        one = Replica(server, "one", leading).start()
        await asyncio.sleep(1)
        two = Replica(server, "two", leading).start()
        await asyncio.sleep(60)
        cut = now()
        if how == "hanging":
            one.client.hangs = True
        else:
            one.client.fault = unreachable
        assert one.task is not None
        with pytest.raises(LeadershipLost) as lost:
            await one.task
        assert lost.value.work_stopped
        assert not one.elector.is_leader
        assert now() - cut <= 10.1
        writes = len(server.writes)
        await two.leads.wait()
        assert len(server.writes) == writes + 1
        assert one.periods[-1][1] + 4 < leading["two"], "a write of the old leader could still be under way"
        assert now() - cut <= 20
        await two.stop()

    run_virtual(main)


def test_the_lease_counts_from_the_sending_of_a_renewal_not_from_its_slow_answer() -> None:
    async def main() -> None:
        server, leading = FakeLeaseServer(), dict[str, float]()
        one = Replica(server, "one", leading).start()
        await asyncio.sleep(1)
        one.client.answer_takes = 6
        await asyncio.sleep(9)
        one.client.fault = unreachable
        assert one.task is not None
        with pytest.raises(LeadershipLost):
            await one.task
        assert now() <= server.writes[-1][0] + 10

    run_virtual(main)


def test_work_that_stops_too_late_for_a_safe_write_costs_the_release() -> None:
    async def main() -> None:
        server = FakeLeaseServer()
        replica = Replica(server, "one", {})

        async def slow_to_stop() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(12)

        task = asyncio.create_task(replica.elector.run(slow_to_stop))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert now() > 12
        assert [holder for _, holder in server.writes] == ["one"]

    run_virtual(main)


def test_short_faults_do_not_cost_the_lead() -> None:
    async def main() -> None:
        server, leading = FakeLeaseServer(), dict[str, float]()
        one = Replica(server, "one", leading).start()
        await asyncio.sleep(1)
        two = Replica(server, "two", leading).start()
        for _ in range(10):
            one.client.fault = unreachable
            await asyncio.sleep(6)
            one.client.fault = None
            await asyncio.sleep(6)
        assert list(leading) == ["one"]
        assert one.periods == []
        await one.stop()
        await two.stop()

    run_virtual(main)


def test_a_lost_answer_to_a_renewal_is_overcome() -> None:
    async def main() -> None:
        server, leading = FakeLeaseServer(), dict[str, float]()
        one = Replica(server, "one", leading).start()
        await asyncio.sleep(5)
        assert server.lease is not None
        # The renewal was stored, but its answer never came: the elector's resourceVersion is one behind.
        server.store(server.lease)
        await asyncio.sleep(60)
        assert list(leading) == ["one"]
        assert one.periods == []
        await one.stop()

    run_virtual(main)


def test_a_stolen_lease_ends_the_work_at_the_next_renewal() -> None:
    async def main() -> None:
        server, leading = FakeLeaseServer(), dict[str, float]()
        one = Replica(server, "one", leading).start()
        await asyncio.sleep(5)
        assert server.lease is not None
        server.store({**server.lease, "spec": {**server.lease["spec"], "holderIdentity": "thief"}})
        assert one.task is not None
        with pytest.raises(LeadershipLost, match="taken by thief"):
            await one.task
        assert now() < 8
        assert server.writes[-1][1] == "thief", "a lease of somebody else is never released"

    run_virtual(main)


def test_expiry_counts_from_the_last_change_seen_here_whatever_the_lease_says_about_time() -> None:
    async def main() -> None:
        server, leading = FakeLeaseServer(), dict[str, float]()
        server.store(
            {
                "metadata": {"namespace": "ns", "name": "lock"},
                "spec": {
                    "holderIdentity": "skewed",
                    "leaseDurationSeconds": 15,
                    "renewTime": "2001-01-01T00:00:00.000000Z",
                    "leaseTransitions": 4,
                },
            }
        )
        one = Replica(server, "one", leading).start()
        await asyncio.sleep(14.9)
        assert leading == {}
        await asyncio.sleep(3)
        assert list(leading) == ["one"]
        assert server.lease is not None
        assert server.lease["spec"]["leaseTransitions"] == 5
        await one.stop()

    run_virtual(main)


def test_work_that_does_not_stop_is_reported_before_the_lease_expires() -> None:
    async def main() -> None:
        server = FakeLeaseServer()
        replica = Replica(server, "one", {})

        async def stubborn() -> None:
            while now() < 1000:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(1)

        task = asyncio.create_task(replica.elector.run(stubborn))
        await asyncio.sleep(1)
        replica.client.fault = unreachable
        with pytest.raises(LeadershipLost) as lost:
            await task
        assert not lost.value.work_stopped
        assert now() <= 15.1

    run_virtual(main)


def test_failing_work_releases_the_lease_and_its_error_is_passed_on() -> None:
    async def main() -> None:
        server = FakeLeaseServer()
        replica = Replica(server, "one", {})
        stopped: list[float] = []

        async def failing() -> None:
            await asyncio.sleep(3)
            raise ValueError("broken")

        async def on_stopped() -> None:
            stopped.append(now())

        with pytest.raises(ValueError, match="broken"):
            await replica.elector.run(failing, on_stopped)
        assert len(stopped) == 1
        assert server.lease is not None
        assert server.lease["spec"]["holderIdentity"] == ""

    run_virtual(main)


@pytest.mark.parametrize("seed", range(20))
def test_never_two_leaders_under_random_faults(seed: int) -> None:
    """`Replica.work` itself asserts that it is alone."""

    async def main() -> None:
        rng = random.Random(seed)
        server, leading = FakeLeaseServer(), dict[str, float]()
        replicas = [Replica(server, f"{number}-0", leading).start() for number in range(3)]

        def flaky() -> None:
            if rng.random() < 0.5:
                unreachable()

        for _ in range(200):
            replica = rng.choice(replicas)
            replica.client.fault = rng.choice([None, None, unreachable, flaky])
            replica.client.hangs = rng.random() < 0.2
            await asyncio.sleep(rng.uniform(0, 12))
            for index, other in enumerate(replicas):
                if other.task is not None and other.task.done():
                    assert isinstance(other.task.exception(), LeadershipLost)
                    name, generation = other.identity.split("-")
                    replicas[index] = Replica(server, f"{name}-{int(generation) + 1}", leading).start()
        for replica in replicas:
            replica.client.fault, replica.client.hangs = None, False
        await asyncio.sleep(60)
        assert len(leading) == 1, "with all faults gone somebody leads"
        for replica in replicas:
            await replica.stop()

    run_virtual(main)
