"""Every misbehaviour of the API server ends as if there had been none."""

import asyncio

import pytest

from tests.faults.api_faults import CASES, try_cases
from tests.faults.stage import Outcome, Stage


@pytest.fixture(scope="module")
def outcomes(stage: Stage, reference_runs: dict[str, Outcome]) -> dict[str, Outcome]:
    """All cases, side by side: they are slow because they wait."""
    cases = list(CASES.values())
    found = asyncio.run(try_cases(stage, reference_runs, cases, len(cases)))
    return {case.name: outcome for case, outcome in zip(cases, found, strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_end_is_the_same_and_no_rule_is_broken(outcomes: dict[str, Outcome], name: str) -> None:
    assert [str(violation) for violation in outcomes[name].violations] == []
    assert outcomes[name].reached
