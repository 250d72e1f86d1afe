"""When a revision is evaluated."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock.api.v1alpha1.featureset import FeatureSet
from penstock.domain.gates.holdout import Rows, Unusable, rows_of
from penstock.domain.gates.runs import Attempt, Recorded, Reuse, Start, Target, Wait, decide, gate_hash, job_suffix
from penstock.domain.gates.verdict import GateVerdict, Verdict
from penstock.domain.gates.view import disagreement_of
from tests.unit.domain.gates_given import CHAMPION, DIGEST, OTHER, REVISION, gate

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TARGET = Target(REVISION, gate_hash(gate()), DIGEST)
PASSED = GateVerdict(Verdict.PASS, "GatePassed", "")


def broken(reason: str) -> GateVerdict:
    return GateVerdict(Verdict.ERROR, reason, "", again=True)


def attempt(verdict: GateVerdict | None, number: int = 1, **changes: Any) -> Attempt:
    finished = None if verdict is None else NOW
    return replace(Attempt(TARGET, number, NOW - timedelta(seconds=20), finished, verdict=verdict), **changes)


def test_a_revision_that_nothing_is_known_of_is_evaluated() -> None:
    assert decide(TARGET, [], None, NOW) == Start(1)


def test_a_running_job_is_waited_for() -> None:
    assert decide(TARGET, [], attempt(None), NOW) == Wait(None, "Evaluating")


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.NO_DATA])
def test_what_a_job_found_is_not_asked_again(verdict: Verdict) -> None:
    """The seed is the same: asking again would be fishing for another answer."""
    said = GateVerdict(verdict, "x", "")
    assert decide(TARGET, [], attempt(said), NOW + timedelta(days=30)) == Reuse()
    recorded = Recorded(TARGET, 1, verdict)
    assert decide(TARGET, [recorded], None, NOW) == Reuse(recorded)


@pytest.mark.parametrize(
    "other",
    [replace(TARGET, revision=CHAMPION), replace(TARGET, spec_hash=OTHER), replace(TARGET, dataset_digest=OTHER)],
)
def test_a_result_about_something_else_is_not_used(other: Target) -> None:
    assert decide(TARGET, [Recorded(other, 3, Verdict.PASS)], None, NOW, made=3) == Start(4)
    assert decide(TARGET, [], attempt(PASSED, 2, target=other), NOW) == Start(3)
    assert decide(TARGET, [], attempt(None, 2, target=other), NOW) == Start(3)


def test_an_error_is_no_result() -> None:
    assert decide(TARGET, [Recorded(TARGET, 1, Verdict.ERROR)], None, NOW, made=1) == Start(2)


def test_not_applicable_is_enough_only_without_a_champion() -> None:
    recorded = Recorded(TARGET, 1, Verdict.NOT_APPLICABLE)
    assert decide(TARGET, [recorded], None, NOW, has_champion=False) == Reuse(recorded)
    assert decide(TARGET, [recorded], None, NOW, made=1) == Start(2)


@pytest.mark.parametrize(
    ("reason", "number", "seconds"),
    [
        ("SourceUnavailable", 1, 10),
        ("WrongRevision", 3, 40),
        ("EvaluationError", 9, 300),
        ("OutOfMemory", 1, 30),
        ("SourceNotFound", 20, 1800),
        ("SomethingNew", 10_000, 1800),
    ],
)
def test_errors_are_tried_again_after_a_growing_pause(reason: str, number: int, seconds: int) -> None:
    last = attempt(broken(reason), number)
    again = NOW + timedelta(seconds=seconds)
    assert decide(TARGET, [], last, again - timedelta(seconds=1)) == Wait(again, reason)
    assert decide(TARGET, [], last, again) == Start(min(number + 1, 10_000))


def test_how_a_job_is_run_is_no_part_of_the_evidence() -> None:
    same = gate(timeoutSeconds=60, resources={"limits": {"memory": "8Gi"}})
    assert gate_hash(same) == gate_hash(gate())
    for changes in ({"confidence": "0.9"}, {"maxRows": 100}, {"threshold": "0.4"}, {"onInconclusive": "Fail"}):
        assert gate_hash(gate(**changes)) != gate_hash(gate())


def test_a_job_is_named_after_what_it_is_about() -> None:
    one = job_suffix("uid", "holdout", TARGET, 1)
    assert one == job_suffix("uid", "holdout", TARGET, 1)
    others = {
        job_suffix("other", "holdout", TARGET, 1),
        job_suffix("uid", "other", TARGET, 1),
        job_suffix("uid", "holdout", replace(TARGET, dataset_digest=OTHER), 1),
        job_suffix("uid", "holdout", TARGET, 2),
    }
    assert len(others | {one}) == 5


class TestHoldout:
    def feature_set(self, **changes: Any) -> FeatureSet:
        valid = changes.pop("valid", {"status": "True", "reason": "Valid"})
        condition = {"type": "Valid", "message": "m", "lastTransitionTime": "2026-03-01T12:00:00Z"} | valid
        current = {
            "summary": "s",
            "definition": DIGEST,
            "verdict": "Pass",
            "reason": "Valid",
            "at": "2026-03-01T12:00:00Z",
            "digest": DIGEST,
        }
        return FeatureSet.model_validate(
            {
                "kind": "FeatureSet",
                "metadata": {"name": "holdout", "namespace": "airline", "generation": 2},
                "spec": {
                    "features": [{"name": "distance", "type": "Float64"}],
                    "label": {"name": "late", "type": "Boolean"},
                    "source": {
                        "uri": "s3://bucket/a.parquet",
                        "format": "Parquet",
                        "credentialsSecretRef": {"name": "bucket"},
                    },
                }
                | changes.pop("spec", {}),
                "status": {"observedGeneration": 2, "conditions": [condition], "current": current} | changes,
            }
        )

    def test_a_feature_sets_rows_have_the_digest_that_was_validated(self) -> None:
        rows = rows_of(gate(), self.feature_set())
        assert isinstance(rows, Rows)
        assert (rows.dataset.digest, rows.digest, rows.label.column) == (DIGEST, DIGEST, "late")
        assert rows.dataset.credentials_secret_ref is not None

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"observedGeneration": 1}, "HoldoutPending"),
            ({"conditions": []}, "HoldoutPending"),
            ({"valid": {"status": "Unknown", "reason": "Validating"}}, "HoldoutPending"),
            ({"current": None}, "HoldoutPending"),
            ({"valid": {"status": "False", "reason": "ChecksFailed"}}, "HoldoutNotValid"),
            ({"valid": {"status": "Unknown", "reason": "SourceNotFound"}}, "HoldoutNotValid"),
            ({"spec": {"label": None}}, "LabelMissing"),
        ],
    )
    def test_rows_that_are_not_known_to_be_right_are_not_used(self, changes: dict[str, Any], reason: str) -> None:
        found = rows_of(gate(), self.feature_set(**changes))
        assert isinstance(found, Unusable)
        assert found.reason.value == reason

    def test_data_that_only_warns_may_be_used(self) -> None:
        failed = {"status": "False", "reason": "ChecksFailed"}
        rows = rows_of(gate(), self.feature_set(valid=failed, spec={"validation": {"onFailure": "Warn"}}))
        assert isinstance(rows, Rows)

    def test_a_feature_set_that_is_missing(self) -> None:
        found = rows_of(gate(), None)
        assert isinstance(found, Unusable)
        assert found.reason.value == "HoldoutMissing"

    def test_rows_by_uri(self) -> None:
        place = {"uri": "pvc://data/holdout.csv", "format": "CSV", "digest": DIGEST}
        rows = rows_of(gate(dataset=place, label={"column": "late", "positiveClass": "yes"}), None)
        assert isinstance(rows, Rows)
        assert (rows.digest, rows.label.positive_class, rows.label.type) == (DIGEST, "yes", None)


def test_what_the_log_keeps_of_a_disagreement_is_read_back() -> None:
    found = disagreement_of({"n": 1000, "labelFlips": 34, "meanAbsoluteDifference": "0.034", "p95": "0.1"})
    assert found is not None
    assert (found.n, found.label_flips, found.mean_absolute_difference, found.p95) == (1000, 34, 0.034, 0.1)
    assert disagreement_of(None) is None
    assert disagreement_of({"n": 5}) is None
    assert disagreement_of({"n": "x", "labelFlips": 1}) is None
