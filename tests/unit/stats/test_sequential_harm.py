"""The Harm test: its mean under "not worse" exactly, its false alarms by simulation, and scipy's test beside it."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest, hypergeom

from penstock.domain.canary.analysis import Worse
from penstock.stats.sequential import harm
from penstock.stats.sequential.harm import Harm
from penstock.stats.sequential.nats import PER_NAT

FRESH = harm.begin(Worse.HIGHER)


def e_value(state: Harm, worse: Worse = Worse.HIGHER) -> float:
    return math.exp(harm.log_e(state, worse))


def after(state: Harm, n1: int, x: int, n2: int, y: int, *, dispersion: float = 1.0, started: float = 0.0) -> Harm:
    return harm.observe(state, Worse.HIGHER, (n1, x), (n2, y), dispersion, started)


@pytest.mark.parametrize("worse", list(Worse))
@pytest.mark.parametrize(("n1", "n2", "k"), [(5, 95, 3), (20, 80, 10), (50, 50, 40), (1, 400, 2), (7, 9, 16)])
def test_the_mean_over_all_outcomes_is_at_most_one(worse: Worse, n1: int, n2: int, k: int) -> None:
    """Equal shares: the candidate's events are hypergeometric, whatever the share is."""
    started = 0.01
    mean = 0.0
    for x in range(max(0, k - n2), min(n1, k) + 1):
        state = harm.observe(harm.begin(worse), worse, (n1, x), (n2, k - x), 1.0, started)
        mean += float(hypergeom.pmf(x, n1 + n2, k, n1)) * e_value(state, worse)
    assert mean <= (1 - harm.LATE) + started + 1e-9


@pytest.mark.parametrize(("n1", "n2", "k"), [(5, 95, 3), (50, 50, 12)])
def test_of_rare_events_the_mean_is_one(n1: int, n2: int, k: int) -> None:
    """Where events are rare the hypergeometric is a binomial, and nothing is given away."""
    share = n1 / (n1 + n2)
    mean = sum(
        math.comb(k, x) * share**x * (1 - share) ** (k - x) * e_value(after(FRESH, n1, x, n2, k - x))
        for x in range(k + 1)
    )
    assert mean == pytest.approx(1 - harm.LATE, abs=1e-5)


@pytest.mark.parametrize("burst", [3, 8])
def test_bursts_as_large_as_the_dispersion_count_as_one(burst: int) -> None:
    share, bursts = 0.05, 4
    mean = sum(
        math.comb(bursts, z)
        * share**z
        * (1 - share) ** (bursts - z)
        * e_value(after(FRESH, 50, z * burst, 950, (bursts - z) * burst, dispersion=burst))
        for z in range(bursts + 1)
    )
    assert mean == pytest.approx(1 - harm.LATE, abs=1e-5)


def test_all_that_starts_late_adds_to_what_waits() -> None:
    moments = np.linspace(0, 1e9, 100_000)
    parts = [harm.starting(a, b) for a, b in pairwise(moments)]
    assert sum(parts) == pytest.approx(harm.LATE, abs=1e-6)
    # In one block or in many: a gap changes nothing.
    assert harm.starting(10, 70) == pytest.approx(sum(harm.starting(t, t + 5) for t in range(10, 70, 5)))
    assert harm.starting(5, 3) == 0


@pytest.mark.parametrize("k", [3, 10, 40])
def test_evidence_is_never_more_than_the_exact_binomial_test_has(k: int) -> None:
    """1 / e is a p-value for any number of looks; that of one look, by scipy, is never larger."""
    for n1, n2 in ((50, 950), (250, 750), (500, 500)):
        for x in range(k + 1):
            exact = binomtest(x, k, n1 / (n1 + n2), alternative="greater").pvalue
            assert exact <= 1 / e_value(after(FRESH, n1, x, n2, k - x)) + 1e-9


def test_what_is_plain_to_the_exact_test_is_found() -> None:
    for n1, n2, x, k in ((50, 950, 8, 10), (250, 750, 30, 40), (500, 500, 90, 110), (5000, 5000, 700, 1200)):
        assert binomtest(x, k, n1 / (n1 + n2), alternative="greater").pvalue < 1e-6
        assert harm.log_e(after(FRESH, n1, x, n2, k - x), Worse.HIGHER) > harm.threshold(0, 0, 2, 0, 3)


def test_more_errors_of_the_candidate_are_more_evidence() -> None:
    found = [harm.log_e(after(FRESH, 50, x, 950, 10 - x), Worse.HIGHER) for x in range(11)]
    assert found == sorted(found)
    lower = [
        harm.log_e(harm.observe(harm.begin(Worse.LOWER), Worse.LOWER, (500, x), (500, 40 - x), 1, 0), Worse.LOWER)
        for x in range(41)
    ]
    assert lower == sorted(lower, reverse=True)


def test_no_events_and_one_track_only_say_nothing() -> None:
    for counts in ((100, 0, 100, 0), (100, 5, 0, 0), (0, 0, 100, 5)):
        assert after(FRESH, *counts).logs == FRESH.logs


def test_a_shared_outage_of_any_size_is_no_evidence() -> None:
    state = after(FRESH, 125, 62, 2375, 1188)
    assert harm.log_e(state, Worse.HIGHER) < 1


@pytest.mark.parametrize(("weight", "worse"), [(0.05, Worse.HIGHER), (0.5, Worse.EITHER)])
def test_looking_often_does_not_raise_the_false_alarms(weight: float, worse: Worse) -> None:
    """With the operator's code: 150 rollouts of 150 looks, rolled back at any of them; allowed is 1 in 20."""
    random = np.random.default_rng(7)
    bound, alarms, runs = -math.log(0.05), 0, 150
    for _ in range(runs):
        state, most = harm.begin(worse), -math.inf
        requests = random.poisson((250 * weight, 250 * (1 - weight)), (150, 2))
        events = random.binomial(requests, 0.01)
        for look, ((n1, n2), (x, y)) in enumerate(zip(requests, events, strict=True)):
            started = harm.starting(look * 5, look * 5 + 5)
            state = harm.observe(state, worse, (int(n1), int(x)), (int(n2), int(y)), 1.0, started)
            most = max(most, harm.log_e(state, worse))
        alarms += most >= bound
    assert alarms / runs <= 0.05


def test_a_fault_is_found_hours_after_the_step_began() -> None:
    """Three quiet hours at 50 % must not be held against the first bad minute."""
    state, seconds = FRESH, 0
    for _ in range(3 * 720):
        state = after(state, 125, 0, 125, seconds % 40 == 0, started=harm.starting(seconds, seconds + 5))
        seconds += 5
    for _ in range(6):
        state = after(state, 125, 6, 125, 0, started=harm.starting(seconds, seconds + 5))
        seconds += 5
    assert harm.log_e(state, Worse.HIGHER) > harm.threshold(0, 0, 2, 1, 3)
    n1, x, n2, y = harm.since(state, Worse.HIGHER)
    # How bad it is, is told by that minute, not by the three hours.
    assert x / n1 - y / n2 > 0.02


def test_a_small_difference_is_measured_over_all_of_its_time() -> None:
    random = np.random.default_rng(3)
    state, seconds = FRESH, 0
    for _ in range(720):
        x, y = (int(count) for count in random.binomial(1250, (0.056, 0.05)))
        state = after(state, 1250, x, 1250, y, started=harm.starting(seconds, seconds + 5))
        seconds += 5
    assert harm.log_e(state, Worse.HIGHER) > 10
    n1, x, n2, y = harm.since(state, Worse.HIGHER)
    assert n1 / harm.PER_COUNT > 500_000
    assert x / n1 - y / n2 == pytest.approx(0.006, abs=0.002)


@pytest.mark.parametrize(("analyses", "errors", "steps"), [(1, 0, 1), (2, 0, 3), (3, None, 4), (5, 2, 10)])
def test_the_parts_of_alpha_add_to_it(analyses: int, errors: int | None, steps: int) -> None:
    parts = [
        math.exp(-harm.threshold(analysis, errors, analyses, step, steps))
        for analysis in range(analyses)
        for step in range(steps)
    ]
    assert sum(parts) == pytest.approx(harm.ALPHA)


def test_json_and_back() -> None:
    state = after(after(FRESH, 50, 3, 950, 1, started=0.001), 40, 0, 960, 2, started=0.001)
    assert harm.from_json(json.loads(json.dumps(state.as_json()))) == state
    assert all(isinstance(log, int) and abs(log) < 100 * PER_NAT for log in state.logs)
