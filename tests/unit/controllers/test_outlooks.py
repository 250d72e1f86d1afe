"""Whether a canary gets through in time is said early, with what would help."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from penstock.api.v1alpha1.analysis import default_analysis
from penstock.api.v1alpha1.checkpoint import CandidateState, Plan
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.api.v1alpha1.rollout import Canary, Step
from penstock.controllers.model import measures
from penstock.controllers.model.outlooks import look_ahead
from penstock.domain.canary.analysis import AnalysisResult
from penstock.domain.canary.counters import PodCounts, Reading
from penstock.stats.sequential.history import History
from penstock.stats.sequential.session import Session

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ANALYSES = measures.analyses(default_analysis(), 0)


def candidate(weight: int = 50, min_requests: int = 0) -> CandidateState:
    canary = Canary(steps=[Step(weight=weight, min_requests=min_requests)])
    plan = Plan(canary=canary, stage_deadline_seconds=3600)
    return CandidateState(revision="0" * 12, stage=Stage.CANARY, since=BEGAN, applied_at=BEGAN, plan=plan, entered=1)


def results(per_second: float, seconds: int, weight: int = 50) -> tuple[AnalysisResult, ...]:
    """What the real tests say after so many seconds of traffic without an error."""
    session, history = Session.begin(ANALYSES, 1, BEGAN), History.begin(ANALYSES)
    for passed in range(0, seconds + 1, 5):
        now = BEGAN + timedelta(seconds=passed)
        mine = round(per_second * passed * weight / 100)
        others = round(per_second * passed * (100 - weight) / 100)
        champion = Reading(now, {"a": PodCounts(None, 0, others)})
        session = session.observe(champion, Reading(now, {"b": PodCounts(None, 0, mine)}), history, now)
    return session.results(history, BEGAN + timedelta(seconds=seconds))


def ahead(per_second: float, seconds: int, state: CandidateState) -> tuple[datetime | None, str]:
    now = BEGAN + timedelta(seconds=seconds)
    return look_ahead(results(per_second, seconds), state, BEGAN + timedelta(hours=1), now)


def test_ten_requests_an_hour_are_too_little_and_it_is_said_at_once() -> None:
    expected, said = ahead(10 / 3600, 60, candidate(min_requests=500))
    assert "never" in said
    assert expected is None


def test_too_slow_a_stream_names_when_it_would_be_done() -> None:
    expected, said = ahead(0.2, 600, candidate(min_requests=1000))
    assert expected is not None
    assert expected > BEGAN + timedelta(hours=1)
    assert "60 requests in 600 s at 50 % of the traffic" in said


def test_enough_traffic_has_an_end_in_sight_and_no_complaint() -> None:
    expected, said = ahead(50, 120, candidate(min_requests=6000))
    assert said == ""
    assert expected is not None
    assert BEGAN + timedelta(seconds=120) < expected < BEGAN + timedelta(hours=1)


@pytest.mark.parametrize("seconds", [0, 10])
def test_nothing_is_said_before_the_rate_is_known(seconds: int) -> None:
    assert ahead(0.01, seconds, candidate(min_requests=500)) == (None, "")
