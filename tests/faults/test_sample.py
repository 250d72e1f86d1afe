"""A little of everything, side by side: crash points, API faults, two replicas, planted bugs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from tests.faults import api_faults, replicas, seeded
from tests.faults.campaign import CORE, sampled, try_points
from tests.faults.stage import Outcome, Stage, references

POINTS = 6
SEED = 11
FAULTS = ("409 on every first write", "half-open watches", "events in the wrong order")
# Those that show at once; to be sure of what never comes takes a minute.
BUGS = ("record_after_effect", "any_record_is_ours", "stable_pointer_moves_early")


@dataclass(frozen=True)
class Sample:
    """What came of it."""

    clean: list[Outcome]
    points: list[Outcome]
    faults: list[Outcome]
    replicas: list[Outcome]
    bugs: dict[str, Outcome]


async def _play(stage: Stage) -> Sample:
    clean = await references(stage, CORE, len(CORE))
    points, faults, pairs, bugs = await asyncio.gather(
        try_points(stage, clean, sampled(clean, POINTS, SEED), 2),
        api_faults.try_cases(stage, clean, [api_faults.CASES[name] for name in FAULTS], 1),
        replicas.try_cases(stage, clean["switch"].reference, [replicas.killed_at(replicas.ROUTE)], 1),
        seeded.hunt_all(stage, clean, BUGS, 1),
    )
    return Sample(list(clean.values()), points, faults, pairs, bugs)


@pytest.fixture(scope="module")
def sample(stage: Stage) -> Sample:
    """All runs."""
    return asyncio.run(_play(stage))


def broken(outcomes: list[Outcome]) -> list[str]:
    """What was violated, and by which run."""
    return [f"{outcome.name}: {violation}" for outcome in outcomes for violation in outcome.violations]


def test_scenarios_without_faults_break_no_rule(sample: Sample) -> None:
    assert broken(sample.clean) == []


def test_death_and_lost_answers_at_a_write_change_nothing(sample: Sample) -> None:
    assert broken(sample.points) == []
    assert [outcome.name for outcome in sample.points if not outcome.reached] == []
    assert len(sample.points) == POINTS


def test_misbehaviour_of_the_api_server_changes_nothing(sample: Sample) -> None:
    assert broken(sample.faults) == []


def test_standby_takes_over_from_a_killed_leader(sample: Sample) -> None:
    assert broken(sample.replicas) == []


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bug_is_caught(sample: Sample, bug: str) -> None:
    assert seeded.is_caught(bug, sample.bugs[bug]), broken([sample.bugs[bug]])
