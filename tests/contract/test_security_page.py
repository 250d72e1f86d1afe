"""docs/security.md says what the chart does, and its NetworkPolicies fit the pods they are about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.api.v1alpha1.model import ModelSpec
from penstock.api.v1alpha1.modelrevision import ModelRevisionSpec
from penstock.controllers.gates import job as gates
from penstock.controllers.model import children
from penstock.controllers.shadow import job as shadow
from tests.contract.chart import RELEASE_NAMESPACE, REPOSITORY, only, render, roles_of_the_operator
from tests.contract.manifests import CUSTOM_MODEL, DIGEST, IMAGE, MODEL, UID, changed
from tests.support.cluster import Cluster

Json = dict[str, Any]

CUSTOM_PORT = 9000
PAGE = REPOSITORY / "docs" / "security.md"
MODELS_NAMESPACE, GATEWAY_NAMESPACE = "airline", "envoy-gateway-system"
# As Envoy Gateway labels its proxies.
PROXY_LABELS = {"app.kubernetes.io/managed-by": "envoy-gateway", "app.kubernetes.io/component": "proxy"}


def sections(page: Path) -> dict[str, str]:
    """The text under each heading of the second level."""
    _, *parts = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)
    return {title: text for title, _, text in (part.partition("\n") for part in parts)}


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table, headings left out."""
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith(("|---", "| group")):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_table_of_rights_is_the_charts() -> None:
    said = set()
    for group, resources, verbs, _ in rows(sections(PAGE)["What the operator may do"]):
        for resource in resources.split(", "):
            said |= {(group.replace("core", ""), resource, verb) for verb in verbs.split(", ")}
    given = set()
    for role in roles_of_the_operator(render()):
        for rule in role["rules"]:
            name = f" ({', '.join(rule['resourceNames'])})" if "resourceNames" in rule else ""
            given |= {
                (group, resource + name, verb)
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            }
    assert said == given


VERBS = {"read": "get, list, watch", "write": "create, update, patch, delete, deletecollection"}


def test_table_of_roles_for_people_is_the_charts() -> None:
    said = set()
    for roles, resources, verbs in rows(sections(PAGE)["Roles for people"]):
        for role, resource in product(roles.split(", "), resources.split(", ")):
            said |= {(role, resource, verb) for verb in VERBS.get(verbs, verbs).split(", ")}
    objects = render()
    given = set()
    for role in objects:
        if role["kind"] == "ClusterRole" and role not in roles_of_the_operator(objects):
            for rule in role["rules"]:
                assert rule["apiGroups"] == ["penstock.dev"]
                name = role["metadata"]["name"]
                given |= {(name, *right) for right in product(rule["resources"], rule["verbs"])}
    assert said == given | {("ClusterRole", "resources", "verbs")}


def test_every_policy_has_a_row() -> None:
    told = {name for first, *_ in rows(sections(PAGE)["Admission policies"]) for name in first.split(", ")}
    made = {obj["metadata"]["name"] for obj in render() if obj["kind"] == "ValidatingAdmissionPolicy"}
    assert told - {"policy"} == made


def examples() -> list[Json]:
    """Every YAML document that the page shows."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(block) for block in blocks]


def model_template(model: Json) -> Json:
    """The pod template that the operator makes for a Model."""
    spec = ModelSpec.model_validate(model["spec"])
    custom = spec.serving.custom
    revision = ModelRevisionSpec.model_validate(
        {
            "modelName": "flight-delay",
            "modelUID": UID,
            "revision": "0123456789ab",
            "specHash": DIGEST,
            "artifact": spec.artifact.as_json(),
            "runtime": spec.serving.runtime.value,
            "images": {"runtime": custom.image if custom else IMAGE, "fetch": IMAGE},
            "custom": custom.as_json() if custom else None,
        }
    )
    environment = children.Environment("IfNotPresent", ())
    template: Json = children.deployment("flight-delay", revision, 1, children.sizing(spec), environment)["spec"][
        "template"
    ]
    return template


def job_template(labels: Json) -> Json:
    """The pod template of a Job of the operator, as far as selectors and ports go."""
    container = {"name": "x", "image": "x", "ports": [{"name": "http", "containerPort": 8080}]}
    return {
        "metadata": {"labels": {"app.kubernetes.io/managed-by": "penstock", **labels}},
        "spec": {"containers": [container]},
    }


TEMPLATES: dict[str, tuple[str, Json]] = {
    "operator": (RELEASE_NAMESPACE, only(render(), "Deployment")["spec"]["template"]),
    "builtin": (MODELS_NAMESPACE, model_template(MODEL)),
    "custom": (MODELS_NAMESPACE, model_template(changed(CUSTOM_MODEL, {"spec.serving.custom.port": CUSTOM_PORT}))),
    "proxy": (
        GATEWAY_NAMESPACE,
        {"metadata": {"labels": PROXY_LABELS}, "spec": {"containers": [{"name": "e", "image": "e"}]}},
    ),
    "evaluate": (MODELS_NAMESPACE, job_template({gates.JOB_LABEL: gates.EVALUATE})),
    "compare": (MODELS_NAMESPACE, job_template({gates.JOB_LABEL: shadow.COMPARE})),
    "stranger": (
        MODELS_NAMESPACE,
        {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}},
    ),
}


@pytest.fixture(scope="module")
def populated(cluster: Cluster) -> Cluster:
    """An API server with one pod of each template in its namespace; accounts are left out, there are none."""
    namespaces = {namespace for namespace, _ in TEMPLATES.values()}
    for name in namespaces:
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for name, (namespace, template) in TEMPLATES.items():
        metadata = {"name": name, "namespace": namespace, "labels": template["metadata"]["labels"]}
        spec = {key: value for key, value in template["spec"].items() if key != "serviceAccountName"}
        cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    return cluster


def selected(cluster: Cluster, kind: str, selector: Json, namespace: str = "") -> set[str]:
    """The names of what a label selector selects, by the API server's word."""
    terms = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "Exists"
        terms.append(expression["key"])
    found = cluster.list("v1", kind, namespace, labelSelector=",".join(terms))
    return {obj["metadata"]["name"] for obj in found}


def peers(cluster: Cluster, rules: list[Json], side: str, port: str) -> set[str]:
    """The pods that the rules with this port name as peers."""
    named: set[str] = set()
    for rule in rules:
        if port in [item["port"] for item in rule["ports"]]:
            for peer in rule[side]:
                for namespace in _namespaces(cluster, peer):
                    named |= selected(cluster, "Pod", peer.get("podSelector", {}), namespace)
    return named


def _namespaces(cluster: Cluster, peer: Json) -> set[str]:
    """A peer without a selector of namespaces is in the policy's own."""
    if "namespaceSelector" not in peer:
        return {MODELS_NAMESPACE}
    return selected(cluster, "Namespace", peer["namespaceSelector"])


def port_number(pod: str, name: str) -> int:
    """The number of a pod's port of that name."""
    containers = TEMPLATES[pod][1]["spec"]["containers"]
    (number,) = [port["containerPort"] for item in containers for port in item["ports"] if port["name"] == name]
    return int(number)


def test_operator_reaches_the_pods_of_models(populated: Cluster) -> None:
    policy = populated.create(only(render(), "NetworkPolicy"), dry_run=True)
    spec = policy["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert selected(populated, "Pod", spec["podSelector"], RELEASE_NAMESPACE) == {"operator"}
    assert peers(populated, spec["egress"], "to", "http") == {"builtin", "custom", "compare"}
    # By name, since each Model's own server may have a port of its own.
    assert (port_number("builtin", "http"), port_number("custom", "http")) == (8080, CUSTOM_PORT)
    assert [item["port"] for item in spec["ingress"][0]["ports"]] == ["http"]
    assert port_number("operator", "http") == 8080


def test_example_lets_only_gateway_and_operator_reach_the_pods_of_models(populated: Cluster) -> None:
    (policy,) = [example for example in examples() if example.get("kind") == "NetworkPolicy"]
    spec = populated.create(policy, dry_run=True)["spec"]
    assert selected(populated, "Pod", spec["podSelector"], MODELS_NAMESPACE) == {"builtin", "custom"}
    assert peers(populated, spec["ingress"], "from", "http") == {"proxy", "operator", "evaluate"}
    assert peers(populated, spec["ingress"], "from", "metrics") == {"operator", "compare"}
    assert port_number("builtin", "metrics") == children.METRICS_PORT


def test_policy_is_shaped_by_values() -> None:
    (values,) = [example for example in examples() if "networkPolicy" in example]
    spec = only(render(**values), "NetworkPolicy")["spec"]
    assert spec["ingress"][0]["from"] == values["networkPolicy"]["telemetry"]["from"]
    (gateway,) = [rule for rule in spec["egress"] if rule.get("to") == values["networkPolicy"]["gateway"]["to"]]
    assert gateway["ports"] == [{"protocol": "TCP", "port": 10080}]
    assert [obj for obj in render(networkPolicy={"enabled": False}) if obj["kind"] == "NetworkPolicy"] == []
