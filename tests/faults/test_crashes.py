"""A fixed sample of the crash points; `python -m tests.faults.campaign` tries all."""

import asyncio

import pytest

from tests.faults.campaign import sampled, try_points
from tests.faults.scenarios import SCENARIOS
from tests.faults.stage import Outcome, Stage

SAMPLE = 16
SEED = 20


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario_without_faults_breaks_no_rule(reference_runs: dict[str, Outcome], scenario: str) -> None:
    assert [str(violation) for violation in reference_runs[scenario].violations] == []


def test_death_and_lost_answers_at_any_write_change_nothing(
    stage: Stage, reference_runs: dict[str, Outcome], jobs: int
) -> None:
    points = sampled(reference_runs, SAMPLE, SEED)
    outcomes = asyncio.run(try_points(stage, reference_runs, points, jobs))
    assert [f"{outcome.name}: {item}" for outcome in outcomes for item in outcome.violations] == []
    assert [outcome.name for outcome in outcomes if not outcome.reached] == []
