"""Events on a real API server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from hack.cluster.apiserver import ApiServer
from penstock.kube.client import KubeClient
from penstock.kube.events import EventRecorder
from penstock.kube.resources import CONFIG_MAPS, EVENTS, NAMESPACES, Json
from tests.support.cluster import until

DEADLINE = 30


@pytest.fixture
async def client(api_server: ApiServer) -> AsyncIterator[KubeClient]:
    async with await KubeClient.connect(kubeconfig=api_server.kubeconfig) as connected:
        yield connected


@pytest.fixture
async def regarding(client: KubeClient) -> Json:
    namespace = (await client.create(NAMESPACES, {"metadata": {"generateName": "events-"}}))["metadata"]["name"]
    return await client.create(CONFIG_MAPS, {"metadata": {"namespace": namespace, "name": "subject"}})


@contextlib.asynccontextmanager
async def running(recorder: EventRecorder) -> AsyncIterator[None]:
    task = asyncio.create_task(recorder.run())
    yield
    await recorder.drain(DEADLINE)
    task.cancel()
    await asyncio.wait([task])


async def events_of(client: KubeClient, obj: Json) -> list[Json]:
    items, _ = await client.list(EVENTS, obj["metadata"]["namespace"])
    return items


async def test_an_event_says_what_happened_to_which_object(client: KubeClient, regarding: Json) -> None:
    recorder = EventRecorder(client, "example.com/operator", "pod-1")
    async with running(recorder):
        recorder.record(regarding, type="Warning", reason="GateFailed", action="Evaluate", note="x" * 5000)
    (event,) = await events_of(client, regarding)
    assert (event["type"], event["reason"], event["action"]) == ("Warning", "GateFailed", "Evaluate")
    assert event["regarding"]["uid"] == regarding["metadata"]["uid"]
    assert event["regarding"]["kind"] == "ConfigMap"
    assert (event["reportingController"], event["reportingInstance"]) == ("example.com/operator", "pod-1")
    assert len(event["note"]) == 1024
    assert "series" not in event


async def test_the_same_event_again_counts_up_a_series(client: KubeClient, regarding: Json) -> None:
    recorder = EventRecorder(client, "example.com/operator", "pod-1")
    async with running(recorder):
        for _ in range(3):
            recorder.record(regarding, type="Normal", reason="Same", action="Do", note="again")
            await recorder.drain(DEADLINE)
        recorder.record(regarding, type="Normal", reason="Same", action="Do", note="different")
    same, different = sorted(await events_of(client, regarding), key=lambda event: str(event["note"]))
    assert same["series"]["count"] == 3
    assert "series" not in different


async def test_after_the_window_the_same_is_a_new_event(client: KubeClient, regarding: Json) -> None:
    time = [0.0]
    recorder = EventRecorder(client, "example.com/operator", "pod-1", clock=lambda: time[0])
    async with running(recorder):
        for at in (0.0, 599.0, 1198.0, 1799.0):
            time[0] = at
            recorder.record(regarding, type="Normal", reason="Same", action="Do", note="again")
            await recorder.drain(DEADLINE)
    counts = sorted(event.get("series", {}).get("count", 1) for event in await events_of(client, regarding))
    assert counts == [1, 3]


async def test_a_full_queue_drops_and_a_refused_event_harms_nobody(client: KubeClient, regarding: Json) -> None:
    recorder = EventRecorder(client, "example.com/operator", "pod-1", capacity=2)
    recorder.record(regarding, type="Normal", reason="not allowed " * 100, action="Do", note="refused")
    for number in range(10):
        recorder.record(regarding, type="Normal", reason="Fine", action="Do", note=f"number {number}")
    async with running(recorder):
        await recorder.drain(DEADLINE)
        recorder.record(regarding, type="Normal", reason="Fine", action="Do", note="number 9")
    assert sorted(event["note"] for event in await events_of(client, regarding)) == ["number 0", "number 9"]


class Backlog:
    """Work that waits; counts how often it was asked about."""

    def __init__(self, *, until: int = 2**31) -> None:
        self.until = until
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked <= self.until


async def sent(client: KubeClient) -> None:
    await until(lambda: client.calls["create", EVENTS.plural] > 0, lambda: "an Event is sent")


async def test_work_that_waits_goes_first(client: KubeClient, regarding: Json) -> None:
    backlog = Backlog(until=3)
    recorder = EventRecorder(client, "example.com/operator", "pod-1", work_waits=backlog)
    async with running(recorder):
        recorder.record(regarding, type="Normal", reason="Fine", action="Do", note="later")
        await sent(client)
        assert backlog.asked > 3


async def test_an_event_waits_for_work_half_a_minute_at_most(client: KubeClient, regarding: Json) -> None:
    time, backlog = [0.0], Backlog()
    recorder = EventRecorder(client, "example.com/operator", "pod-1", work_waits=backlog, clock=lambda: time[0])
    async with running(recorder):
        recorder.record(regarding, type="Normal", reason="Fine", action="Do", note="later")
        await until(lambda: backlog.asked >= 2, lambda: "the Event has been held back twice")
        assert not client.calls["create", EVENTS.plural]
        time[0] = 30.0
        await sent(client)


async def test_no_event_is_dropped_for_the_sake_of_work(client: KubeClient, regarding: Json) -> None:
    recorder = EventRecorder(client, "example.com/operator", "pod-1", work_waits=Backlog(), capacity=4)
    for number in range(3):
        recorder.record(regarding, type="Normal", reason="Fine", action="Do", note=f"number {number}")
    async with running(recorder):
        await sent(client)
