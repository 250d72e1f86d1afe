"""Parsing and writing of the API's types."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from penstock.api.v1alpha1 import DecisionRecord, Model, ModelRevision
from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.decisionrecord import Decision, DecisionRecordSpec, content_hash, seal
from penstock.api.v1alpha1.model import Rollout

DIGEST = "sha256:" + "0123456789abcdef" * 4
UID = "0f1e2d3c-0000-4000-8000-000000000001"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)

MINIMAL: dict[str, Any] = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "Model",
    "metadata": {"name": "a", "namespace": "n", "uid": UID, "generation": 3, "resourceVersion": "9"},
    "spec": {"artifact": {"uri": "https://example.com/m", "digest": DIGEST, "format": "ONNX"}},
}


def decision(**changes: Any) -> Decision:
    values: dict[str, Any] = {
        "model_name": "a",
        "model_uid": UID,
        "sequence": 1,
        "time": NOW,
        "actor": "operator",
        "rule": "first-revision",
        "verdict": "Start",
        "inputs": {"ready": 1},
        "result": Checkpoint(weights={"0123456789ab": 100}),
    }
    return Decision(**(values | changes))


def test_absent_parts_have_their_defaults() -> None:
    model = Model.model_validate(MINIMAL)
    assert model.metadata.uid == UID
    assert model.spec.serving.runtime == "Penstock"
    assert model.spec.serving.replicas is None
    assert model.spec.rollout.stage_deadline_seconds == 3600
    assert not model.spec.suspend
    assert model.status.observed_generation == -1


def test_fields_of_a_newer_release_are_ignored() -> None:
    newer = MINIMAL | {"spec": MINIMAL["spec"] | {"quantum": {"a": 1}}, "status": {"phase": "x"}}
    assert Model.model_validate(newer).spec == Model.model_validate(MINIMAL).spec


def test_an_unknown_value_is_refused() -> None:
    artifact = MINIMAL["spec"]["artifact"] | {"format": "Pickle"}
    with pytest.raises(ValidationError, match="'ONNX', 'Skops' or 'Custom'"):
        Model.model_validate(MINIMAL | {"spec": {"artifact": artifact}})


def test_written_json_reads_back() -> None:
    model = Model.model_validate(MINIMAL)
    assert Model.model_validate(model.as_json()) == model


@pytest.mark.parametrize(
    ("window", "full", "expected"), [(86400, None, 600), (60, None, 60), (86400, 7200, 7200), (0, None, 0)]
)
def test_full_seconds_in_force(window: int, full: int | None, expected: int) -> None:
    assert Rollout(rollback_window_seconds=window, rollback_full_seconds=full).full_seconds == expected


def test_seal_hashes_everything_but_the_hash() -> None:
    stored = seal(decision())
    assert stored["time"] == "2026-01-02T03:04:05Z"
    assert stored["modelUID"] == UID
    assert stored["hash"] == content_hash(stored)
    assert seal(decision()) == stored
    assert seal(decision(sequence=2, previous_hash=stored["hash"]))["hash"] != stored["hash"]
    assert seal(decision(inputs={"ready": 2}))["hash"] != stored["hash"]
    assert DecisionRecordSpec.model_validate(stored).as_json() == stored


def test_hash_covers_fields_that_this_release_does_not_know() -> None:
    stored = seal(decision())
    assert content_hash(stored | {"novel": 1}) != stored["hash"]


def test_hash_does_not_depend_on_the_order_of_keys() -> None:
    stored = seal(decision())
    assert content_hash(dict(reversed(stored.items()))) == stored["hash"]


def test_hash_is_the_one_of_the_canonical_form() -> None:
    # printf '{"a":"é","b":1}' | sha256sum
    assert content_hash({"b": 1, "a": "é", "hash": "x"}) == (
        "sha256:aa58fba8483623bed37c1b02edfccbdd9a53123837c20bfa4cb4049993a2872e"
    )


def test_records_and_revisions_parse() -> None:
    sealed = seal(decision())
    record = DecisionRecord.model_validate({"metadata": {"name": "a-0f1e2d3c-0000000001"}, "spec": sealed})
    assert record.spec.result.weights == {"0123456789ab": 100}
    revision = ModelRevision.model_validate(
        {
            "metadata": {"name": "a-0f1e2d3c-0123456789ab"},
            "spec": {
                "modelName": "a",
                "modelUID": UID,
                "revision": "0123456789ab",
                "specHash": DIGEST,
                "artifact": MINIMAL["spec"]["artifact"],
                "runtime": "Penstock",
                "images": {"runtime": f"r@{DIGEST}", "fetch": f"r@{DIGEST}"},
            },
        }
    )
    assert revision.spec.parent_revision is None
    assert revision.as_json()["spec"]["modelUID"] == UID
