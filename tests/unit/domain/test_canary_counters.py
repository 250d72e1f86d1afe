"""Counting between readings of raw counters: restarts, pods that come and go, missed readings."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from penstock.domain.canary.counters import (
    REMEMBERED_SECONDS,
    Baseline,
    Values,
    advance,
    milliseconds,
    part,
    per_pod,
    pod_key,
)

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
BEFORE = START - timedelta(days=1)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


Looks = Sequence[tuple[float, Mapping[str, tuple[datetime | None, Values]]]]


def counted(*readings: tuple[float, Mapping[str, tuple[datetime | None, Values]]]) -> list[Values]:
    """The counts of all pods together after each reading."""
    baseline, found = Baseline(milliseconds(START)), []
    for seconds, pods in readings:
        baseline, seen = advance(baseline, at(seconds), pods)
        found.append(seen.summed(2))
        # What is kept over a restart of the operator is all there is.
        assert Baseline.from_json(json.loads(json.dumps(baseline.as_json()))) == baseline
    return found


def test_counts_are_differences_and_the_first_reading_is_where_they_begin() -> None:
    assert counted((0, {"a": (BEFORE, (100, 7))}), (5, {"a": (BEFORE, (130, 8))})) == [(0, 0), (30, 1)]


def test_a_counter_that_went_down_begins_anew() -> None:
    readings: Looks = [(0, {"a": (None, (100, 7))}), (5, {"a": (None, (20, 1))}), (10, {"a": (None, (25, 1))})]
    assert counted(*readings) == [(0, 0), (20, 1), (5, 0)]


def test_errors_that_went_down_show_a_restart_that_the_total_hides() -> None:
    assert counted((0, {"a": (None, (10, 7))}), (5, {"a": (None, (12, 0))}))[1] == (12, 0)


def test_a_restart_that_the_counts_hide_is_seen_by_its_time() -> None:
    assert counted((0, {"a": (BEFORE, (10, 1))}), (60, {"a": (at(30), (500, 2))}))[1] == (500, 2)


def test_a_pod_that_started_during_the_test_counts_from_zero() -> None:
    old = (BEFORE, (100, 0))
    assert counted((0, {"a": old}), (5, {"a": old, "b": (at(2), (40, 3))}))[1] == (40, 3)


def test_a_pod_that_is_older_than_the_test_begins_where_it_is_first_seen() -> None:
    old = (BEFORE, (100, 0))
    readings: Looks = [
        (0.0, {"a": old}),
        (5.0, {"a": old, "b": (BEFORE, (40, 3))}),
        (10.0, {"a": old, "b": (BEFORE, (45, 3))}),
    ]
    assert counted(*readings) == [(0, 0), (0, 0), (5, 0)]


def test_a_pod_of_unknown_age_begins_where_it_is_first_seen() -> None:
    old = (BEFORE, (100, 0))
    assert counted((0, {"a": old}), (5, {"a": old, "b": (None, (40, 3))}))[1] == (0, 0)


def test_a_missed_scrape_neither_loses_nor_doubles_counts() -> None:
    pod = at(1)
    readings: Looks = [
        (0, {"b": (BEFORE, (0, 0))}),
        (5, {"a": (pod, (10, 1)), "b": (BEFORE, (0, 0))}),
        (10, {"b": (BEFORE, (0, 0))}),
        (15, {"a": (pod, (25, 1)), "b": (BEFORE, (0, 0))}),
    ]
    assert counted(*readings) == [(0, 0), (10, 1), (0, 0), (15, 0)]


def test_a_pod_that_was_gone_for_long_never_counts_its_past_twice() -> None:
    pod, other = at(1), (BEFORE, (0, 0))
    baseline = Baseline(milliseconds(START))
    total = 0
    for seconds in range(0, 2 * REMEMBERED_SECONDS, 5):
        shown = {"b": other} | ({"a": (pod, (100, 0))} if seconds in (5, 2 * REMEMBERED_SECONDS - 5) else {})
        baseline, seen = advance(baseline, at(seconds), shown)
        total += int(seen.summed(2)[0])
    assert total == 100


def test_pods_that_are_gone_are_forgotten_in_the_end() -> None:
    baseline = Baseline(milliseconds(START))
    for replaced in range(200):
        baseline, _ = advance(baseline, at(replaced * 30), {f"pod-{replaced}": (at(replaced * 30 - 5), (10, 0))})
    assert len(baseline.pods) <= REMEMBERED_SECONDS // 30 + 2


def test_a_reading_that_is_not_newer_counts_nothing() -> None:
    first = {"a": (BEFORE, (10, 0))}
    assert counted((0, first), (0, {"a": (BEFORE, (20, 0))}), (5, {"a": (BEFORE, (30, 0))})) == [
        (0, 0),
        (0, 0),
        (20, 0),
    ]


def test_time_between_readings_tells_a_gap() -> None:
    baseline, first = advance(Baseline(milliseconds(START)), at(0), {"a": (BEFORE, (0, 0))})
    baseline, near = advance(baseline, at(5), {"a": (BEFORE, (1, 0))})
    _, far = advance(baseline, at(65), {"a": (BEFORE, (5, 0))})
    assert (first.gap(), near.gap(), far.gap()) == (True, False, True)
    assert not far.gap(interval=30)
    assert far.summed(2) == (4, 0)


def test_sums_of_a_mean_may_go_down_but_their_count_not() -> None:
    assert counted((0, {"a": (None, (10, 5.5))}), (5, {"a": (None, (12, 4.0))}))[1] == (2, -1.5)
    assert counted((0, {"a": (None, (10, 5.5))}), (5, {"a": (None, (3, 9.0))}))[1] == (3, 9.0)


def test_what_two_proxies_counted_of_a_pod_is_put_together_behind_their_restarts() -> None:
    one, other, alone = part("a", "envoy-1"), part("a", "envoy-2"), part("b", "envoy-2")
    first = {one: (None, (100, 7)), other: (None, (50, 1)), alone: (None, (9, 9))}
    # The first proxy has begun anew, the other has not: their sum, 70, is less than before.
    second = {one: (None, (10, 2)), other: (None, (60, 1)), alone: (None, (10, 9))}
    baseline, _ = advance(Baseline(milliseconds(START)), at(0), first)
    baseline, seen = advance(baseline, at(5), second)
    together = per_pod(seen, second)
    assert together.pods == {pod_key("a"): (20, 2), pod_key("b"): (1, 0)}
    assert (together.seconds, together.summed(2)) == (5.0, seen.summed(2))
    # A proxy that is not seen is missing on its own.
    _, seen = advance(baseline, at(10), {other: (None, (61, 1))})
    assert per_pod(seen, {other: ()}).pods == {pod_key("a"): (1, 0)}
