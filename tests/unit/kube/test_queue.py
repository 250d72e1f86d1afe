import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop

from penstock.kube.errors import TooManyRequests
from penstock.kube.queue import WorkQueue
from tests.unit.kube.virtual_time import now, run_virtual

Handler = Callable[[str], Awaitable[float | None]]


@contextlib.asynccontextmanager
async def running(queue: WorkQueue[str], handler: Handler, workers: int = 2) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run(workers, handler))
    await asyncio.sleep(0)
    yield
    await queue.stop()
    await task


class Recorder:
    """A handler that notes what it handled when, takes `seconds` for it and answers as told."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.handled: list[tuple[str, float]] = []
        self.answers: dict[str, list[float | Exception | None]] = {}
        self.busy: set[str] = set()

    async def __call__(self, key: str) -> float | None:
        assert key not in self.busy, f"{key} is handled by two workers at once"
        self.busy.add(key)
        try:
            self.handled.append((key, now()))
            await asyncio.sleep(self.seconds)
        finally:
            self.busy.discard(key)
        answers = self.answers.get(key)
        answer = answers.pop(0) if answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def times(self, key: str) -> list[float]:
        return [at for handled, at in self.handled if handled == key]


def test_many_adds_of_a_waiting_key_are_handled_once() -> None:
    async def main() -> None:
        queue, handler = WorkQueue[str](), Recorder()
        for _ in range(3000):
            queue.add("a")
        assert queue.depth == 1
        async with running(queue, handler):
            await asyncio.sleep(1)
        assert handler.times("a") == [0]

    run_virtual(main)


def test_adds_while_handling_cause_exactly_one_more_handling_after_it() -> None:
    async def main() -> None:
        queue, handler = WorkQueue[str](), Recorder(seconds=5)
        async with running(queue, handler):
            queue.add("a")
            await asyncio.sleep(1)
            queue.add("a")
            queue.add("a")
            await asyncio.sleep(20)
        assert handler.times("a") == [0, 5]

    run_virtual(main)


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_added_before_the_handler_reads_is_dealt_with_unless_it_fails(fails: bool) -> None:
    async def main() -> None:
        queue = WorkQueue[str](base=50)
        handled: list[float] = []

        async def handler(key: str) -> None:
            handled.append(now())
            await asyncio.sleep(2)
            queue.reads(key)
            await asyncio.sleep(2)
            if fails and len(handled) == 1:
                raise ValueError

        async with running(queue, handler):
            queue.add("a")
            await asyncio.sleep(1)
            queue.add("a")
            await asyncio.sleep(20)
        assert handled == ([0, 4] if fails else [0])

    run_virtual(main)


def test_what_is_added_after_the_handler_has_read_is_handled_once_more() -> None:
    async def main() -> None:
        queue = WorkQueue[str]()
        handled: list[float] = []

        async def handler(key: str) -> None:
            handled.append(now())
            queue.reads(key)
            await asyncio.sleep(2)

        async with running(queue, handler):
            queue.add("a")
            await asyncio.sleep(1)
            queue.add("a")
            await asyncio.sleep(20)
            queue.reads("a")  # nobody handles it: nothing is taken away
            queue.add("a")
            await asyncio.sleep(20)
        assert handled == [0, 2, 21]

    run_virtual(main)


def test_different_keys_are_handled_at_the_same_time_up_to_the_number_of_workers() -> None:
    async def main() -> None:
        queue, handler = WorkQueue[str](), Recorder(seconds=5)
        async with running(queue, handler, workers=2):
            for key in "abc":
                queue.add(key)
            await asyncio.sleep(20)
        assert handler.handled == [("a", 0), ("b", 0), ("c", 5)]

    run_virtual(main)


def test_requeue_after_comes_back_once_at_its_time() -> None:
    async def main() -> None:
        queue, handler = WorkQueue[str](), Recorder()
        handler.answers["a"] = [30.0]
        async with running(queue, handler):
            queue.add("a")
            await asyncio.sleep(1000)
        assert handler.times("a") == pytest.approx([0, 30])

    run_virtual(main)


def test_of_several_delayed_wishes_the_earliest_counts() -> None:
    async def main() -> None:
        queue, handler = WorkQueue[str](), Recorder()
        async with running(queue, handler):
            for seconds in (50, 10, 30):
                queue.add_after("a", seconds)
            queue.add_after("b", 20)
            assert queue.delayed == 2
            await asyncio.sleep(1000)
        assert handler.times("a") == pytest.approx([10])
        assert handler.times("b") == pytest.approx([20])

    run_virtual(main)


def test_failures_back_off_exponentially_between_base_and_cap_and_success_forgets() -> None:
    async def main() -> None:
        queue, handler = WorkQueue[str](base=0.05, cap=60, rng=random.Random(7)), Recorder()
        handler.answers["a"] = [ValueError("no")] * 40
        async with running(queue, handler):
            queue.add("a")
            await asyncio.sleep(4000)
            times = handler.times("a")
            gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
            assert len(gaps) == 40
            for failures, gap in enumerate(gaps, start=1):
                assert 0.05 - 1e-6 <= gap <= min(60, 0.05 * 2**failures) + 1e-6
            assert max(gaps) > 30
            assert len({round(gap, 6) for gap in gaps[10:]}) == 30

            handler.answers["a"] = [ValueError("again")]
            queue.add("a")
            await asyncio.sleep(10)
            first, second = handler.times("a")[-2:]
            assert second - first <= 0.1 + 1e-6

    run_virtual(main)


def test_retry_after_of_the_server_is_obeyed() -> None:
    async def main() -> None:
        queue, handler = WorkQueue[str](), Recorder()
        handler.answers["a"] = [TooManyRequests(429, "TooManyRequests", "slow down", retry_after=17)]
        async with running(queue, handler):
            queue.add("a")
            await asyncio.sleep(100)
        assert handler.times("a") == pytest.approx([0, 17])

    run_virtual(main)


def test_a_failing_key_does_not_hold_up_others() -> None:
    async def main() -> None:
        queue, handler = WorkQueue[str](), Recorder()
        handler.answers["bad"] = [ValueError("no")] * 1000
        async with running(queue, handler, workers=1):
            queue.add("bad")
            await asyncio.sleep(500)
            queue.add("good")
            await asyncio.sleep(0.001)
        assert len(handler.times("good")) == 1

    run_virtual(main)


def test_stop_leaves_interrupted_and_waiting_keys_for_the_next_run() -> None:
    async def main() -> None:
        queue, first, second = WorkQueue[str](), Recorder(seconds=100), Recorder()
        async with running(queue, first, workers=1):
            queue.add("a")
            queue.add("b")
            await asyncio.sleep(1)
        assert now() == pytest.approx(1)
        async with running(queue, second):
            await asyncio.sleep(1)
        assert {key for key, _ in second.handled} == {"a", "b"}

    run_virtual(main)


def test_stop_with_grace_lets_a_running_handling_end_but_starts_none() -> None:
    async def main() -> None:
        queue, handler = WorkQueue[str](), Recorder(seconds=3)
        task = asyncio.create_task(queue.run(1, handler))
        queue.add("a")
        queue.add("b")
        await asyncio.sleep(1)
        await queue.stop(grace=10)
        await task
        assert now() == pytest.approx(3)
        assert [key for key, _ in handler.handled] == ["a"]
        assert queue.depth == 1

    run_virtual(main)


def test_a_cancellation_inside_the_handler_costs_no_worker() -> None:
    async def main() -> None:
        queue = WorkQueue[str]()
        handled: list[str] = []

        async def handler(key: str) -> None:
            handled.append(key)
            if len(handled) == 1:
                raise asyncio.CancelledError

        async with running(queue, handler, workers=1):
            queue.add("a")
            await asyncio.sleep(1)
        assert handled == ["a", "a"]

    run_virtual(main)


def test_ages_tell_how_long_keys_wait_and_handlings_run() -> None:
    async def main() -> None:
        queue, handler = WorkQueue[str](), Recorder(seconds=50)
        async with running(queue, handler, workers=1):
            queue.add("a")
            queue.add("b")
            await asyncio.sleep(10)
            assert queue.oldest_age == pytest.approx(10)
            assert queue.longest_running == pytest.approx(10)
            await asyncio.sleep(100)
            assert queue.oldest_age == 0
            assert queue.longest_running == 0

    run_virtual(main)


def test_urgent_keys_go_first_and_leave_every_fourth_turn_to_the_others() -> None:
    async def main() -> None:
        queue, handler = WorkQueue[str](urgent=lambda key: key.startswith("u")), Recorder()
        for number in range(4):
            queue.add(f"o{number}")
        for number in range(7):
            queue.add(f"u{number}")
        assert queue.depth == 11
        async with running(queue, handler, workers=1):
            await asyncio.sleep(1)
        assert queue.depth == 0
        handled = [key for key, _ in handler.handled]
        assert handled == ["u0", "u1", "u2", "o0", "u3", "u4", "u5", "o1", "u6", "o2", "o3"]

    run_virtual(main)


@pytest.mark.parametrize("seed", range(30))
def test_no_change_is_ever_missed(seed: int) -> None:
    """Random adds, delays, failures, stops: in the end every key was handled after its last change."""

    async def main() -> None:
        rng = random.Random(seed)
        queue = WorkQueue[str](rng=rng, urgent=lambda key: changed[key] % 3 == 0)
        keys = [f"key-{number}" for number in range(8)]
        changed: dict[str, int] = dict.fromkeys(keys, 0)
        seen: dict[str, int] = dict.fromkeys(keys, 0)
        busy: set[str] = set()

        async def handler(key: str) -> float | None:
            assert key not in busy
            busy.add(key)
            version = changed[key]
            try:
                await asyncio.sleep(rng.choice([0, 0, 0.01, 0.5]))
                if rng.random() < 0.3:
                    raise ValueError("random failure")
            finally:
                busy.discard(key)
            seen[key] = version
            return rng.choice([None, None, 5.0])

        task = asyncio.create_task(queue.run(3, handler))
        for _ in range(300):
            key = rng.choice(keys)
            changed[key] += 1
            if rng.random() < 0.5:
                queue.add(key)
            else:
                queue.add_after(key, rng.uniform(0, 2))
            await asyncio.sleep(rng.choice([0, 0, 0.001, 0.1]))
            if rng.random() < 0.03:
                await queue.stop(grace=rng.choice([0, 0.1]))
                await task
                task = asyncio.create_task(queue.run(rng.randint(1, 4), handler))
        await asyncio.sleep(1000)
        assert seen == changed
        await queue.stop()
        await task

    run_virtual(main)


def test_delays_of_all_lengths_end_on_the_loop_that_the_operator_runs_on() -> None:
    async def main() -> None:
        left = {f"after {number / 10} ms" for number in range(100)}
        done = asyncio.Event()

        async def handle(key: str) -> None:
            left.discard(key)
            if not left:
                done.set()

        queue: WorkQueue[str] = WorkQueue()
        async with running(queue, handle):
            for number in range(100):
                queue.add_after(f"after {number / 10} ms", number / 10_000)
            await asyncio.wait_for(done.wait(), 20)

    uvloop.run(main())
