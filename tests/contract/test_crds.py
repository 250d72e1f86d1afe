"""Every rule of the CRDs against a real API server."""

import json
from typing import Any

import pytest
import rfc8785
import yaml

from penstock.api.v1alpha1 import Model
from penstock.api.v1alpha1.decisionrecord import content_hash
from tests.contract.action_cases import ACTION_CASES
from tests.contract.crd_cases import BOUNDS, MODEL_CASES, OPERATOR_CASES, Case
from tests.contract.evaluationgate_cases import GATE_CASES
from tests.contract.featureset_cases import FEATURE_SET_CASES, TYPE_IS_KEPT
from tests.contract.manifests import ABSENT, CUSTOM_MODEL, DIGEST, FULL_MODEL, MODEL, REVISION, Json, changed, record
from tests.contract.metricsource_cases import METRIC_SOURCE_CASES
from tests.contract.rollout_cases import ROLLOUT_CASES
from tests.support.cluster import CRDS, Cluster, Refused

CASES = [
    *MODEL_CASES,
    *OPERATOR_CASES,
    *FEATURE_SET_CASES,
    *METRIC_SOURCE_CASES,
    *ACTION_CASES,
    *GATE_CASES,
    *ROLLOUT_CASES,
]
IMMUTABLE = "spec is immutable: create another object instead"


def within(namespace: str, obj: Json) -> Json:
    if obj["kind"] == "MetricSource":
        return obj
    return obj | {"metadata": obj["metadata"] | {"namespace": namespace}}


def refusal(cluster: Cluster, obj: Json) -> str:
    with pytest.raises(Refused) as refused:
        cluster.create(obj, dry_run=True)
    return refused.value.message


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_rule_accepts(cluster: Cluster, case: Case) -> None:
    for changes in case.good:
        cluster.create(within("default", changed(case.base, changes)), dry_run=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_rule_refuses_with_its_sentence(cluster: Cluster, case: Case) -> None:
    for changes in case.bad:
        assert case.message in refusal(cluster, within("default", changed(case.base, changes))), changes


@pytest.mark.parametrize(("path", "value", "message"), BOUNDS, ids=lambda value: str(value)[:40])
def test_bound_refuses(cluster: Cluster, path: str, value: Any, message: str) -> None:
    base = CUSTOM_MODEL if path.startswith("spec.serving.custom") else MODEL
    assert message in refusal(cluster, within("default", changed(base, {path: value})))


def test_every_rule_has_a_case() -> None:
    tested = {case.message for case in CASES} | {IMMUTABLE, TYPE_IS_KEPT}
    assert _messages() == tested


def _messages() -> set[str]:
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            found.update(rule["message"] for rule in node.get("x-kubernetes-validations", []))
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    for path in CRDS.glob("*.yaml"):
        walk(yaml.safe_load(path.read_text()))
    return found


def test_full_model_is_stored_as_written(cluster: Cluster, namespace: str) -> None:
    stored = cluster.create(within(namespace, FULL_MODEL))
    assert stored["spec"] == FULL_MODEL["spec"]
    parsed = Model.model_validate(stored)
    assert parsed.spec.serving.resources.limits == {"cpu": "2", "memory": "1Gi"}
    assert parsed.spec.model_dump(by_alias=True, exclude_none=True)["rollout"] == FULL_MODEL["spec"]["rollout"]


def test_only_meaningful_defaults_are_written(cluster: Cluster, namespace: str) -> None:
    assert cluster.create(within(namespace, MODEL))["spec"] == MODEL["spec"]
    opened = changed(CUSTOM_MODEL, {"metadata.name": "opened", "spec.rollout": {}, "spec.route": {}})
    stored = cluster.create(within(namespace, opened))["spec"]
    assert stored["serving"]["custom"]["protocol"] == "V2"
    assert stored["route"] == {}
    assert stored["rollout"] == {
        "onMissingEvidence": "Hold",
        "stageDeadlineSeconds": 3600,
        "rollbackWindowSeconds": 86400,
        "warmReplicas": 1,
    }


@pytest.fixture
def plain_user(api_server: Any, cluster: Cluster, namespace: str) -> Any:
    cluster.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "owner", "namespace": namespace},
            "rules": [{"apiGroups": ["penstock.dev"], "resources": ["models"], "verbs": ["create", "get", "update"]}],
        }
    )
    cluster.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "owner", "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "owner"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}],
        }
    )
    with Cluster(api_server.client_kubeconfig("alice")) as client:
        yield client


def test_status_starts_as_pending_for_a_plain_user(plain_user: Cluster, namespace: str) -> None:
    forged = within(namespace, MODEL) | {"status": {"observedGeneration": 7, "replicas": 5}}
    status = plain_user.create(forged)["status"]
    assert status["observedGeneration"] == -1
    assert "replicas" not in status
    [ready] = status["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "Unknown", "Pending")


def test_status_is_a_subresource(plain_user: Cluster, cluster: Cluster, namespace: str) -> None:
    model = plain_user.create(within(namespace, MODEL))
    with pytest.raises(Refused, match="cannot patch resource") as refused:
        plain_user.merge(model, {"status": {"url": "http://a"}}, "status")
    assert refused.value.status == 403
    assert cluster.merge(model, {"status": {"url": "http://a"}}, "status")["status"]["url"] == "http://a"


def test_scale(cluster: Cluster, namespace: str) -> None:
    model = cluster.create(within(namespace, changed(MODEL, {"spec.serving": {"replicas": 2}})))
    cluster.merge(model, {"status": {"replicas": 2, "selector": "penstock.dev/model=flight-delay"}}, "status")
    scale = cluster.get(model, "scale")
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 2, "selector": "penstock.dev/model=flight-delay"}
    cluster.merge(model, {"spec": {"replicas": 3}}, "scale")
    assert cluster.get(model)["spec"]["serving"]["replicas"] == 3
    with pytest.raises(Refused, match="should be greater than or equal to 1"):
        cluster.merge(model, {"spec": {"replicas": 0}}, "scale")


def test_scale_of_a_model_that_names_no_size(cluster: Cluster, namespace: str) -> None:
    model = cluster.create(within(namespace, MODEL))
    cluster.merge(model, {"spec": {"replicas": 2}}, "scale")
    assert cluster.get(model)["spec"]["serving"] == {"replicas": 2, "runtime": "Penstock"}


@pytest.mark.parametrize(
    "changes",
    [
        {"spec.parentRevision": "ffffffffffff"},
        {"spec.parentRevision": ABSENT},
        {"spec.custom.env": [{"name": "A", "value": "c"}]},
        {"spec.custom.args": []},
    ],
)
def test_revision_is_immutable(cluster: Cluster, namespace: str, changes: Json) -> None:
    stored = cluster.create(within(namespace, REVISION))
    with pytest.raises(Refused) as refused:
        cluster.replace(changed(stored, changes))
    assert IMMUTABLE in refused.value.message
    labelled = cluster.replace(changed(stored, {"metadata.labels": {"a": "b"}}))
    shown = cluster.merge(labelled, {"status": {"stage": "Stable", "reason": "Serving"}}, "status")
    assert shown["spec"] == REVISION["spec"]


@pytest.mark.parametrize(
    "changes",
    [
        {"spec.verdict": "Stop"},
        {"spec.inputs.ready.count": 3},
        {"spec.inputs.ready.more": True},
        {"spec.inputs": ABSENT},
        {"spec.result.weights": {"0123456789ab": 100}},
        {"spec.hash": DIGEST},
    ],
)
def test_record_is_immutable(cluster: Cluster, namespace: str, changes: Json) -> None:
    stored = cluster.create(within(namespace, record()))
    with pytest.raises(Refused) as refused:
        cluster.replace(changed(stored, changes))
    assert IMMUTABLE in refused.value.message


def test_hash_survives_the_api_server(cluster: Cluster, namespace: str) -> None:
    inputs = {
        "null": None,
        "empty": [{}, [], ""],
        "text": 'é€😀 \u2028 "\\ <&>',
        "large": 2**53 - 1,
        "numbers": [0.1, 1.0, 1e21, 1e-7, -0.0, 123456789.125],
        "deep": {"a": {"b": {"c": [1, {"d": False}]}}},
    }
    sent = record(2, inputs=inputs)
    stored = cluster.create(within(namespace, sent))
    assert content_hash(stored["spec"]) == sent["spec"]["hash"]
    assert rfc8785.dumps(stored["spec"]) == rfc8785.dumps(sent["spec"])


def test_records_of_a_model_are_found_by_field(cluster: Cluster, namespace: str) -> None:
    cluster.create(within(namespace, record(1)))
    cluster.create(within(namespace, record(2)))
    uid = record()["spec"]["modelUID"]
    found = cluster.list("penstock.dev/v1alpha1", "DecisionRecord", namespace, fieldSelector=f"spec.modelUID={uid}")
    assert [item["spec"]["sequence"] for item in found] == [1, 2]
    assert not cluster.list(
        "penstock.dev/v1alpha1", "DecisionRecord", namespace, fieldSelector="spec.modelName=another"
    )


def test_crds_fit_a_client_side_apply() -> None:
    for path in CRDS.glob("*.yaml"):
        assert len(json.dumps(yaml.safe_load(path.read_text()))) < 200 * 1024
