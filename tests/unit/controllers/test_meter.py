"""When numbers count as missing: after readings that failed, not after a time without readings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.controllers.model.meter import LOST_SECONDS, Meter, remembered
from penstock.domain.canary.counters import PodCounts, Reading
from penstock.stats.sequential.history import History

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LONG = timedelta(seconds=LOST_SECONDS + 1)


def fresh() -> Meter:
    tracks: Any = None
    return Meter(tracks, (), History())


def test_before_the_first_reading_nothing_can_be_told() -> None:
    assert fresh().sighted(NOW) is None


def test_failed_readings_count_from_the_first_one_on() -> None:
    meter = fresh()
    meter.measured(NOW)
    assert meter.sighted(NOW) is True
    meter.failed(NOW + timedelta(seconds=5))
    meter.failed(NOW + LONG)
    assert meter.sighted(NOW + LONG) is None
    assert meter.sighted(NOW + timedelta(seconds=5) + LONG) is False
    meter.measured(NOW + 2 * LONG)
    assert meter.sighted(NOW + 2 * LONG) is True


def test_a_process_that_stood_still_has_lost_nothing() -> None:
    meter = fresh()
    meter.measured(NOW)
    assert meter.sighted(NOW + timedelta(hours=1)) is None


def test_a_history_in_another_form_begins_anew() -> None:
    forms: tuple[dict[str, Any], ...] = (
        {"streams": []},
        {"histogram": [["x"]]},
        {"streams": {"errors": None}},
        {"bounds": 3},
    )
    for shown in forms:
        assert remembered(("ns", "m"), shown, ()) == History.begin(())


def test_only_traffic_makes_a_history_worth_keeping() -> None:
    meter = fresh()
    for total, busy in ((10, False), (10, False), (11, True), (11, True)):
        meter.counted(Reading(NOW, {"pod": PodCounts(None, 0, total)}))
        assert meter.busy is busy
