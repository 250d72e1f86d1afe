"""The oracles find bugs: each one that is planted is caught."""

import asyncio

import pytest

from tests.faults.bugs import BUGS
from tests.faults.campaign import Outcome, Stage
from tests.faults.seeded import PLACES, hunt_all, is_caught


@pytest.fixture(scope="module")
def hunted(stage: Stage, reference_runs: dict[str, Outcome], jobs: int) -> dict[str, Outcome]:
    """All bugs, one run each."""
    return asyncio.run(hunt_all(stage, reference_runs, list(PLACES), jobs))


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bug_is_caught(hunted: dict[str, Outcome], bug: str) -> None:
    seen = [str(violation) for violation in hunted[bug].violations]
    assert is_caught(bug, hunted[bug]), f"{PLACES[bug].oracle} has not seen it ({PLACES[bug]}), only: {seen}"
