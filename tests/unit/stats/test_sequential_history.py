"""How the champion's errors clump, as the operator's sums tell it."""

import json

import numpy as np
import pytest

from penstock.domain.canary.analysis import Analysis, Kind
from penstock.domain.canary.counters import PodCounts, Reading, part
from penstock.stats.sequential.dispersion import PESSIMISTIC, split
from penstock.stats.sequential.history import History
from tests.unit.stats.canary_traffic import Pod, at, reading

ANALYSES = (Analysis("errors", Kind.ERRORS), Analysis("latency", Kind.LATENCY, margin=0.2))


def fed(
    *,
    seconds: int = 7200,
    pods: int = 3,
    burst: int = 1,
    error: float = 0.01,
    outages: bool = False,
    every: int = 5,
    restart: bool = False,
    rate: float = 50,
) -> History:
    random = np.random.default_rng(pods * 100 + burst)
    running = {f"pod-{index}": Pod() for index in range(pods)}
    history = History.begin(ANALYSES)
    for look in range(seconds // every):
        for pod in running.values():
            n = int(random.poisson(rate * every / pods))
            bursts = int(random.poisson(rate * every / pods * error / burst))
            failed = int(random.binomial(n, 0.5)) if outages and look % 300 < 12 else 0
            pod.serve(n + bursts * burst, bursts * burst + failed, int(random.binomial(n, 0.01)))
        if restart and look % 100 == 99:
            history = History.from_json(json.loads(json.dumps(history.as_json())), ANALYSES)
        history = history.observe(reading(look * every, running), at(look * every))
    return history


def test_independent_errors_are_not_deflated() -> None:
    assert fed().dispersion("errors") == (1.0, True)
    assert fed(pods=1).dispersion("errors") == (1.0, True)


@pytest.mark.parametrize("pods", [1, 3])
@pytest.mark.parametrize("burst", [3, 8])
def test_the_size_of_bursts_is_found(pods: int, burst: int) -> None:
    factor, measured = fed(pods=pods, burst=burst).dispersion("errors")
    assert measured
    assert burst * 0.8 <= factor <= burst * 1.5


def behind_two_proxies(*, pods: int, burst: int, restarts: bool) -> History:
    """The history of pods whose requests two proxies share and count, with the one clump as with the other."""
    random = np.random.default_rng(pods * 100 + burst)
    history = History.begin(ANALYSES[:1])
    running = {part(f"pod-{pod}", f"envoy-{proxy}"): Pod(started_at=None) for pod in range(pods) for proxy in range(2)}
    for look in range(7200 // 5):
        for pod in range(pods):
            n, bursts = int(random.poisson(250 / pods)), int(random.poisson(250 / pods * 0.01 / burst))
            total, errors = n + bursts * burst, bursts * burst
            half, bad = int(random.binomial(n, 0.5)), int(random.binomial(errors, 0.5))
            running[part(f"pod-{pod}", "envoy-0")].serve(half + bad, bad)
            running[part(f"pod-{pod}", "envoy-1")].serve(total - half - bad, errors - bad)
        if restarts and look % 40 == 39:
            for pod in range(pods):
                running[part(f"pod-{pod}", "envoy-1")] = Pod(started_at=None)
        counts = {key: PodCounts(None, pod.errors, pod.total) for key, pod in running.items()}
        history = history.observe(Reading(at(look * 5), counts), at(look * 5))
    return history


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("pods", [1, 3])
def test_a_pod_is_one_however_many_proxies_count_it(pods: int, restarts: bool) -> None:
    history = behind_two_proxies(pods=pods, burst=8, restarts=restarts)
    factor, measured = history.dispersion("errors")
    assert measured
    assert 6.4 <= factor <= 12, "as large as the bursts"
    stream = history.streams["errors"]
    assert (stream.alone > 0) is (pods == 1)
    assert behind_two_proxies(pods=pods, burst=1, restarts=restarts).dispersion("errors") == (1.0, True)


def test_outages_of_all_pods_are_no_bursts() -> None:
    factor, _ = fed(outages=True).dispersion("errors")
    assert factor < 1.3


def test_outages_do_not_hide_bursts() -> None:
    factor, _ = fed(outages=True, burst=8).dispersion("errors")
    assert factor > 5


def test_of_one_pod_no_more_is_believed_than_without_history() -> None:
    factor, measured = fed(outages=True, pods=1).dispersion("errors")
    assert measured
    assert factor == PESSIMISTIC


def test_too_short_a_history_is_pessimistic() -> None:
    assert fed(seconds=1800).dispersion("errors") == (PESSIMISTIC, False)
    assert History.begin(ANALYSES).dispersion("errors") == (PESSIMISTIC, False)


def test_without_traffic_time_does_not_count() -> None:
    assert fed(rate=0).dispersion("errors") == (PESSIMISTIC, False)


def test_a_champion_with_hardly_an_error_is_trusted_little_by_little() -> None:
    factors = [fed(seconds=7200, error=error).dispersion("errors")[0] for error in (1e-9, 2e-5, 2e-4)]
    assert factors[0] == PESSIMISTIC
    assert factors == sorted(factors, reverse=True)
    assert 1 < factors[2] < 2


def test_readings_once_a_minute_leave_only_gaps() -> None:
    assert fed(every=60).dispersion("errors") == (PESSIMISTIC, False)


def test_restarts_keep_the_sums() -> None:
    factor, measured = fed(burst=8, restart=True).dispersion("errors")
    assert measured
    assert factor == pytest.approx(8, rel=0.3)


def test_json_is_of_fixed_size_and_stable() -> None:
    small, large = fed(seconds=3000).as_json(), fed(seconds=7200, pods=9).as_json()
    assert abs(len(json.dumps(small)) - len(json.dumps(large))) < 100
    again = History.from_json(json.loads(json.dumps(large)), ANALYSES)
    assert again.as_json() == large
    assert History.from_json(large, ()).streams == {}


def test_the_bound_for_the_quantile_is_found() -> None:
    history = fed()
    assert history.bounds["latency"].at == 0.05
    requests, slow = history.usual("latency")
    assert slow / requests == pytest.approx(0.01, rel=0.1)


def test_a_reading_that_is_not_newer_adds_nothing() -> None:
    history = fed(seconds=600)
    assert history.observe(reading(0, {"pod-0": Pod()}), at(0)) is history


def test_splits_have_the_mean_and_variance_they_say() -> None:
    random = np.random.default_rng(9)
    for k, requests in ((1, (50, 50)), (12, (100, 100, 100)), (40, (30, 30, 30, 30))):
        drawn = random.multinomial(k, [1 / len(requests)] * len(requests), size=20_000)
        found = split(requests, [int(value) for value in drawn[0]], 1000)
        assert found is not None
        squares = ((drawn - k / len(requests)) ** 2).sum(axis=1)
        assert found.expected == pytest.approx(squares.mean(), rel=0.03)
        assert found.variance == pytest.approx(squares.var(), rel=0.1, abs=1e-9)
    assert split((10, 0), (3, 0), 1) is None
    assert split((10, 10), (0, 0), 1) is None
