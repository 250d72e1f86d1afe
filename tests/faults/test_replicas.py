"""Whatever becomes of the leader, the other replica takes over and nothing is done twice."""

import asyncio

import pytest

from tests.faults.replicas import CASES, try_cases
from tests.faults.stage import Outcome, Stage, references


@pytest.fixture(scope="module")
def outcomes(stage: Stage) -> dict[str, Outcome]:
    """All cases, side by side: they wait for leases most of the time."""

    async def play() -> list[Outcome]:
        clean = await references(stage, ["switch"], 1)
        return await try_cases(stage, clean["switch"].reference, list(CASES.values()), 5)

    return dict(zip(CASES, asyncio.run(play()), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_other_replica_takes_over_and_nothing_is_done_twice(outcomes: dict[str, Outcome], name: str) -> None:
    assert [str(violation) for violation in outcomes[name].violations] == []
    assert outcomes[name].reached
