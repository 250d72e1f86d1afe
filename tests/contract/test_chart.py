"""The Helm chart: what it renders, what it refuses, and what its policies do on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from hack.cluster.apiserver import ApiServer
from penstock.controllers.policies import PolicyGuard
from penstock.kube.client import KubeClient
from tests.contract.chart import IMAGES, OPERATOR, helm, kinds, only, render
from tests.contract.manifests import MODEL, REVISION, record
from tests.support.cluster import CRDS, Cluster, Refused
from tests.support.policies import POLICY_KINDS, install_policies

CONTROLLERS = "system:serviceaccount:kube-system"

Json = dict[str, Any]


def test_lint() -> None:
    done = helm("lint")
    assert done.returncode == 0, done.stdout


def test_crds_are_those_of_the_repository() -> None:
    rendered = {obj["metadata"]["name"]: obj for obj in render() if obj["kind"] == "CustomResourceDefinition"}
    for path in CRDS.glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())
        assert rendered[crd["metadata"]["name"]]["spec"] == crd["spec"]
        assert rendered[crd["metadata"]["name"]]["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_parts_can_be_left_out() -> None:
    assert "CustomResourceDefinition" not in kinds(render(crds={"install": False}))
    assert "ValidatingAdmissionPolicy" not in kinds(render(policies={"install": False}))


def test_configuration_reaches_the_operator() -> None:
    gateway = {"namespace": "gw", "name": "main", "sectionName": "https", "url": "https://models.example.com"}
    config_map = only(render(gateway=gateway, insecureRegistries=["r:5000"], workers=4), "ConfigMap")
    config = json.loads(config_map["data"]["config.json"])
    assert config["gateway"] == {**gateway, "probeUrl": ""}
    assert (config["insecureRegistries"], config["workers"]) == (["r:5000"], 4)


def test_changed_configuration_restarts_the_operator() -> None:
    def checksum(**values: Any) -> str:
        template = only(render(**values), "Deployment")["spec"]["template"]
        value: str = template["metadata"]["annotations"]["checksum/config"]
        return value

    assert checksum() == checksum(resources={})
    assert checksum() != checksum(workers=3)


def test_operator_pod_is_restricted() -> None:
    pod = only(render(), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_operator_has_no_verb_on_secrets_and_no_wildcard() -> None:
    rules = [rule for obj in render() if obj["kind"] in ("ClusterRole", "Role") for rule in obj["rules"]]
    for rule in rules:
        assert "secrets" not in rule["resources"]
        assert "*" not in [*rule["resources"], *rule["verbs"], *rule["apiGroups"]]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"image": {"operator": "", "runtime": IMAGES["runtime"]}}, "image.operator is required"),
        ({"image": {"operator": IMAGES["operator"], "runtime": ""}}, "image.runtime is required"),
        ({"image": {"operator": "operator:latest", "runtime": IMAGES["runtime"]}}, "does not match pattern"),
        ({"gateway": {"nmae": "typo"}}, "nmae"),
        ({"workers": 0}, "workers"),
    ],
)
def test_wrong_values_are_refused(values: Json, says: str) -> None:
    done = helm("template", **values)
    assert done.returncode != 0
    assert says in done.stderr


@pytest.fixture(scope="module")
def guarded() -> Iterator[ApiServer]:
    """An API server of its own with CRDs and policies: they would stand in the way of the other tests."""
    with ApiServer() as server, Cluster(server.kubeconfig) as admin:
        admin.install_crds()
        install_policies(admin, render())
        yield server


@pytest.fixture
def home(guarded: ApiServer) -> Iterator[str]:
    with Cluster(guarded.kubeconfig) as admin:
        yield admin.create_namespace()


def acting_as(server: ApiServer, user: str) -> Cluster:
    """A client of that user with every right RBAC can give: what is refused, a policy refuses."""
    return Cluster(server.client_kubeconfig(user, ("system:masters",)))


def child(kind: str, namespace: str, label: str, value: str = "0123456789ab") -> Json:
    pod = {"containers": [{"name": "c", "image": "x"}]}
    labels = {label: value}
    template = {"metadata": {"labels": labels}, "spec": pod}
    versions = {"Pod": "v1", "Service": "v1", "Deployment": "apps/v1", "ReplicaSet": "apps/v1"}
    specs: dict[str, Json] = {
        "Pod": pod,
        "Service": {"ports": [{"port": 80}], "clusterIP": "None"},
        "Deployment": {"selector": {"matchLabels": labels}, "template": template},
        "ReplicaSet": {"selector": {"matchLabels": labels}, "template": template},
    }
    name = f"{kind.lower()}-x"
    return {
        "apiVersion": versions[kind],
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": specs[kind],
    }


MODEL_LABEL, REVISION_LABEL = "penstock.dev/model", "penstock.dev/revision"


@pytest.mark.parametrize(
    ("kind", "label", "writer", "sentence"),
    [
        ("Deployment", MODEL_LABEL, OPERATOR, "written by the operator alone, change the Model instead"),
        ("Service", MODEL_LABEL, OPERATOR, "written by the operator alone, change the Model instead"),
        ("ReplicaSet", REVISION_LABEL, f"{CONTROLLERS}:deployment-controller", "come from the Deployment controller"),
        ("Pod", REVISION_LABEL, f"{CONTROLLERS}:replicaset-controller", "come from the ReplicaSet controller"),
    ],
)
def test_our_children_have_one_writer(
    guarded: ApiServer, home: str, kind: str, label: str, writer: str, sentence: str
) -> None:
    obj = child(kind, home, label)
    with acting_as(guarded, "eve") as eve, acting_as(guarded, writer) as owner:
        with pytest.raises(Refused, match=sentence) as refused:
            eve.create(obj)
        assert refused.value.message.endswith("this is eve")
        plain = child(kind, home, "app")
        eve.create(plain, dry_run=True)
        owner.create(obj)
        with pytest.raises(Refused, match=sentence):
            eve.merge(obj, {"metadata": {"annotations": {"a": "b"}}})
        with pytest.raises(Refused, match=sentence):
            eve.merge(obj, {"metadata": {"labels": {label: None}}})
        eve.delete(obj)


@pytest.mark.parametrize("entry", [REVISION, record()], ids=["ModelRevision", "DecisionRecord"])
def test_records_are_written_once_by_the_operator(guarded: ApiServer, home: str, entry: Json) -> None:
    obj = {**entry, "metadata": {**entry["metadata"], "namespace": home}}
    with acting_as(guarded, "eve") as eve, acting_as(guarded, OPERATOR) as operator:
        with pytest.raises(Refused, match="written by the operator alone"):
            eve.create(obj)
        operator.create(obj)
        for user in (eve, operator):
            with pytest.raises(Refused, match="written by the operator alone"):
                user.delete(obj)
        with pytest.raises(Refused, match="written by the operator alone"):
            eve.merge(obj, {"metadata": {"labels": {"a": "b"}}})
    with acting_as(guarded, f"{CONTROLLERS}:namespace-controller") as cleaner:
        cleaner.delete(obj)


def test_status_is_written_by_the_operator(guarded: ApiServer, home: str) -> None:
    obj = {**MODEL, "metadata": {**MODEL["metadata"], "namespace": home}}
    change = {"status": {"observedGeneration": 7}}
    with acting_as(guarded, "eve") as eve, acting_as(guarded, OPERATOR) as operator:
        eve.create(obj)
        with pytest.raises(Refused, match="status is written by the operator alone"):
            eve.merge(obj, change, subresource="status")
        assert operator.merge(obj, change, subresource="status")["status"]["observedGeneration"] == 7
        eve.merge(obj, {"spec": {"suspend": True}})
        eve.delete(obj)


def test_who_may_not_make_pods_may_not_make_models(guarded: ApiServer, home: str) -> None:
    obj = {**MODEL, "metadata": {**MODEL["metadata"], "namespace": home}}
    models = {"apiGroups": ["penstock.dev"], "resources": ["models"], "verbs": ["*"]}
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}
    with Cluster(guarded.kubeconfig) as admin:
        for user, rules in (("ann", [models, pods]), ("bob", [models])):
            meta = {"name": user, "namespace": home}
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user}
            group = "rbac.authorization.k8s.io/v1"
            admin.create({"apiVersion": group, "kind": "Role", "metadata": meta, "rules": rules})
            subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
            binding = {"metadata": meta, "roleRef": role, "subjects": [subject]}
            admin.create({"apiVersion": group, "kind": "RoleBinding", **binding})
    with Cluster(guarded.client_kubeconfig("bob")) as bob, Cluster(guarded.client_kubeconfig("ann")) as ann:
        with pytest.raises(Refused, match="a Model makes pods, and bob may not create pods in namespace"):
            bob.create(obj)
        ann.create(obj)
        bob.merge(obj, {"metadata": {"labels": {"seen": "yes"}}})
        with pytest.raises(Refused, match="bob may not create pods"):
            bob.merge(obj, {"spec": {"suspend": True}})
        bob.delete(obj)


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet"])
def test_pods_of_a_model_are_counted_by_the_model(guarded: ApiServer, home: str, kind: str) -> None:
    writer = {"Deployment": OPERATOR, "ReplicaSet": f"{CONTROLLERS}:deployment-controller"}[kind]
    ours, plain = child(kind, home, REVISION_LABEL), child(kind, home, "app")
    ours["metadata"] |= {"name": "ours"}
    with acting_as(guarded, "eve") as eve, acting_as(guarded, writer) as owner:
        owner.create(ours)
        eve.create(plain)
        eve.merge(plain, {"spec": {"replicas": 3}}, subresource="scale")
        with pytest.raises(Refused, match="counted by the Model: kubectl scale model; this is eve"):
            eve.merge(ours, {"spec": {"replicas": 0}}, subresource="scale")


async def test_operator_notices_missing_and_altered_policies(guarded: ApiServer) -> None:
    told = render()
    expected = [obj for obj in yaml.safe_load_all(only(told, "ConfigMap")["data"]["policies.yaml"]) if obj]
    applied = [obj for obj in told if obj["kind"] in POLICY_KINDS]
    assert sorted(expected, key=str) == sorted(applied, key=str)
    changes: list[str] = []
    async with await KubeClient.connect(kubeconfig=guarded.kubeconfig) as client:
        guard = PolicyGuard(client, expected, lambda: changes.append("changed"))
        await guard.check()
        assert guard.wrong == ""
        with Cluster(guarded.kubeconfig) as admin:
            name = {"metadata": {"name": "penstock-pods"}}
            binding = {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingAdmissionPolicyBinding",
                **name,
            }
            policy = {**binding, "kind": "ValidatingAdmissionPolicy"}
            admin.merge(binding, {"spec": {"validationActions": ["Audit"]}})
            await guard.check()
            assert guard.wrong == "ValidatingAdmissionPolicyBinding penstock-pods was altered"
            admin.merge(binding, {"spec": {"validationActions": ["Deny"]}})
            await guard.check()
            assert guard.wrong == ""
            original = admin.get(policy)
            admin.merge(policy, {"spec": {"matchConditions": [{"name": "never", "expression": "false"}]}})
            await guard.check()
            assert guard.wrong == "ValidatingAdmissionPolicy penstock-pods was altered"
            admin.delete(policy)
            await guard.check()
            assert guard.wrong == "ValidatingAdmissionPolicy penstock-pods is missing"
            admin.create({**policy, "spec": original["spec"]})
            await guard.check()
            assert guard.wrong == ""
    assert len(changes) == 5
