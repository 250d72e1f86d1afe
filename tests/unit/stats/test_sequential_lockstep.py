"""The bench's arrays against the operator's own code, look by look on the same random streams."""

import numpy as np
import pytest

from bench.rollback import lockstep
from bench.rollback.traffic import Kind, Traffic, counts
from penstock.domain.canary.analysis import Analysis, Worse
from penstock.domain.canary.analysis import Kind as What
from penstock.stats.sequential import harm, share
from penstock.stats.sequential.history import History
from tests.unit.stats.canary_traffic import Pod, at, reading

RUNS, LOOKS = 6, 150
TOLERANCE = 2 * LOOKS
"""Logs are rounded down to a millionth at every look; numpy's last digit may be another than math's."""

KINDS = [
    Kind(50.0, 0.05, 3, outages_per_hour=60.0),
    Kind(5.0, 0.01, 4, geometric=True, replaced_per_hour=60.0),
    Kind(0.5, 0.05, champion_pods=1),
]


@pytest.mark.parametrize("kind", KINDS)
def test_tests(kind: Kind) -> None:
    factor = np.linspace(1, 8, RUNS)
    many, proof = lockstep.Harm(RUNS, factor), lockstep.Go(factor, np.full(RUNS, 1e4), np.full(RUNS, 1e2))
    ones = [share.begin(Worse.HIGHER, (1e4, 1e2)) for _ in range(RUNS)]
    traffic = Traffic(kind, RUNS, 3)
    for look in range(1, LOOKS + 1):
        # Every second look some operators are away.
        here = np.arange(look % 2, RUNS, 1 + look % 2)
        seen = counts(*traffic.look(((0.25, 2, 0.08), (0.75, kind.champion_pods, kind.error))))
        before = (many.at - many.began).copy()
        many.observe(seen[:, here], look * 5, here)
        for run in range(RUNS):
            n1, x1, n2, y = (int(value) for value in seen[:, run])
            if run not in here:
                n1 = x1 = n2 = y = 0
            started = harm.starting(before[run], look * 5) if run in here else 0.0
            ones[run] = share.observe(ones[run], Worse.HIGHER, 0.01, (n1, x1), (n2, y), factor[run], started)
        proof.observe(np.where(np.isin(np.arange(RUNS), here), seen, 0), 0.01)
        shown = many.shown(1.0, 0.01)
        for run, one in enumerate(ones):
            assert np.abs(many.logs[:, run] - np.array(one.harm.logs)).max() <= TOLERANCE
            assert many.log_e[run] == pytest.approx(harm.log_e(one.harm, Worse.HIGHER), abs=TOLERANCE / 1e6)
            assert np.abs(many.since[:, :, run].T - np.array(one.harm.since)).max() <= 2
            assert abs(proof.log[run] - one.go[0].log) <= TOLERANCE
            assert (proof.usual_n[run], proof.usual_x[run]) == (one.go[0].usual_n, one.go[0].usual_x)
            difference = share.difference(harm.since(one.harm, Worse.HIGHER))
            expected = harm.log_e(one.harm, Worse.HIGHER) >= 1.0 and difference is not None and difference > 0.01
            assert bool(shown[run]) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_history(kind: Kind) -> None:
    many = lockstep.History(RUNS, kind.champion_pods)
    traffic = Traffic(kind, RUNS, 4)
    analyses = (Analysis("errors", What.ERRORS),)
    pods = [{f"pod-{index}": Pod() for index in range(kind.champion_pods)} for _ in range(RUNS)]
    # The first reading is where counting begins.
    ones = [History.begin(analyses).observe(reading(0, running), at(0)) for running in pods]
    for look in range(1, 900):
        ((requests, errors),) = traffic.look(((1.0, kind.champion_pods, kind.error),))
        many.observe(requests, errors)
        for run, running in enumerate(pods):
            for index, pod in enumerate(running.values()):
                pod.serve(int(requests[run, index]), int(errors[run, index]))
            ones[run] = ones[run].observe(reading(look * 5, running), at(look * 5))
    factors = many.dispersion()
    for run, one in enumerate(ones):
        assert one.dispersion("errors")[0] == pytest.approx(factors[run], rel=1e-9)
        assert one.usual("errors") == pytest.approx((many.n[run], many.x[run]), rel=1e-9)


def test_the_nearest_null() -> None:
    from penstock.domain.canary.boundary import nearest_null

    random = np.random.default_rng(1)
    shares, n1, n2 = random.random(50) * 0.5, random.integers(1, 50, 50), random.integers(0, 500, 50)
    found = lockstep.nearest_null(shares, 0.01, n1, n2)
    for index in range(50):
        assert nearest_null(shares[index], 0.01, int(n1[index]), int(n2[index])) == pytest.approx(
            (found[0][index], found[1][index]), rel=1e-12
        )
