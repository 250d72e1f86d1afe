"""When a dataset is validated."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.featureset import FeatureSetSpec
from penstock.api.v1alpha1.featuresetstatus import FailedCheck, ValidationRun, Verdict
from penstock.domain.data.runs import Rest, Start, baseline_hash, decide, definition_hash, job_suffix
from penstock.domain.data.task import MESSAGE_BYTES, ValidationResult, decode, encode, error, task_of

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64


def spec(**changes: Any) -> FeatureSetSpec:
    content: dict[str, Any] = {
        "features": [{"name": "distance", "type": "Float64"}],
        "source": {"uri": "s3://bucket/a.parquet", "format": "Parquet"},
    }
    return FeatureSetSpec.model_validate(content | changes)


def run(verdict: Verdict, reason: str, of: FeatureSetSpec | None = None, **changes: Any) -> ValidationRun:
    values: dict[str, Any] = {
        "job": "a-validate-1",
        "definition": definition_hash(of or spec()),
        "attempt": 1,
        "trigger": "Created",
        "started": NOW - timedelta(seconds=20),
        "finished": NOW,
        "verdict": verdict,
        "reason": reason,
    }
    return ValidationRun.model_validate(values | changes)


def test_a_new_dataset_is_validated_at_once() -> None:
    assert decide(spec(), None, NOW) == Start("Created", 1, None)


def test_a_valid_one_is_left_alone() -> None:
    assert decide(spec(), run(Verdict.PASS, Reason.VALID), NOW + timedelta(days=300)) == Rest(None)


@pytest.mark.parametrize(
    "change",
    [
        {"features": [{"name": "distance", "type": "Float64", "maximum": "9"}]},
        {"features": [{"name": "distance", "type": "Float64", "maxNullFraction": "0.1"}]},
        {"source": {"uri": "s3://bucket/b.parquet", "format": "Parquet"}},
        {"validation": {"checks": {"rowCount": {"min": 5}}}},
        {"entityKey": ["id"]},
        {"timestampField": "at"},
        {"label": {"name": "late", "type": "Boolean"}},
        {"baseline": {"fromSource": True}},
    ],
    ids=str,
)
def test_what_a_validation_depends_on_repeats_it(change: dict[str, Any]) -> None:
    assert decide(spec(**change), run(Verdict.PASS, Reason.VALID), NOW) == Start("Changed", 1, None)


@pytest.mark.parametrize(
    "change",
    [
        {"features": [{"name": "distance", "type": "Float64", "description": "miles"}]},
        {"source": {"uri": "s3://bucket/a.parquet", "format": "Parquet", "freshnessSeconds": 5}},
        {"owner": {"team": "a"}},
        {"validation": {"deadlineSeconds": 60, "onFailure": "Warn"}},
    ],
    ids=str,
)
def test_what_it_does_not_depend_on_repeats_nothing(change: dict[str, Any]) -> None:
    assert decide(spec(**change), run(Verdict.PASS, Reason.VALID), NOW) == Rest(None)


def test_bad_data_is_looked_at_again_ever_more_seldom() -> None:
    pauses = []
    for attempt in range(1, 12):
        due = decide(spec(), run(Verdict.FAIL, Reason.CHECKS_FAILED, attempt=attempt), NOW)
        assert isinstance(due, Rest)
        assert due.until is not None
        pauses.append((due.until - NOW).total_seconds())
    assert pauses[:4] == [30, 60, 120, 240]
    assert max(pauses) == 1800


def test_the_next_look_is_another_attempt() -> None:
    failed = run(Verdict.FAIL, Reason.CHECKS_FAILED, attempt=3)
    assert decide(spec(), failed, NOW + timedelta(seconds=120)) == Start("Retry", 4, NOW)


def test_a_source_that_does_not_answer_is_asked_again_soon() -> None:
    due = decide(spec(), run(Verdict.ERROR, Reason.SOURCE_UNAVAILABLE), NOW)
    assert due == Rest(NOW + timedelta(seconds=10))


def test_a_schedule_repeats_a_valid_one() -> None:
    daily = spec(validation={"schedule": "0 6 * * *"})
    last = run(Verdict.PASS, Reason.VALID, daily)
    fire = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
    assert decide(daily, last, NOW) == Rest(fire)
    assert decide(daily, last, fire) == Start("Schedule", 1, fire)


def test_missed_moments_of_a_schedule_are_made_up_for_once() -> None:
    daily = spec(validation={"schedule": "0 6 * * *"})
    late = NOW + timedelta(days=10)
    first = decide(daily, run(Verdict.PASS, Reason.VALID, daily), late)
    assert isinstance(first, Start)
    again = run(Verdict.PASS, Reason.VALID, daily, started=late, finished=late)
    assert isinstance(decide(daily, again, late), Rest)


def test_a_bad_schedule_says_so() -> None:
    with pytest.raises(ValueError, match="is not a cron line"):
        decide(spec(validation={"schedule": "61 * * * *"}), None, NOW)


def test_the_same_validation_has_the_same_job() -> None:
    uid, definition = "u", definition_hash(spec())
    names = {job_suffix(uid, definition, start) for start in (Start("Retry", 2, NOW), Start("Retry", 2, NOW))}
    assert len(names) == 1
    others = [Start("Retry", 3, NOW), Start("Retry", 2, NOW + timedelta(seconds=1)), Start("Schedule", 2, NOW)]
    assert len(names | {job_suffix(uid, definition, start) for start in others}) == 4
    assert job_suffix("v", definition, Start("Retry", 2, NOW)) not in names


def test_a_baseline_of_the_source_belongs_to_that_source() -> None:
    own = {"baseline": {"fromSource": True}}
    other = {"uri": "s3://bucket/b.parquet", "format": "Parquet"}
    assert baseline_hash(spec()) is None
    assert baseline_hash(spec(**own)) != baseline_hash(spec(**own, source=other))
    fixed = {"baseline": {"dataset": {"uri": "s3://bucket/base.parquet", "format": "Parquet"}}}
    assert baseline_hash(spec(**fixed)) == baseline_hash(spec(**fixed, source=other))


def test_a_known_baseline_is_not_made_again() -> None:
    fixed = spec(baseline={"dataset": {"uri": "s3://bucket/base.parquet", "format": "Parquet"}})
    made = task_of(fixed, baseline_profile=DIGEST, store="a/b")
    assert made.baseline_profile is not None
    assert made.baseline_dataset is None
    assert task_of(fixed, baseline_profile=None, store="a/b").baseline_dataset is not None


@given(
    keys=st.lists(st.text(max_size=256), max_size=5),
    names=st.lists(st.text(min_size=1, max_size=128), max_size=40),
    message=st.text(max_size=600),
)
def test_a_termination_message_fits_and_reads_back(keys: list[str], names: list[str], message: str) -> None:
    failed = [FailedCheck(check="Range", feature=name, count=3, keys=keys) for name in names]
    result = ValidationResult(
        verdict=Verdict.FAIL, reason="ChecksFailed", message=message, digest=DIGEST, failed_checks=failed, failed=40
    )
    text = encode(result)
    assert len(text.encode()) <= MESSAGE_BYTES
    read = decode(text)
    assert read is not None
    assert read.verdict is Verdict.FAIL
    assert read.failed == 40


@pytest.mark.parametrize("text", ["", "{}", "null", '{"verdict":"Pass"}', "x" * 4000, '{"version":2,"verdict":"Pass"}'])
def test_anything_else_is_no_result(text: str) -> None:
    assert decode(text) is None


def test_an_error_is_never_a_pass() -> None:
    assert error("OutOfMemory", "x" * 5000).verdict is Verdict.ERROR
