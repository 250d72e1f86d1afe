"""EvaluationGates on a real API server, beside the rules that test_crds.py runs."""

from typing import Any

import pytest

from penstock.api.v1alpha1 import EvaluationGate
from tests.contract.evaluationgate_cases import FULL_GATE, GATE
from tests.contract.manifests import Json, changed
from tests.support.cluster import Cluster, Refused


def within(namespace: str, obj: Json) -> Json:
    return obj | {"metadata": obj["metadata"] | {"namespace": namespace}}


def test_a_full_one_is_stored_as_written(cluster: Cluster, namespace: str) -> None:
    stored = cluster.create(within(namespace, FULL_GATE))
    assert stored["spec"] == FULL_GATE["spec"]
    parsed = EvaluationGate.model_validate(stored)
    assert [metric.key for metric in parsed.spec.metrics] == ["roc_auc", "recall", "roc_auc.champion", "log_loss"]


def test_defaults_are_written(cluster: Cluster, namespace: str) -> None:
    sliced = changed(GATE, {"spec.metrics": [{"name": "recall", "slices": {"by": ["carrier"], "min": "0.4"}}]})
    spec = cluster.create(within(namespace, sliced))["spec"]
    assert {key: value for key, value in spec.items() if key not in ("dataset", "metrics")} == {
        "kind": "Tabular",
        "threshold": "0.5",
        "confidence": "0.95",
        "onInconclusive": "Hold",
        "timeoutSeconds": 1800,
    }
    [metric] = spec["metrics"]
    assert (metric["id"], metric["slices"]["minSamples"]) == ("", 100)


def test_status_starts_as_pending(cluster: Cluster, namespace: str) -> None:
    status = cluster.create(within(namespace, GATE))["status"]
    assert status["observedGeneration"] == -1
    [ready] = status["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "Unknown", "Pending")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spec.metrics": []}, "should have at least 1 items"),
        ({"spec.metrics": [{"name": "roc_auc", "min": "0.7"}] * 2}, "Duplicate value"),
        ({"spec.metrics": [{"name": "auc", "min": "0.7"}]}, "supported values"),
        ({"spec.kind": "Prompt"}, 'supported values: "Tabular"'),
        ({"spec.onInconclusive": "Pass"}, 'supported values: "Hold", "Fail", "RequireApproval"'),
        ({"spec.latency": {"p99Milliseconds": 0}}, "should be greater than or equal to 1"),
        ({"spec.timeoutSeconds": 29}, "should be greater than or equal to 30"),
        ({"spec.maxRows": 99}, "should be greater than or equal to 100"),
        ({"spec.fairness": {"protected": [], "metrics": []}}, "should have at least 1 items"),
        ({"spec.minimum": "x"}, 'unknown field "spec.minimum"'),
    ],
    ids=str,
)
def test_bound_refuses(cluster: Cluster, changes: dict[str, Any], message: str, namespace: str) -> None:
    with pytest.raises(Refused) as refused:
        cluster.create(within(namespace, changed(GATE, changes)), dry_run=True)
    assert message in refused.value.message
