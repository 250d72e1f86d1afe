"""The canary's counting and tests over random traffic, pods and interruptions."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from penstock.domain.canary.analysis import Analysis, Kind, Worse
from penstock.domain.canary.boundary import LEAST, MOST, nearest_null
from penstock.domain.canary.counters import Baseline, PodCounts, Reading, Values, advance, milliseconds
from penstock.domain.canary.planning import outlook
from penstock.stats.sequential import harm
from penstock.stats.sequential.session import Session

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LOOKS = st.lists(
    st.tuples(
        # How each of three pods goes on: serves, restarts, is not seen, is replaced by a new one.
        st.tuples(*[st.sampled_from("sssssrmn")] * 3),
        st.tuples(*[st.integers(0, 50)] * 3),
        st.integers(1, 400),
    ),
    min_size=1,
    max_size=30,
)


@given(LOOKS, st.booleans())
def test_nothing_is_ever_counted_that_did_not_happen(
    looks: list[tuple[str, tuple[int, ...], int]], timed: bool
) -> None:
    """Whatever pods do and however long nobody looks; with their starting times known or not."""
    baseline, now, served, counted = Baseline(milliseconds(START)), START, 0, 0
    names = [f"pod-{slot}-0" for slot in range(3)]
    totals, started = [0, 0, 0], [START - timedelta(days=1)] * 3
    for number, (events, amounts, seconds) in enumerate(looks):
        shown: dict[str, tuple[datetime | None, Values]] = {}
        began, now = now, now + timedelta(seconds=seconds)
        for slot, (event, amount) in enumerate(zip(events, amounts, strict=True)):
            if event in "rn":
                totals[slot], started[slot] = 0, began + (now - began) / 2
            if event == "n":
                names[slot] = f"pod-{slot}-{number}"
            totals[slot] += amount
            served += amount
            if event != "m":
                shown[names[slot]] = (started[slot] if timed else None, (totals[slot], totals[slot] // 2))
        baseline, seen = advance(baseline, now, shown)
        requests, errors = seen.summed(2)
        assert 0 <= errors <= requests
        counted += int(requests)
        assert Baseline.from_json(json.loads(json.dumps(baseline.as_json()))) == baseline
    assert counted <= served


@given(
    n1=st.integers(1, 60),
    n2=st.integers(1, 60),
    data=st.data(),
    worse=st.sampled_from(Worse),
    dispersion=st.floats(1, 20),
    started=st.floats(0, 0.1),
)
def test_harm_is_no_surprise_on_average(
    n1: int, n2: int, data: st.DataObject, worse: Worse, dispersion: float, started: float
) -> None:
    """One block after any other: given its events, the mean of e is at most what it was and what has started."""
    k = data.draw(st.integers(0, n1 + n2))
    before = harm.observe(harm.begin(worse), worse, (20, data.draw(st.integers(0, 20))), (40, 9), 1.0, 0.0)
    mean = 0.0
    for x in range(max(0, k - n2), min(n1, k) + 1):
        after = harm.observe(before, worse, (n1, x), (n2, k - x), dispersion, started)
        mean += float(hypergeom.pmf(x, n1 + n2, k, n1)) * math.exp(harm.log_e(after, worse))
    assert mean <= (math.exp(harm.log_e(before, worse)) + started) * (1 + 1e-9)


@given(
    share=st.floats(LEAST, MOST),
    margin=st.floats(0.0001, 0.4),
    n1=st.integers(1, 500),
    n2=st.integers(1, 5000),
    champion=st.floats(0, 1),
    more=st.floats(0, 1),
)
def test_the_nearest_null_is_fair_to_every_other(
    share: float, margin: float, n1: int, n2: int, champion: float, more: float
) -> None:
    """The mean of its likelihood ratio is at most 1 for all candidates that are worse by the margin or more."""
    null1, null2 = nearest_null(share, margin, n1, n2)
    worst = min(champion, 1 - margin)
    candidate = worst + margin + more * (1 - worst - margin)
    mean1 = share / null1 * candidate + (1 - share) / (1 - null1) * (1 - candidate)
    mean2 = share / null2 * worst + (1 - share) / (1 - null2) * (1 - worst)
    assert n1 * math.log(max(mean1, 1e-300)) + n2 * math.log(max(mean2, 1e-300)) <= 1e-6 * (n1 + n2)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 60), st.integers(0, 5), st.integers(0, 300), st.integers(0, 5), st.sampled_from("lllrxn")
        ),
        min_size=1,
        max_size=25,
    )
)
def test_a_restarted_operator_goes_on_as_if_nothing_had_been(looks: list[tuple[int, int, int, int, str]]) -> None:
    """r: the operator restarts, x: one source is away, n: the next step begins."""
    analyses = (Analysis("errors", Kind.ERRORS), Analysis("latency", Kind.LATENCY, margin=0.2, warmup_seconds=10))
    one = other = Session.begin(analyses, 3, START)
    totals = [1000, 0, 20_000, 20]
    for index, (n1, x1, n2, x2, event) in enumerate(looks):
        now = START + timedelta(seconds=5 * index)
        for slot, more in enumerate((n1 + x1, x1, n2 + x2, x2)):
            totals[slot] += more
        new, old = (
            Reading(now, {"pod": PodCounts(None, errors, total, ((0.05, total - errors), (0.1, total)))})
            for total, errors in ((totals[0], totals[1]), (totals[2], totals[3]))
        )
        if event == "r":
            other = Session.from_json(json.loads(json.dumps(other.as_json())))
        champion = None if event == "x" else old
        one, other = (session.observe(champion, new, None, now) for session in (one, other))
        if event == "n":
            one, other = one.next_step(now), other.next_step(now)
        assert one == other
        assert one.results(None, now) == other.results(None, now)


@given(
    rate=st.floats(0.1, 500),
    weight=st.integers(1, 50),
    share=st.floats(0.0001, 0.3),
    margin=st.floats(0.001, 0.1),
    deadline=st.floats(60, 86_400),
)
@settings(deadline=None)
def test_more_traffic_or_margin_is_never_slower(
    rate: float, weight: int, share: float, margin: float, deadline: float
) -> None:
    now = START + timedelta(hours=1)
    (fresh,) = Session.begin((Analysis("errors", Kind.ERRORS, margin=margin),), 1, START).results(None, now)

    def expected(*, per_second: float, allowed: float) -> float:
        result = replace(fresh, champion_share=share, margin=allowed, sources=True)
        found = outlook(
            result, requests_per_second=per_second, weight_percent=weight, min_requests=100, deadline_seconds=deadline
        )
        assert found.seconds_to_go is not None
        assert found.in_time == (found.seconds_to_go <= deadline)
        if found.margin is not None:
            assert found.margin > allowed
        if found.weight is not None:
            assert weight <= found.weight <= 50
        return found.seconds_to_go

    usual = expected(per_second=rate, allowed=margin)
    assert expected(per_second=2 * rate, allowed=margin) <= usual
    assert expected(per_second=rate, allowed=1.5 * margin) <= usual
