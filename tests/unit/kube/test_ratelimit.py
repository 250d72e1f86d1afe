import asyncio

import pytest

from penstock.kube.ratelimit import TokenBucket
from tests.unit.kube.virtual_time import now, run_virtual


def test_burst_passes_at_once_and_the_rest_at_the_rate() -> None:
    async def main() -> list[float]:
        bucket = TokenBucket(rate=10, burst=3, clock=now)
        passed: list[float] = []

        async def caller() -> None:
            await bucket.take()
            passed.append(now())

        await asyncio.gather(*(caller() for _ in range(6)))
        return passed

    assert run_virtual(main) == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3])


def test_an_idle_bucket_fills_up_to_the_burst_only() -> None:
    async def main() -> float:
        bucket = TokenBucket(rate=10, burst=2, clock=now)
        await bucket.take()
        await asyncio.sleep(1000)
        for _ in range(3):
            await bucket.take()
        return now()

    assert run_virtual(main) == pytest.approx(1000.1)


def test_a_cancelled_wait_gives_its_token_back() -> None:
    async def main() -> float:
        bucket = TokenBucket(rate=1, burst=1, clock=now)
        await bucket.take()
        waiting = asyncio.create_task(bucket.take())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await bucket.take()
        return now()

    assert run_virtual(main) == pytest.approx(1)


def test_a_pause_holds_everybody_back_even_those_already_waiting() -> None:
    async def main() -> list[float]:
        bucket = TokenBucket(rate=1, burst=1, clock=now)
        await bucket.take()
        passed: list[float] = []

        async def caller() -> None:
            await bucket.take()
            passed.append(now())

        waiting = asyncio.create_task(caller())
        await asyncio.sleep(0.5)
        bucket.pause(10)
        await asyncio.gather(waiting, caller())
        return passed

    assert run_virtual(main) == pytest.approx([10.5, 10.5])


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_bucket_that_could_never_pass_is_refused(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="rate above 0"):
        TokenBucket(rate=rate, burst=burst)
