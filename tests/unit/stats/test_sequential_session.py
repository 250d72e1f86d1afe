"""A rollout's analyses from readings to verdicts: restarts of the operator, missing sources, all kinds of analyses."""

import json
import subprocess
import sys
from datetime import timedelta
from functools import cache

import numpy as np
import pytest

from penstock.domain.canary.analysis import Analysis, AnalysisResult, Kind, Verdict, Worse
from penstock.domain.canary.counters import UserCounts
from penstock.domain.canary.judge import judge, may_promote
from penstock.stats.sequential.history import History
from penstock.stats.sequential.session import Session
from tests.unit.stats.canary_traffic import START, Pod, at, reading

ERRORS, LATENCY = Analysis("errors", Kind.ERRORS), Analysis("latency", Kind.LATENCY, margin=0.2)
BOTH = (ERRORS, LATENCY)


@cache
def known(analyses: tuple[Analysis, ...] = BOTH, *, seconds: int = 5400, error: float = 0.001) -> History:
    """What the operator knows of a champion with two pods after some time, with 1 % of answers above 0.05 s."""
    random, pods, history = np.random.default_rng(1), {"old-1": Pod(), "old-2": Pod()}, History.begin(analyses)
    for now in range(0, seconds, 5):
        history = history.observe(reading(now, pods), at(now))
        for pod in pods.values():
            pod.serve(125, int(random.binomial(125, error)), int(random.binomial(125, 0.01)))
    return history


def rollout(
    session: Session,
    history: History | None,
    *,
    looks: int,
    error: float = 0.001,
    slow: float = 0.01,
    champion_error: float = 0.001,
    weight: float = 0.25,
    restart: tuple[int, ...] = (),
    seed: int = 2,
) -> tuple[Session, int]:
    """Look every 5 s until one fails or all pass. `restart`: looks before which the operator restarts."""
    random = np.random.default_rng(seed)
    old, new = {"old-1": Pod(), "old-2": Pod()}, {"new": Pod(at(-60))}
    for look in range(looks):
        if look in restart:
            session = Session.from_json(json.loads(json.dumps(session.as_json())))
        now = at(look * 5)
        session = session.observe(reading(look * 5, old), reading(look * 5, new), history, now)
        verdicts = {judge(result).verdict for result in session.results(history, now)}
        if Verdict.FAIL in verdicts or verdicts == {Verdict.PASS}:
            break
        for pods, share, errors, slows in ((old, 1 - weight, champion_error, 0.01), (new, weight, error, slow)):
            for pod in pods.values():
                n = int(random.poisson(250 * share / len(pods)))
                pod.serve(n, int(random.binomial(n, errors)), int(random.binomial(n, slows)))
    return session, look * 5


def verdicts(session: Session, history: History | None) -> dict[str, Verdict]:
    return {result.name: judge(result).verdict for result in session.results(history, START + timedelta(hours=1))}


def test_a_good_candidate_gets_through() -> None:
    history = known()
    session, seconds = rollout(Session.begin(BOTH, 3, START), history, looks=720, seed=3)
    assert verdicts(session, history) == {"errors": Verdict.PASS, "latency": Verdict.PASS}
    assert may_promote(session.results(history, at(seconds)))
    errors, latency = session.results(history, at(seconds))
    assert errors.n > 500
    assert errors.burstiness_known
    assert latency.slower_than == 0.05
    assert latency.champion is not None
    assert 0.02 <= latency.champion <= 0.1
    assert errors.difference is not None
    assert errors.lower is not None
    assert errors.upper is not None
    assert errors.lower < errors.difference < errors.upper


@pytest.mark.parametrize(("error", "slow", "name"), [(0.05, 0.01, "errors"), (0.001, 0.06, "latency")])
def test_a_bad_candidate_is_found(error: float, slow: float, name: str) -> None:
    history = known()
    session, seconds = rollout(Session.begin(BOTH, 3, START), history, looks=120, error=error, slow=slow)
    assert verdicts(session, history)[name] is Verdict.FAIL
    assert seconds < 300


def test_restarts_change_nothing() -> None:
    history = known()
    straight, _ = rollout(Session.begin(BOTH, 3, START), history, looks=100, error=0.003)
    restarted, _ = rollout(Session.begin(BOTH, 3, START), history, looks=100, error=0.003, restart=tuple(range(1, 100)))
    assert restarted == straight
    assert json.dumps(restarted.as_json()) == json.dumps(straight.as_json())


def test_results_survive_the_log() -> None:
    history = known()
    session, seconds = rollout(Session.begin(BOTH, 3, START), history, looks=50, champion_error=0.3)
    for result in session.results(history, at(seconds)):
        assert AnalysisResult.from_json(json.loads(json.dumps(result.as_json()))) == result


def test_the_state_is_small() -> None:
    history = known()
    session, _ = rollout(Session.begin(BOTH, 3, START), history, looks=300, error=0.003)
    for one in session.as_json()["running"].values():
        assert len(json.dumps(one, separators=(",", ":"))) < 900
    assert len(json.dumps(history.as_json(), separators=(",", ":"))) < 1600


def test_without_history_bursts_are_assumed() -> None:
    session, _ = rollout(Session.begin(BOTH, 3, START), None, looks=40)
    for result in session.results(None, at(200)):
        assert (result.dispersion, result.burstiness_known) == (8.0, False)


def test_a_missing_source_is_no_data_and_counting_catches_up() -> None:
    history = known()
    old, new = {"old": Pod()}, {"new": Pod()}
    session = Session.begin((ERRORS,), 1, START)
    session = session.observe(reading(0, old), reading(0, new), history, START)
    for seconds in range(5, 60, 5):
        old["old"].serve(200, 0)
        new["new"].serve(50, 0)
        session = session.observe(None, reading(seconds, new), history, at(seconds))
        assert verdicts(session, history) == {"errors": Verdict.NO_DATA}
    assert session.results(history, at(60))[0].n == 0
    session = session.observe(reading(60, old), reading(60, new), history, at(60))
    (result,) = session.results(history, at(60))
    assert (result.n, result.champion_n) == (550, 2200)


def test_a_broken_champion_blocks_nobody() -> None:
    history = known()
    good, _ = rollout(Session.begin((ERRORS,), 1, START), history, looks=400, champion_error=0.5)
    assert verdicts(good, history) == {"errors": Verdict.PASS}
    (result,) = good.results(history, at(0))
    assert result.champion_broken


def test_harm_begins_anew_at_each_step_and_go_goes_on() -> None:
    history = known()
    session, _ = rollout(Session.begin((ERRORS,), 3, START), history, looks=12)
    before = session.results(history, at(60))[0]
    after = session.next_step(at(60)).results(history, at(60))[0]
    assert after.log_go == before.log_go
    assert after.n == before.n
    assert after.step_n == 0
    assert after.step_difference is None
    assert after.harm_threshold > before.harm_threshold


def test_latency_waits_for_the_warm_up() -> None:
    history = known()
    session, _ = rollout(Session.begin((LATENCY,), 1, START), history, looks=6, slow=0.9)
    assert session.results(history, at(25))[0].n == 0
    session, _ = rollout(Session.begin((LATENCY,), 1, START), history, looks=60, slow=0.9)
    assert verdicts(session, history) == {"latency": Verdict.FAIL}


def test_latency_chooses_its_bound_without_history_too() -> None:
    session, _ = rollout(Session.begin((LATENCY,), 1, START), None, looks=300, slow=0.3)
    assert verdicts(session, None) == {"latency": Verdict.FAIL}
    assert session.results(None, at(0))[0].slower_than == 0.05


def user_rollout(analysis: Analysis, candidate: float, champion: float, looks: int = 300) -> Verdict:
    """A proportion, or the mean of normal values with deviation 1, read from a user's counters without any pods."""
    random = np.random.default_rng(4)
    session = Session.begin((analysis,), 1, START)
    sums = {"new": np.zeros(3), "old": np.zeros(3)}
    for look in range(looks):
        readings = []
        for name, n, value in (("old", 150, champion), ("new", 50, candidate)):
            if analysis.kind is Kind.PROPORTION:
                sums[name] += (n, random.binomial(n, value), 0)
                counts = UserCounts(None, (float(sums[name][0]), float(sums[name][1])))
            else:
                values = random.normal(value, 1, n)
                sums[name] += (n, values.sum(), (values**2).sum())
                counts = UserCounts(None, tuple(float(value) for value in sums[name]))
            readings.append(reading(look * 5, {}, {analysis.name: {"all": counts}}))
        session = session.observe(readings[0], readings[1], None, at(look * 5))
        session = Session.from_json(json.loads(json.dumps(session.as_json())))
        found = judge(session.results(None, at(look * 5))[0]).verdict
        if found in (Verdict.FAIL, Verdict.PASS):
            return found
    return found


@pytest.mark.parametrize("kind", [Kind.PROPORTION, Kind.MEAN])
@pytest.mark.parametrize(
    ("worse", "candidate", "verdict"),
    [
        (Worse.HIGHER, 0.5, Verdict.FAIL),
        (Worse.HIGHER, 0.2, Verdict.PASS),
        (Worse.LOWER, 0.2, Verdict.FAIL),
        (Worse.LOWER, 0.5, Verdict.PASS),
        (Worse.EITHER, 0.5, Verdict.FAIL),
        (Worse.EITHER, 0.2, Verdict.FAIL),
        (Worse.EITHER, 0.35, Verdict.PASS),
    ],
)
def test_user_metrics_in_every_direction(kind: Kind, worse: Worse, candidate: float, verdict: Verdict) -> None:
    analysis = Analysis("mine", kind, margin=0.1, worse=worse)
    assert user_rollout(analysis, candidate, 0.35, looks=600) is verdict


def test_a_guardrail_needs_three_looks_in_a_row() -> None:
    guard = Analysis("memory", Kind.GUARDRAIL, maximum=1.0)
    session = Session.begin((ERRORS, guard), 1, START)
    found = []
    for look, value in enumerate((0.5, 2.0, 0.5, 2.0, float("nan"), 2.0, 2.0)):
        seen = reading(
            look * 5, {"new": Pod()}, {"memory": {"a": UserCounts(None, (0.1,)), "b": UserCounts(None, (value,))}}
        )
        session = session.observe(None, seen, None, at(look * 5))
        found.append(judge(session.results(None, at(look * 5))[1]).verdict)
    waits = Verdict.INCONCLUSIVE
    assert found == [Verdict.PASS, waits, Verdict.PASS, waits, Verdict.PASS, waits, waits]
    # A guardrail takes no part of alpha from the tests.
    alone = Session.begin((ERRORS,), 1, START).results(None, START)[0]
    assert session.results(None, START)[0].harm_threshold == alone.harm_threshold


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Session.begin((), 1, START)
    with pytest.raises(ValueError, match="different names"):
        Session.begin((ERRORS, ERRORS), 1, START)


def test_the_operator_gets_no_numpy_with_it() -> None:
    code = "import sys, penstock.stats.sequential.session; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
