"""What a Model's children look like."""

from __future__ import annotations

import json
from typing import Any

from penstock.api.v1alpha1.model import ModelSpec
from penstock.api.v1alpha1.modelrevision import ModelRevisionSpec
from penstock.controllers.model import children, names

Json = dict[str, Any]

DIGEST = f"sha256:{'0' * 64}"
IMAGE = f"registry.example.com/runtime@{DIGEST}"
UID = "0f1e2d3c-0000-4000-8000-000000000001"
ARTIFACT = {"uri": "oci://registry.example.com/m:1", "digest": DIGEST, "format": "ONNX"}
ENVIRONMENT = children.Environment("IfNotPresent", ())


def revision(**changes: Any) -> ModelRevisionSpec:
    base = {
        "modelName": "flight",
        "modelUID": UID,
        "revision": "aaaaaaaaaaaa",
        "specHash": DIGEST,
        "artifact": ARTIFACT,
        "runtime": "Penstock",
        "images": {"runtime": IMAGE, "fetch": IMAGE},
    }
    return ModelRevisionSpec.model_validate(base | changes)


def size(**serving: Any) -> str:
    return children.sizing(ModelSpec.model_validate({"artifact": ARTIFACT, "serving": serving}))


def deployment(spec: ModelRevisionSpec, **serving: Any) -> Json:
    return children.deployment("flight", spec, 2, size(**serving), ENVIRONMENT)


def test_names_keep_two_lives_of_one_model_apart() -> None:
    assert names.record_name("flight", UID, 7) == "flight-0f1e2d3c-0000000007"
    assert names.revision_name("flight", UID, "aaaaaaaaaaaa") == "flight-0f1e2d3c-aaaaaaaaaaaa"


def test_sequence_of_an_object() -> None:
    def bears(value: str) -> Json:
        return {"metadata": {"annotations": {names.SEQUENCE_ANNOTATION: value}}}

    assert names.sequence_of(bears("12")) == 12
    assert names.sequence_of(bears("-1")) == 0
    assert names.sequence_of({"metadata": {}}) == 0


def test_pods_are_selected_by_what_their_template_bears() -> None:
    made = deployment(revision())
    labels = made["spec"]["template"]["metadata"]["labels"]
    for selector in (
        made["spec"]["selector"]["matchLabels"],
        children.revision_service("flight", "aaaaaaaaaaaa", 8080)["spec"]["selector"],
        children.model_service("flight", "aaaaaaaaaaaa", 8080)["spec"]["selector"],
    ):
        assert selector == names.selector("flight", "aaaaaaaaaaaa")
        assert selector.items() <= labels.items()


def test_pods_meet_the_restricted_standard() -> None:
    pod = deployment(revision())["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod["initContainers"], *pod["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_size_and_placement_come_from_the_size_alone() -> None:
    made = deployment(
        revision(),
        resources={"requests": {"memory": "2Gi"}},
        pod={"nodeSelector": {"pool": "ml"}, "terminationGracePeriodSeconds": 90},
    )
    pod = made["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"] == {"requests": {"memory": "2Gi"}}
    assert (pod["nodeSelector"], pod["terminationGracePeriodSeconds"]) == ({"pool": "ml"}, 90)
    kept = made["metadata"]["annotations"][names.SIZING_ANNOTATION]
    assert children.deployment("flight", revision(), 2, kept, ENVIRONMENT) == made


def test_size_is_canonical_text() -> None:
    first = size(resources={"limits": {"memory": "1Gi", "cpu": "1"}})
    assert first == size(resources={"limits": {"cpu": "1", "memory": "1Gi"}})
    assert json.loads(first)["resources"] == {"limits": {"cpu": "1", "memory": "1Gi"}}


def test_own_server_gets_its_own_port_arguments_and_variables() -> None:
    custom = {"port": 9000, "protocol": "V2", "args": ["serve"], "env": [{"name": "A", "value": "b"}]}
    spec = revision(runtime="Custom", custom=custom)
    assert children.server_port(spec) == 9000
    server = deployment(spec)["spec"]["template"]["spec"]["containers"][0]
    assert server["args"] == ["serve"]
    assert {"name": "A", "value": "b"} in server["env"]
    assert [port["containerPort"] for port in server["ports"]] == [9000]


def test_a_feature_schema_is_a_file_for_every_container() -> None:
    feature = {"name": "distance", "type": "Float64"}
    features = {"featureSet": "flights", "generation": 1, "schemaDigest": DIGEST, "features": [feature]}
    template = deployment(revision(features=features))["spec"]["template"]
    told = json.loads(template["metadata"]["annotations"][names.FEATURES_ANNOTATION])
    assert [item["name"] for item in told["features"]] == ["distance"]
    (volume,) = [item for item in template["spec"]["volumes"] if item["name"] == "features"]
    assert names.FEATURES_ANNOTATION in volume["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"]
    for container in [*template["spec"]["initContainers"], *template["spec"]["containers"]]:
        assert children.FEATURES_DIR in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_a_revision_without_features_keeps_the_template_it_had() -> None:
    template = deployment(revision())["spec"]["template"]
    assert list(template["metadata"]["annotations"]) == [names.DIGEST_ANNOTATION]
    assert "features" not in [item["name"] for item in template["spec"]["volumes"]]
