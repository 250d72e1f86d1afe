"""Reading rings over HTTP: who is there, what is new, and when something could not be seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np
import pytest

from penstock.jobs.compare.pairing import Answer
from penstock.jobs.compare.settings import TrackSettings
from penstock.jobs.compare.track import Track
from penstock.jobs.compare.visibility import Visibility
from penstock.runtime.admin import Page, serve_pages
from penstock.runtime.ring import CAPACITY, PAGE_ENTRIES, Ring
from tests.unit.runtime.server import REVISION, free_port

WINDOW = 30.0
SCORE = {"score": np.array([0.9])}


@dataclass
class Pod:
    """A pod's ring, behind a real port; `ring` may be exchanged: the process was started again."""

    port: int = field(default_factory=free_port)
    ring: Ring = field(default_factory=lambda: Ring("flight-delay", REVISION))
    stop: Callable[[], None] | None = None

    def start(self) -> None:
        self.stop = serve_pages("127.0.0.1", self.port, {"/ring": self.page})

    def page(self, query: str) -> tuple[str, bytes]:
        return self.ring.page(query)

    def end(self) -> None:
        if self.stop is not None:
            self.stop()
            self.stop = None

    def note(self, *names: str) -> None:
        for name in names:
            self.ring.note(name.encode(), is_shadow=True, status=200, seconds=0.001, outputs=SCORE)


@dataclass
class Reader:
    track: Track
    visibility: Visibility
    taken: list[str]
    lost: list[int]

    async def poll(self) -> None:
        await self.track.poll()

    def is_visible(self) -> bool:
        """Whether what is answered now, and in a while, could be seen."""
        return self.visibility.is_visible(time.monotonic(), 0)


@asynccontextmanager
async def reading(port: int, started: float | None = None) -> AsyncIterator[Reader]:
    taken: list[str] = []
    lost: list[int] = []
    visibility = Visibility(WINDOW)

    def take(answer: Answer, /) -> None:
        taken.append(answer.identifier)

    async with httpx.AsyncClient(trust_env=False) as client:
        settings = TrackSettings(REVISION, "127.0.0.1", port)
        began = time.monotonic() if started is None else started
        track = Track(settings, "flight-delay", client, began, visibility, take, lost.append)
        yield Reader(track, visibility, taken, lost)


@pytest.fixture
def pod() -> Iterator[Pod]:
    made = Pod()
    made.start()
    yield made
    made.end()


async def test_what_is_new_is_taken_once(pod: Pod) -> None:
    async with reading(pod.port) as reader:
        pod.note("a", "b")
        await reader.poll()
        await reader.poll()
        pod.note("c")
        await reader.poll()
        assert (reader.taken, reader.lost, reader.track.pods) == (["a", "b", "c"], [], 1)
        assert reader.is_visible()


async def test_more_than_a_page_is_taken_in_one_round(pod: Pod) -> None:
    async with reading(pod.port) as reader:
        names = [str(number) for number in range(2 * PAGE_ENTRIES - 1)]
        pod.note(*names)
        await reader.poll()
        assert reader.taken == names


async def test_what_was_long_before_is_left_to_who_counted_then(pod: Pod) -> None:
    clock = [0.0]
    pod.ring = Ring("flight-delay", REVISION, lambda: clock[0])
    pod.note("old")
    clock[0] = 100.0
    pod.note("new")
    async with reading(pod.port) as reader:
        await reader.poll()
        assert reader.taken == ["new"]
        assert reader.is_visible()


async def test_entries_that_were_lost_make_blind_but_not_those_before_our_time(pod: Pod) -> None:
    clock = [0.0]
    pod.ring = Ring("flight-delay", REVISION, lambda: clock[0])

    def flood() -> None:
        for number in range(CAPACITY + 5):
            clock[0] += 1.0
            pod.note(str(number))

    flood()
    clock[0] += 1000.0
    async with reading(pod.port) as reader:
        await reader.poll()
        assert (reader.taken, reader.lost) == ([], [])
        assert reader.is_visible()
        flood()
        await reader.poll()
        assert reader.lost == [5]
        assert not reader.is_visible()


async def test_a_process_that_was_started_again_makes_blind(pod: Pod) -> None:
    async with reading(pod.port) as reader:
        pod.note("a")
        await reader.poll()
        pod.ring = Ring("flight-delay", REVISION)
        pod.note("b")
        await reader.poll()
        assert reader.taken == ["a", "b"]
        assert not reader.is_visible()


async def test_a_pod_that_does_not_answer_makes_blind_and_nothing_is_lost_when_it_is_back(pod: Pod) -> None:
    async with reading(pod.port) as reader:
        pod.note("a")
        await reader.poll()
        pod.end()
        await reader.poll()
        assert (reader.track.pods, reader.is_visible()) == (0, False)
        pod.note("b")
        pod.start()
        await reader.poll()
        assert (reader.taken, reader.track.pods) == (["a", "b"], 1)


async def test_a_pod_that_leaves_makes_blind(pod: Pod) -> None:
    async with reading(pod.port) as reader:
        await reader.poll()
        assert reader.is_visible()
        pod.ring.is_leaving = True
        pod.note("a")
        await reader.poll()
        assert reader.taken == ["a"]
        assert not reader.is_visible()


async def test_nobody_there_is_blind() -> None:
    async with reading(free_port()) as reader:
        await reader.poll()
        assert (reader.track.pods, reader.is_visible()) == (0, False)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(lambda _: ("application/json", b"no json"), id="no json"),
        pytest.param(lambda _: ("application/json", b"[]"), id="another form"),
        pytest.param(lambda _: ("application/json", b'{"cursor":"","rings":[{}]}'), id="an empty ring"),
        pytest.param(lambda _: None, id="a worker that does not answer"),
        pytest.param(Ring("flight-delay", "ba9876543210").page, id="another revision at this address"),
    ],
)
async def test_answers_that_are_none(page: Page) -> None:
    port = free_port()
    stop = serve_pages("127.0.0.1", port, {"/ring": page})
    try:
        async with reading(port) as reader:
            await reader.poll()
            assert (reader.taken, reader.track.pods, reader.is_visible()) == ([], 0, False)
    finally:
        stop()


async def test_a_name_that_nobody_knows_is_no_failure() -> None:
    async with reading(1) as reader:
        reader.track.settings = TrackSettings(REVISION, "no-such-name.invalid", 1)
        await asyncio.wait_for(reader.poll(), 60)
        assert (reader.track.pods, reader.is_visible()) == (0, False)


async def test_a_ring_that_keeps_fewer_ids_is_not_asked_for_the_others(pod: Pod) -> None:
    async with reading(pod.port) as reader:
        pod.note(*[str(number) for number in range(CAPACITY)])  # as fast as it goes
        await reader.poll()
        level = pod.ring.document("")["rings"][0]["level"]
        assert level > 0
        now = time.monotonic()
        assert not reader.visibility.is_visible(now, 1 << (level - 1))
        assert reader.visibility.is_visible(now, 1 << level)
