"""The Go test and the tests against a bound: means under the null exactly, wrong passes by simulation."""

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binom

from penstock.domain.canary.boundary import growth, nearest_null
from penstock.stats.sequential import absolute, go
from penstock.stats.sequential.go import Go


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.3, 0.9])
@pytest.mark.parametrize("margin", [0.005, 0.05])
@pytest.mark.parametrize(("n1", "n2"), [(3, 9), (10, 2), (6, 6)])
def test_the_mean_is_at_most_one_wherever_the_candidate_is_worse(share: float, margin: float, n1: int, n2: int) -> None:
    """Over all outcomes of both tracks, for shares on the boundary and beyond it."""
    usual = Go(0, 100_000, round(share * 100_000), 0)
    e = np.array(
        [
            [math.exp(go.observe(usual, margin, (n1, x1), (n2, x2), 1.0).log_e) for x2 in range(n2 + 1)]
            for x1 in range(n1 + 1)
        ]
    )
    for champion in (0.0, 0.0002, share, 0.2, 0.5, 0.94):
        for more in (margin, margin * 1.5, margin + 0.01):
            p1 = binom.pmf(range(n1 + 1), n1, min(1.0, champion + more))
            p2 = binom.pmf(range(n2 + 1), n2, champion)
            assert p1 @ e @ p2 <= 1 + 1e-6


@pytest.mark.parametrize(
    ("share", "margin", "n1", "n2"), [(0.001, 0.005, 5, 95), (0.05, 0.005, 50, 50), (0.4, 0.1, 3, 1)]
)
def test_the_nearest_null_is_the_one_scipy_finds(share: float, margin: float, n1: int, n2: int) -> None:
    def divergence(champion: float) -> float:
        def of(p: float, q: float) -> float:
            return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))

        return n1 * of(share, champion + margin) + n2 * of(share, champion)

    found = minimize_scalar(divergence, bounds=(1e-9, 1 - margin - 1e-9), method="bounded", options={"xatol": 1e-12})
    candidate, champion = nearest_null(share, margin, n1, n2)
    assert champion == pytest.approx(found.x, rel=1e-4)
    assert candidate == champion + margin
    assert growth(share, margin, n1 / (n1 + n2)) == pytest.approx(found.fun / n1, rel=1e-6)


@pytest.mark.parametrize("error", [0.001, 0.05])
def test_a_candidate_at_the_margin_hardly_ever_passes(error: float) -> None:
    random = np.random.default_rng(5)
    passed, runs = 0, 120
    for _ in range(runs):
        state = go.begin(1e6, 1e6 * error)
        for n1, n2 in random.poisson((25, 225), (150, 2)):
            x1, x2 = random.binomial((n1, n2), (error + 0.01, error))
            state = go.observe(state, 0.01, (int(n1), int(x1)), (int(n2), int(x2)), 1.0)
            if state.log_e >= go.THRESHOLD:
                passed += 1
                break
    assert passed / runs <= 0.05


def test_evidence_grows_as_planned() -> None:
    random = np.random.default_rng(11)
    error, margin, weight, total = 0.01, 0.005, 0.25, 0.0
    for _ in range(40):
        state = go.begin(1e6, 1e6 * error)
        for n1, n2 in random.poisson((250 * weight, 250 * (1 - weight)), (100, 2)):
            x1, x2 = random.binomial((n1, n2), error)
            state = go.observe(state, margin, (int(n1), int(x1)), (int(n2), int(x2)), 1.0)
        total += state.log_e
    assert total / 40 == pytest.approx(growth(error, margin, weight) * 250 * weight * 100, rel=0.15)


def quiet(state: Go, looks: int) -> Go:
    for look in range(looks):
        state = go.observe(state, 0.005, (12, 0), (238, look % 4 == 0), 1.0)
    return state


def test_a_shared_outage_costs_a_good_candidate_little() -> None:
    before = quiet(go.begin(1e6, 1000), 60)
    state = before
    for _ in range(12):
        state = go.observe(state, 0.005, (12, 6), (238, 119), 1.0)
    assert before.log_e - state.log_e < 4.1
    # And it goes on as if nothing had been.
    assert quiet(state, 60).log_e - state.log_e == pytest.approx(before.log_e, rel=0.2)


def test_failures_of_the_candidate_alone_cost_all_they_should() -> None:
    before = quiet(go.begin(1e6, 1000), 60)
    after = go.observe(before, 0.005, (12, 6), (238, 0), 1.0)
    assert after.log_e < before.log_e - 8


def test_what_goes_on_is_no_outage() -> None:
    state = quiet(go.begin(1e6, 1000), 10)
    for _ in range(go.PATIENCE + 200):
        state = go.observe(state, 0.05, (12, 1), (238, 12), 1.0)
    assert state.outage == 0
    assert state.usual_x / state.usual_n == pytest.approx(0.05, rel=0.2)


def test_dispersion_slows_evidence() -> None:
    fast, slow = (go.observe(go.begin(1e6, 1000), 0.005, (1000, 1), (9000, 9), factor).log_e for factor in (1.0, 8.0))
    assert 0 < slow < fast / 4


def test_json_and_back() -> None:
    state = quiet(go.begin(1e6, 1000), 3)
    assert go.from_json(json.loads(json.dumps(state.as_json()))) == state


@pytest.mark.parametrize("bound", [0.05, 0.2, 0.6])
def test_the_mean_against_a_bound_is_at_most_one(bound: float) -> None:
    for n in (1, 7, 40):
        outcomes = range(n + 1)
        harms = np.exp([absolute.log_harm(n, x, bound, 1.0) for x in outcomes])
        gos = np.exp([absolute.log_go(n, x, bound, 1.0) for x in outcomes])
        for part in (0.0, 0.5, 1.0):
            assert binom.pmf(outcomes, n, bound * part) @ harms <= 1 + 1e-9
            assert binom.pmf(outcomes, n, bound + (1 - bound) * part) @ gos <= 1 + 1e-9
        assert binom.pmf(outcomes, n, bound) @ harms == pytest.approx(1)
        assert list(harms) == sorted(harms)
        assert list(gos) == sorted(gos, reverse=True)


def test_bounds_are_decided_with_enough_requests() -> None:
    assert absolute.log_harm(60, 30, 0.2, 1.0) > 5
    assert absolute.log_go(60, 1, 0.2, 1.0) > 3
    assert absolute.log_go(60, 12, 0.2, 1.0) < 0
