"""Verdicts from recorded numbers, and what is expected of a canary."""

import json
from dataclasses import replace

import pytest

from penstock.domain.canary.analysis import Analysis, AnalysisResult, Kind, Verdict, Worse
from penstock.domain.canary.judge import GUARDRAIL_LOOKS, judge, may_promote
from penstock.domain.canary.planning import outlook

QUIET = AnalysisResult(
    name="errors",
    kind=Kind.ERRORS,
    at=1_763_726_400_000,
    sources=True,
    n=1000,
    step_n=600,
    champion_n=19_000,
    champion=0.001,
    candidate=0.002,
    difference=0.001,
    lower=-0.002,
    upper=0.004,
    margin=0.005,
    step_difference=0.001,
    log_harm=-1.0,
    harm_threshold=4.094,
    log_go=1.0,
    go_threshold=2.996,
    dispersion=1.0,
    burstiness_known=True,
    champion_share=0.001,
)
GUARDRAIL = replace(QUIET, kind=Kind.GUARDRAIL, candidate=0.5, outside=0, log_go=0.0)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, Verdict.INCONCLUSIVE),
        ({"log_go": 3.0}, Verdict.PASS),
        ({"log_harm": 5.0, "step_difference": 0.006}, Verdict.FAIL),
        ({"log_harm": 5.0, "step_difference": 0.004}, Verdict.INCONCLUSIVE),
        ({"log_harm": 5.0, "step_difference": 0.006, "log_go": 3.0}, Verdict.FAIL),
        ({"log_harm": 5.0, "step_difference": 0.006, "sources": False}, Verdict.FAIL),
        ({"log_harm": 5.0, "step_difference": None}, Verdict.INCONCLUSIVE),
        ({"sources": False}, Verdict.NO_DATA),
        ({"sources": False, "log_go": 3.0}, Verdict.NO_DATA),
        ({"n": 0}, Verdict.NO_DATA),
        ({"champion_n": 0}, Verdict.NO_DATA),
        ({"log_go": float("nan")}, Verdict.NO_DATA),
        ({"log_go": float("inf")}, Verdict.NO_DATA),
        ({"log_harm": float("nan"), "log_go": 3.0}, Verdict.NO_DATA),
    ],
)
def test_verdicts(changed: dict[str, object], verdict: Verdict) -> None:
    result = replace(QUIET, **changed)  # type: ignore[arg-type]
    assert judge(result).verdict is verdict
    # Replayed from the log it is the same.
    recorded = json.loads(json.dumps(result.as_json()))
    assert judge(AnalysisResult.from_json(recorded)) == judge(result)


BROKEN = replace(QUIET, champion_broken=True, champion=0.4, absolute=0.2, log_absolute_harm=-1.0, log_absolute_go=1.0)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, Verdict.INCONCLUSIVE),
        ({"log_absolute_go": 3.0}, Verdict.PASS),
        # Not shown to be better than the champion, but that is no measure now.
        ({"log_absolute_go": 3.0, "log_go": -50.0}, Verdict.PASS),
        ({"log_go": 50.0}, Verdict.INCONCLUSIVE),
        ({"log_absolute_harm": 5.0, "step_difference": 0.1}, Verdict.FAIL),
        ({"log_absolute_harm": 5.0, "step_difference": -0.1}, Verdict.INCONCLUSIVE),
        ({"log_harm": 5.0, "step_difference": 0.1}, Verdict.INCONCLUSIVE),
        ({"log_absolute_go": 3.0, "sources": False}, Verdict.NO_DATA),
        ({"absolute": None}, Verdict.NO_DATA),
    ],
)
def test_a_broken_champion_is_no_measure(changed: dict[str, object], verdict: Verdict) -> None:
    assert judge(replace(BROKEN, **changed)).verdict is verdict  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outside", "value", "sources", "verdict"),
    [
        (0, 0.5, True, Verdict.PASS),
        (1, 0.5, True, Verdict.INCONCLUSIVE),
        (GUARDRAIL_LOOKS, 0.5, True, Verdict.FAIL),
        (GUARDRAIL_LOOKS, None, False, Verdict.FAIL),
        (0, None, False, Verdict.NO_DATA),
    ],
)
def test_a_guardrail_stops(outside: int, value: float | None, sources: bool, verdict: Verdict) -> None:
    assert judge(replace(GUARDRAIL, outside=outside, candidate=value, sources=sources)).verdict is verdict


def test_a_guardrail_is_no_evidence() -> None:
    passes = replace(QUIET, log_go=3.0)
    assert not may_promote([])
    assert not may_promote([GUARDRAIL])
    assert may_promote([passes, GUARDRAIL])
    assert not may_promote([passes, QUIET])
    assert not may_promote([passes, replace(GUARDRAIL, outside=1)])


def test_an_analysis_survives_json() -> None:
    given = Analysis("p99", Kind.LATENCY, margin=0.1 + 0.2, worse=Worse.HIGHER, quantile=0.95, maximum=1e-9)
    assert Analysis.from_json(json.loads(json.dumps(given.as_json()))) == given
    assert Analysis("errors", Kind.ERRORS).as_json() == {"name": "errors", "kind": "Errors"}


def test_the_outlook_of_the_design() -> None:
    """Margin 0.005 at 5 % of 50 req/s: minutes at 0.1 % errors, half an hour at 1 %, more than an hour at 5 %."""
    begun = replace(QUIET, n=0, step_n=0, log_go=0.0)
    minutes = []
    for share in (0.001, 0.01, 0.05):
        expected = outlook(
            replace(begun, champion_share=share),
            requests_per_second=50,
            weight_percent=5,
            min_requests=500,
            deadline_seconds=3600,
        )
        assert expected.seconds_to_requests == 200
        assert expected.seconds_to_go is not None
        minutes.append(expected.seconds_to_go / 60)
    assert 5 < minutes[0] < 10
    assert 20 < minutes[1] < 45
    assert 60 < minutes[2] < 180


def test_too_little_traffic_says_what_would_do() -> None:
    begun = replace(QUIET, n=0, step_n=0, log_go=0.0, champion_share=0.05)

    def expected(margin: float, weight: int) -> float | None:
        result = replace(begun, margin=margin)
        return outlook(
            result, requests_per_second=50, weight_percent=weight, min_requests=0, deadline_seconds=3600
        ).seconds_to_go

    found = outlook(begun, requests_per_second=50, weight_percent=5, min_requests=0, deadline_seconds=3600)
    assert found.in_time is False
    assert found.margin is not None
    assert found.weight is not None
    enough, short = expected(found.margin, 5), expected(found.margin * 0.98, 5)
    assert enough is not None
    assert short is not None
    assert enough <= 3600 < short
    by_weight, less = expected(0.005, found.weight), expected(0.005, found.weight - 1)
    assert by_weight is not None
    assert less is not None
    assert by_weight <= 3600 < less


def test_without_traffic_nothing_is_expected() -> None:
    begun = replace(QUIET, n=0, step_n=0, log_go=0.0)
    found = outlook(begun, requests_per_second=0, weight_percent=5, min_requests=500, deadline_seconds=3600)
    assert (found.seconds_to_requests, found.seconds_to_go, found.in_time) == (None, None, False)
    assert (found.margin, found.weight) == (None, None)


def test_what_is_shown_needs_no_time() -> None:
    found = outlook(
        replace(QUIET, log_go=3.0), requests_per_second=50, weight_percent=5, min_requests=500, deadline_seconds=60
    )
    assert (found.seconds_to_requests, found.seconds_to_go, found.in_time) == (0.0, 0.0, True)
