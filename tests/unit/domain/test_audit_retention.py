"""What is exported when, and what may leave the cluster: never what a present decision rests on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.audit.retention import (
    BLOCKED_ABOVE,
    KEPT_NEWEST,
    KEPT_YOUNG,
    MAX_OPEN,
    MAX_SEGMENT,
    export_blocked,
    moment,
    prunable,
    segments_due,
    unexported,
)
from tests.unit.domain.audit_given import walk

Json = dict[str, Any]

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LATER = BEGIN + timedelta(days=400)


def record(number: int, result: Json, after: timedelta = timedelta()) -> Json:
    time = (BEGIN + after).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"sequence": number, "time": time, "result": {"rejected": [], "previous": [], **result}}


def under_way(revision: str, entered: int) -> Json:
    return {"candidate": {"revision": revision, "entered": entered, "cites": 0}}


def life(rollouts: int, *, quarantined: tuple[str, ...] = (), last: str = "stable") -> list[Json]:
    """A log in which each rollout takes three records: started, promoting, stable."""
    records: list[Json] = []
    for index in range(rollouts):
        revision, first = f"r{index}", 3 * index + 1
        before = {"stable": f"r{index - 1}", "stableSince": first - 1} if index else {}
        kept = [{"revision": which, "quarantined": True, "at": "x"} for which in quarantined if int(which[1:]) < index]
        way = under_way(revision, first) | before
        done = {"stable": revision, "stableSince": first + 2}
        for number, result in ((first, way), (first + 1, way), (first + 2, done)):
            records.append(record(number, {**result, "rejected": kept}))
    return records[:-1] if last == "open" else records


def numbers(parts: list[list[Json]]) -> list[list[int]]:
    return [[item["sequence"] for item in part] for part in parts]


def test_closed_rollouts_are_due_one_by_one() -> None:
    assert numbers(segments_due(life(3), 0)) == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert numbers(segments_due(life(3), 3)) == [[4, 5, 6], [7, 8, 9]]
    assert numbers(segments_due(life(3), 9)) == []


def test_a_rollout_that_goes_on_waits_unless_its_model_is_gone() -> None:
    assert numbers(segments_due(life(3, last="open"), 0)) == [[1, 2, 3], [4, 5, 6]]
    assert numbers(segments_due(life(3, last="open"), 0, gone=True)) == [[1, 2, 3], [4, 5, 6], [7, 8]]


def test_a_rollout_without_an_end_does_not_block_its_log() -> None:
    records = [record(number, under_way("a", 1)) for number in range(1, 2 * MAX_OPEN + 50)]
    parts = segments_due(records, 0)
    assert [len(part) for part in parts] == [MAX_SEGMENT, MAX_SEGMENT]
    assert segments_due(records[: MAX_OPEN - 1], 0) == []


def test_the_newest_stay() -> None:
    records = life(40)
    gone = prunable(records, 120, LATER)
    assert gone == list(range(1, 120 - KEPT_NEWEST + 1))
    assert prunable(records, 10, LATER) == list(range(1, 11))
    assert prunable(records, 0, LATER) == []
    assert prunable(records, 120, BEGIN + KEPT_YOUNG - timedelta(seconds=1)) == []
    assert prunable([], 0, LATER) == []


def test_what_an_open_quarantine_rests_on_stays_with_everything_after_it() -> None:
    records = life(40, quarantined=("r5",))
    assert prunable(records, 120, LATER) == list(range(1, 16))
    assert prunable(records, 120, LATER, gone=True) == list(range(1, 16))


def test_what_the_stable_revision_rests_on_stays() -> None:
    records = life(5)
    idle = {"stable": "r4", "stableSince": 15}
    records += [record(number, idle) for number in range(16, 100)]
    assert prunable(records, 99, LATER) == list(range(1, 13))
    kept = {**idle, "previous": [{"revision": "r2", "sequence": 9}]}
    records.append(record(100, kept))
    assert prunable(records, 100, LATER) == list(range(1, 7))


def test_only_the_last_try_of_the_stable_revision_holds_records_back() -> None:
    first = [record(1, under_way("a", 1)), record(2, {"stable": "a", "stableSince": 2})]
    again = [
        record(3, {**under_way("b", 3), "stable": "a", "stableSince": 2}),
        record(4, {"stable": "b", "stableSince": 4}),
        record(5, {**under_way("a", 5), "stable": "b", "stableSince": 4}),
        record(6, {"stable": "a", "stableSince": 6}),
    ]
    idle = [record(number, {"stable": "a", "stableSince": 6}) for number in range(7, 60)]
    assert prunable([*first, *again, *idle], 59, LATER) == [1, 2, 3, 4]


def test_a_candidate_under_way_keeps_its_records() -> None:
    records = [*life(2), *(record(number, {**under_way("c", 7), "stable": "r1"}) for number in range(7, 90))]
    assert max(prunable(records, 89, LATER)) == 3


def test_nothing_of_a_model_that_is_gone_is_kept_for_ever() -> None:
    records = life(4)
    assert prunable(records, 12, LATER, gone=True) == list(range(1, 13))


def test_export_is_blocked_above_the_limit() -> None:
    assert not export_blocked(BLOCKED_ABOVE, None)
    assert export_blocked(BLOCKED_ABOVE + 1, None)
    assert not export_blocked(BLOCKED_ABOVE + 1, 1)
    assert unexported(5, 9) == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 11), data=st.data())
def test_parts_of_any_life_are_the_log_in_order(seed: int, data: st.DataObject) -> None:
    records = walk(seed, 200)
    exported = data.draw(st.integers(0, len(records)))
    gone = data.draw(st.booleans())
    parts = segments_due(records, exported, gone=gone)
    flat = [item["sequence"] for part in parts for item in part]
    assert flat == list(range(exported + 1, exported + 1 + len(flat)))
    assert all(part and len(part) <= MAX_SEGMENT for part in parts)
    if gone or records[-1]["result"].get("candidate") is None:
        assert exported + len(flat) == len(records)
    else:
        entered = records[-1]["result"]["candidate"]["entered"]
        assert exported + len(flat) <= max(exported, entered - 1)


@settings(max_examples=250, deadline=None)
@given(seed=st.integers(0, 11), data=st.data())
def test_what_may_leave_is_old_exported_and_nothing_rests_on_it(seed: int, data: st.DataObject) -> None:
    whole = walk(seed, 200)
    records = whole[: data.draw(st.integers(1, len(whole)))]
    exported = data.draw(st.integers(0, len(records)))
    hours = data.draw(st.integers(0, 24 * 30))
    gone = data.draw(st.booleans())
    now = moment(records[-1]) + timedelta(hours=hours)
    found = prunable(records, exported, now, gone=gone)
    assert found == list(range(1, len(found) + 1))
    head = records[-1]["result"]
    for spec in records[: len(found)]:
        assert spec["sequence"] <= exported
        assert now - moment(spec) >= KEPT_YOUNG
        if not gone:
            assert spec["sequence"] <= records[-1]["sequence"] - KEPT_NEWEST
    left = {spec["sequence"] for spec in records[len(found) :]}
    if not gone:
        cited = [head.get("stableSince", 0), *(item["sequence"] for item in head["previous"])]
        candidate = head.get("candidate")
        cited += [candidate["cites"], candidate["entered"]] if candidate else []
        assert {number for number in cited if number} <= left
    for item in head["rejected"]:
        if item["quarantined"]:
            without = [spec["sequence"] for spec in records if item not in spec["result"]["rejected"]]
            assert max(without) + 1 in left, "the record by which it was quarantined, for the last time"


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 11), exported=st.integers(0, 100))
def test_it_never_takes_back_what_it_let_go(seed: int, exported: int) -> None:
    """After pruning, the same rules let go of no more: nothing depends on the order of runs."""
    records = walk(seed, 200)
    now = moment(records[-1]) + timedelta(days=30)
    gone = prunable(records, exported, now)
    assert prunable(records[len(gone) :], exported, now) == []
