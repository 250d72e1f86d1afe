"""Admission policies on a real API server, which enforces them some time after it has taken them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.support.cluster import Cluster, Refused, wait_until

Json = dict[str, Any]

POLICY_KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
_ADMISSION = "admissionregistration.k8s.io/v1"
_PROBE = "refused-when-policies-are-in-force"


def install_policies(admin: Cluster, objects: Iterable[Json]) -> None:
    """Create the policies and bindings among `objects`, and return when the API server enforces every one of them.

    It reads them in the order they were made in and puts all it has read into force at once. So the last one made
    stands for the others: one of our own, which refuses one ConfigMap.
    """
    for obj in objects:
        if obj["kind"] in POLICY_KINDS:
            admin.create(obj)
    policy, binding = POLICY_KINDS
    named = {"apiVersion": _ADMISSION, "metadata": {"name": _PROBE}}
    config_maps = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    rule = {"expression": f"object.metadata.name != '{_PROBE}'"}
    spec = {"matchConstraints": {"resourceRules": [config_maps]}, "validations": [rule]}
    admin.create({**named, "kind": policy, "spec": spec})
    admin.create({**named, "kind": binding, "spec": {"policyName": _PROBE, "validationActions": ["Deny"]}})
    probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _PROBE, "namespace": "default"}}

    def in_force() -> bool:
        try:
            admin.create(probe, dry_run=True)
        except Refused as refused:
            return _PROBE in refused.message
        return False

    wait_until(in_force, "the policies are in force")
