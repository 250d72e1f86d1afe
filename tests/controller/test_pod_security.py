"""Pods of Models and of the operator run where the `restricted` Pod Security Standard is enforced."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from penstock.kube.resources import DEPLOYMENTS, REPLICASETS
from tests.contract.chart import only, render
from tests.controller.world import IMAGE, World, spec_of
from tests.support.cluster import Cluster, Refused

Json = dict[str, Any]

CUSTOM = {
    "artifact": {"uri": "https://example.com/m.bin", "digest": "sha256:" + "1" * 64, "format": "Custom"},
    "serving": {
        "runtime": "Custom",
        "custom": {"image": IMAGE, "port": 9000, "args": ["serve"], "env": [{"name": "A", "value": "b"}]},
        "pod": {"nodeSelector": {"zone": "a"}, "terminationGracePeriodSeconds": 60},
    },
}


@pytest.fixture
def restricted(cluster: Cluster, namespace: str) -> str:
    """The test's namespace, now with the standard enforced in its newest version."""
    labels = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/enforce-version": "latest",
    }
    name = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    cluster.merge(name, {"metadata": {"labels": labels}})
    return namespace


def pod_of(template: Json, namespace: str) -> Json:
    """The pod that a ReplicaSet makes of a template. No account: a bare API server has none."""
    spec = {key: value for key, value in template["spec"].items() if key != "serviceAccountName"}
    metadata = {**template["metadata"], "namespace": namespace, "name": "pod"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def weakened(pod: Json, container: str | None, change: Json) -> Json:
    """The pod with a change of its own security context, or of one container's."""
    other = copy.deepcopy(pod)
    holders = (
        [other["spec"]] if container is None else other["spec"].get("initContainers", []) + other["spec"]["containers"]
    )
    for holder in holders:
        if container in (None, holder.get("name")):
            holder["securityContext"] |= change
    return other


def admitted_as_it_is_only(cluster: Cluster, pod: Json) -> None:
    """Check that the pod is admitted, and that every part of what makes it safe is needed for that."""
    cluster.create(pod, dry_run=True)
    names = [item["name"] for item in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]]
    attempts: list[tuple[str | None, Json]] = [(None, {"runAsNonRoot": False}), (None, {"seccompProfile": None})]
    attempts += [(name, {"allowPrivilegeEscalation": True}) for name in names]
    attempts += [(name, {"capabilities": {}}) for name in names]
    for name, change in attempts:
        with pytest.raises(Refused, match='violates PodSecurity "restricted:latest"'):
            cluster.create(weakened(pod, name, change), dry_run=True)


@pytest.mark.parametrize("spec", [spec_of(), CUSTOM], ids=["built-in server", "custom server"])
async def test_pods_of_a_model(world: World, restricted: str, spec: Json) -> None:
    world.operator()
    revision = await world.serving(spec)
    found = await world.get(DEPLOYMENTS, f"flight-{revision}")
    assert found is not None
    (replicaset,), _ = await world.client.list(REPLICASETS, restricted)
    assert replicaset["spec"]["template"]["spec"] == found["spec"]["template"]["spec"]
    admitted_as_it_is_only(world.cluster, pod_of(replicaset["spec"]["template"], restricted))


def test_pod_of_the_operator(cluster: Cluster, restricted: str) -> None:
    template = only(render(), "Deployment")["spec"]["template"]
    admitted_as_it_is_only(cluster, pod_of(template, restricted))
