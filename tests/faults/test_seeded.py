"""The oracles find bugs: a fixed sample of those that `python -m tests.faults.seeded` plants one by one."""

import asyncio
import random

import pytest

from tests.faults.bugs import BUGS
from tests.faults.seeded import PLACES, hunt_all, is_caught
from tests.faults.stage import Outcome, Stage

SAMPLE = random.Random(4).sample(sorted(BUGS), 12)


def test_every_bug_has_a_place() -> None:
    assert PLACES.keys() == BUGS.keys()


@pytest.fixture(scope="module")
def hunted(stage: Stage, reference_runs: dict[str, Outcome], jobs: int) -> dict[str, Outcome]:
    """One run for each bug."""
    return asyncio.run(hunt_all(stage, reference_runs, SAMPLE, jobs))


@pytest.mark.parametrize("bug", SAMPLE)
def test_planted_bug_is_caught(hunted: dict[str, Outcome], bug: str) -> None:
    seen = [str(violation) for violation in hunted[bug].violations]
    assert is_caught(bug, hunted[bug]), f"{PLACES[bug].oracle} has not seen it ({PLACES[bug]}), only: {seen}"
