"""A real API server with the chart's policies and roles, and users as RBAC knows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hack.cluster.apiserver import ApiServer
from tests.contract.chart import OPERATOR, render
from tests.contract.manifests import changed
from tests.support.cluster import Cluster, Refused
from tests.support.policies import install_policies

Json = dict[str, Any]

RBAC = "rbac.authorization.k8s.io"
NAMESPACE_CONTROLLER = "system:serviceaccount:kube-system:namespace-controller"
# What binds a user to roles of the chart. `system:aggregate-to-edit` is what makes Kubernetes' own role `edit`; the
# controller that would put penstock-edit into it does not run here.
EDITOR = ("penstock-edit", "penstock-view", "system:aggregate-to-edit")
USERS = {
    "ann": (*EDITOR, "penstock-approver"),
    "bob": EDITOR,
    "cat": ("penstock-operator-on-call",),
    "dan": (*EDITOR, "penstock-relaxer", "penstock-operator-on-call"),
    "pat": ("penstock-edit", "penstock-view"),
}


@pytest.fixture(scope="module")
def installed() -> Iterator[ApiServer]:
    """An API server with everything of the chart that says who may do what, and users bound to its roles."""
    with ApiServer() as server, Cluster(server.kubeconfig) as admin:
        admin.install_crds()
        parts = render()
        for obj in parts:
            if obj["kind"] == "ClusterRole":
                admin.create(obj)
        for user, roles in USERS.items():
            for role in roles:
                bind(admin, user, role)
        install_policies(admin, parts)
        yield server


def answer(client: Cluster, obj: Json) -> str:
    """What the server says to a creation, empty if it would do it."""
    try:
        client.create(obj, dry_run=True)
    except Refused as refused:
        return refused.message
    return ""


def bind(admin: Cluster, user: str, role: str) -> None:
    """Give a user a ClusterRole everywhere."""
    admin.create(
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{user}-{role}".replace(":", "-")},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": user, "apiGroup": RBAC}],
        }
    )


@pytest.fixture
def home(installed: ApiServer) -> Iterator[str]:
    """A namespace of the test's own."""
    with Cluster(installed.kubeconfig) as admin:
        yield admin.create_namespace()


@pytest.fixture(scope="module")
def people(installed: ApiServer) -> Iterator[dict[str, Cluster]]:
    """A client for each user, the administrator and the operator."""
    clients = {user: Cluster(installed.client_kubeconfig(user)) for user in USERS}
    clients["admin"] = Cluster(installed.kubeconfig)
    for name, user in (("operator", OPERATOR), ("namespace controller", NAMESPACE_CONTROLLER)):
        clients[name] = Cluster(installed.client_kubeconfig(user, ("system:masters",)))
    yield clients
    for client in clients.values():
        client.__exit__()


def placed(namespace: str, base: Json, changes: Json | None = None) -> Json:
    """The manifest with changes, in a namespace."""
    return changed(base, {"metadata.namespace": namespace, **(changes or {})})


def update_of(client: Cluster, obj: Json) -> Json:
    """The manifest as a change of the object that is there now."""
    version = client.get(obj)["metadata"]["resourceVersion"]
    return changed(obj, {"metadata.resourceVersion": version})


GATE: Json = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "EvaluationGate",
    "metadata": {"name": "holdout"},
    "spec": {"dataset": {"featureSetRef": {"name": "flights"}}, "metrics": [{"name": "roc_auc", "min": "0.7"}]},
}
