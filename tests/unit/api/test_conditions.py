"""Conditions: stable transition times, stable order, sentences without holes."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from penstock.api.v1alpha1.conditions import (
    MESSAGE_LIMIT,
    SENTENCES,
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    describe,
    find_condition,
    set_condition,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE


def ready(status: ConditionStatus, reason: Reason = Reason.SERVING) -> list[Condition]:
    return set_condition([], ConditionType.READY, status, reason, "m", generation=1, now=NOW)


def test_same_status_keeps_the_transition_time() -> None:
    [condition] = set_condition(
        ready(FALSE), ConditionType.READY, FALSE, Reason.CRASH_LOOP, "other", generation=2, now=LATER
    )
    assert condition.last_transition_time == NOW
    assert (condition.reason, condition.message, condition.observed_generation) == ("CrashLoop", "other", 2)


def test_other_status_moves_the_transition_time() -> None:
    [condition] = set_condition(ready(FALSE), ConditionType.READY, TRUE, Reason.SERVING, "m", generation=1, now=LATER)
    assert condition.last_transition_time == LATER


def test_nothing_new_is_equal() -> None:
    before = ready(TRUE)
    assert set_condition(before, ConditionType.READY, TRUE, Reason.SERVING, "m", generation=1, now=LATER) == before


def test_input_stays_as_it_was() -> None:
    before = ready(TRUE)
    set_condition(before, ConditionType.READY, FALSE, Reason.UNAVAILABLE, "m", generation=1, now=LATER)
    assert before == ready(TRUE)


def test_order_is_that_of_the_types_and_strangers_come_last() -> None:
    stranger = Condition(type="Novel", status=TRUE, last_transition_time=NOW, reason="New", message="")
    conditions = [stranger]
    for type_ in reversed(ConditionType):
        conditions = set_condition(conditions, type_, TRUE, Reason.PENDING, "m", generation=1, now=NOW)
    assert [condition.type for condition in conditions] == [*(type_.value for type_ in ConditionType), "Novel"]


def test_times_are_whole_seconds_in_utc() -> None:
    local = datetime(2026, 1, 2, 4, 4, 5, 999_999, tzinfo=timezone(timedelta(hours=1)))
    [condition] = set_condition([], ConditionType.READY, TRUE, Reason.SERVING, "m", generation=1, now=local)
    assert condition.as_json() == {
        "type": "Ready",
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
        "reason": "Serving",
        "message": "m",
    }


def test_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="timezone"):
        set_condition([], ConditionType.READY, TRUE, Reason.SERVING, "m", generation=1, now=NOW.replace(tzinfo=None))


def test_long_message_is_cut() -> None:
    [condition] = set_condition([], ConditionType.READY, TRUE, Reason.SERVING, "x" * 5000, generation=1, now=NOW)
    assert len(condition.message) == MESSAGE_LIMIT
    assert condition.message.endswith("x…")


def test_find() -> None:
    assert find_condition(ready(TRUE), "Ready") == ready(TRUE)[0]
    assert find_condition(ready(TRUE), "Stalled") is None


def test_every_reason_has_a_sentence() -> None:
    assert SENTENCES.keys() == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_sentences(reason: Reason) -> None:
    for sentence in (describe(reason), describe(reason, revision="0123456789ab")):
        assert sentence[0].isupper()
        assert not set(sentence) & set("{}\n")
        assert not sentence.endswith(".")


def test_detail_is_one_clean_line_and_never_a_template() -> None:
    message = describe(Reason.LOAD_FAILED, revision="0123456789ab", detail="bad\n\x1b[31m {subject}  node\u202e")
    assert message == (
        "The model server cannot load revision 0123456789ab; see the logs of its pods (bad [31m {subject} node)"
    )
