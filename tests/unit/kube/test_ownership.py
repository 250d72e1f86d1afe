import copy
from typing import Any, ClassVar

import pytest

from penstock.kube.ownership import applied_fields, first_difference
from penstock.kube.resources import Json

# What kube-apiserver 1.34 answers to applying DESIRED, but for the parts that no test looks at.
DESIRED: Json = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "namespace": "ns",
        "name": "web",
        "labels": {"app": "web"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u1", "controller": True}],
    },
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "main",
                        "image": "web:1",
                        "args": ["--a", "--b"],
                        "ports": [{"containerPort": 8080, "name": "http"}],
                        "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}},
                        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            }
        },
    },
}
OWNED: Json = {
    "f:metadata": {"f:labels": {"f:app": {}}, "f:ownerReferences": {'k:{"uid":"u1"}': {}}},
    "f:spec": {
        "f:replicas": {},
        "f:selector": {},
        "f:template": {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"main"}': {
                        ".": {},
                        "f:name": {},
                        "f:image": {},
                        "f:args": {},
                        "f:ports": {
                            'k:{"containerPort":8080,"protocol":"TCP"}': {".": {}, "f:containerPort": {}, "f:name": {}}
                        },
                        "f:resources": {"f:limits": {"f:cpu": {}, "f:memory": {}}},
                        "f:readinessProbe": {"f:httpGet": {"f:path": {}, "f:port": {}}},
                    }
                },
                "f:volumes": {'k:{"name":"tmp"}': {".": {}, "f:name": {}, "f:emptyDir": {}}},
            }
        },
    },
}


def live() -> Json:
    obj = copy.deepcopy(DESIRED)
    obj["metadata"] |= {"uid": "x", "resourceVersion": "5", "annotations": {"deployment.kubernetes.io/revision": "1"}}
    obj["spec"] |= {"progressDeadlineSeconds": 600, "revisionHistoryLimit": 10}
    container = obj["spec"]["template"]["spec"]["containers"][0]
    container |= {"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"}
    container["ports"][0]["protocol"] = "TCP"
    container["resources"]["limits"] = {"cpu": "1", "memory": "1Gi"}
    container["readinessProbe"]["httpGet"]["scheme"] = "HTTP"
    obj["status"] = {"replicas": 2}
    return obj


def at(obj: Any, *path: str | int) -> Any:
    for step in path:
        obj = obj[step]
    return obj


POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)


def test_defaults_and_spellings_of_the_api_server_are_no_difference() -> None:
    assert first_difference(DESIRED, live(), OWNED) is None


def test_what_others_add_is_no_difference() -> None:
    obj = live()
    obj["metadata"]["labels"]["theirs"] = "x"
    at(obj, *POD, "containers").append({"name": "sidecar", "image": "proxy:1"})
    assert first_difference(DESIRED, obj, OWNED) is None


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("spec", "replicas"), 3, "spec.replicas"),
        (("spec", "replicas"), True, "spec.replicas"),
        (("spec", "selector"), {"matchLabels": {"app": "web", "more": "x"}}, "spec.selector"),
        (("metadata", "labels", "app"), "other", "metadata.labels.app"),
        (("metadata", "labels"), {}, "metadata.labels.app"),
        ((*CONTAINER, "image"), "web:2", ".image"),
        ((*CONTAINER, "args"), ["--b", "--a"], ".args"),
        ((*CONTAINER, "args"), ["--a"], ".args"),
        ((*CONTAINER, "ports"), [], ".ports"),
        ((*CONTAINER, "resources", "limits", "cpu"), "2", ".cpu"),
        ((*POD, "containers"), [], ".containers"),
        (("metadata", "ownerReferences", 0, "uid"), "u2", "metadata.ownerReferences"),
        (("metadata", "ownerReferences", 0, "controller"), False, "metadata.ownerReferences"),
    ],
)
def test_a_changed_value_is_found_and_named(path: tuple[str | int, ...], value: object, named: str) -> None:
    obj = live()
    at(obj, *path[:-1])[path[-1]] = value
    assert named in str(first_difference(DESIRED, obj, OWNED))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "replicas"), 3),
        (("metadata", "annotations"), {"new": "x"}),
        ((*CONTAINER, "env"), [{"name": "NEW", "value": "1"}]),
        ((*POD, "volumes"), [{"name": "tmp", "emptyDir": {"medium": "Memory"}}]),
        ((*CONTAINER, "args"), ["--a", "--b", "--c"]),
    ],
)
def test_a_newly_wanted_value_is_found(path: tuple[str | int, ...], value: object) -> None:
    desired = copy.deepcopy(DESIRED)
    at(desired, *path[:-1])[path[-1]] = value
    assert first_difference(desired, live(), OWNED) is not None


@pytest.mark.parametrize(
    "path",
    [
        ("spec", "replicas"),
        ("metadata", "labels"),
        ("metadata", "ownerReferences"),
        (*CONTAINER, "args"),
        (*CONTAINER, "ports"),
        (*CONTAINER, "ports", 0, "name"),
        (*CONTAINER, "resources"),
        (*CONTAINER, "resources", "limits", "cpu"),
        (*CONTAINER, "readinessProbe"),
        (*POD, "volumes"),
    ],
)
def test_a_field_that_is_ours_but_no_longer_wanted_is_found(path: tuple[str | int, ...]) -> None:
    desired = copy.deepcopy(DESIRED)
    del at(desired, *path[:-1])[path[-1]]
    assert first_difference(desired, live(), OWNED) is not None


def test_an_item_of_ours_that_is_no_longer_wanted_is_found() -> None:
    owned = copy.deepcopy(OWNED)
    volumes = at(owned, "f:spec", "f:template", "f:spec", "f:volumes")
    volumes['k:{"name":"old"}'] = {".": {}, "f:name": {}}
    obj = live()
    at(obj, *POD, "volumes").append({"name": "old"})
    assert "old" in str(first_difference(DESIRED, obj, owned))


def test_a_field_that_somebody_took_over_is_found_even_with_our_value() -> None:
    owned = copy.deepcopy(OWNED)
    del owned["f:spec"]["f:replicas"]
    assert first_difference(DESIRED, live(), owned) == "spec.replicas"


def test_an_object_we_never_applied_differs() -> None:
    assert first_difference(DESIRED, live(), None) is not None


def test_absent_nulls_and_empty_values_are_the_same() -> None:
    desired = copy.deepcopy(DESIRED)
    desired["spec"]["paused"] = False
    desired["spec"]["strategy"] = None
    desired["spec"]["template"]["metadata"] = {}
    assert first_difference(desired, live(), OWNED) is None


class TestAtomicLists:
    """The rules of an HTTPRoute are one value to server-side apply, with defaults deep inside."""

    desired: ClassVar[Json] = {
        "metadata": {"name": "r"},
        "spec": {
            "parentRefs": [{"name": "gw"}],
            "rules": [
                {
                    "backendRefs": [{"name": "stable", "port": 80, "weight": 90}, {"name": "canary", "port": 80}],
                    "filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "s", "port": 80}}}],
                }
            ],
        },
    }
    owned: ClassVar[Json] = {"f:spec": {"f:parentRefs": {}, "f:rules": {}}}

    def live(self) -> Json:
        obj = copy.deepcopy(self.desired)
        spec = obj["spec"]
        spec["parentRefs"][0] |= {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
        rule = spec["rules"][0]
        rule["matches"] = [{"path": {"type": "PathPrefix", "value": "/"}}]
        for reference in rule["backendRefs"]:
            reference |= {"group": "", "kind": "Service"}
        rule["backendRefs"][1]["weight"] = 1
        rule["filters"][0]["requestMirror"]["backendRef"] |= {"group": "", "kind": "Service"}
        return obj

    def test_defaults_are_no_difference(self) -> None:
        assert first_difference(self.desired, self.live(), self.owned) is None

    def test_a_mirror_that_is_no_longer_wanted_is_found(self) -> None:
        desired = copy.deepcopy(self.desired)
        del desired["spec"]["rules"][0]["filters"]
        assert first_difference(desired, self.live(), self.owned) == "spec.rules"

    def test_a_weight_that_is_no_longer_wanted_is_found(self) -> None:
        desired = copy.deepcopy(self.desired)
        del desired["spec"]["rules"][0]["backendRefs"][0]["weight"]
        assert first_difference(desired, self.live(), self.owned) == "spec.rules"


def test_sets_are_compared_by_what_is_ours() -> None:
    desired = {"metadata": {"finalizers": ["a", "b"]}}
    owned: Json = {"f:metadata": {"f:finalizers": {'v:"a"': {}, 'v:"b"': {}}}}
    assert first_difference(desired, {"metadata": {"finalizers": ["theirs", "b", "a"]}}, owned) is None
    assert first_difference(desired, {"metadata": {"finalizers": ["a"]}}, owned) is not None
    less = {"metadata": {"finalizers": ["a"]}}
    assert first_difference(less, {"metadata": {"finalizers": ["a", "b"]}}, owned) is not None


@pytest.mark.parametrize(
    ("ours", "theirs", "equal"),
    [
        ("1000m", "1", True),
        ("0.5", "500m", True),
        ("1024Mi", "1Gi", True),
        ("1.5Gi", "1536Mi", True),
        (2, "2", True),
        ("1G", "1Gi", False),
        ("100m", "1", False),
        ("1k", "1000", True),
        ("odd", "even", False),
    ],
)
def test_quantities_are_numbers_where_quantities_stand(ours: object, theirs: object, equal: bool) -> None:
    def obj(value: object) -> Json:
        return {"spec": {"limits": {"cpu": value}}}

    owned: Json = {"f:spec": {"f:limits": {"f:cpu": {}}}}
    assert (first_difference(obj(ours), obj(theirs), owned) is None) is equal


def test_elsewhere_strings_are_strings() -> None:
    owned: Json = {"f:metadata": {"f:annotations": {"f:a": {}}}}
    one, other = ({"metadata": {"annotations": {"a": value}}} for value in ("1000m", "1"))
    assert first_difference(one, other, owned) is not None


def test_applied_fields_ignores_updates_subresources_and_other_managers() -> None:
    fields: Json = {"f:spec": {}}
    entries = [
        {"manager": "us", "operation": "Update", "fieldsV1": {"f:a": {}}},
        {"manager": "us", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}},
        {"manager": "them", "operation": "Apply", "fieldsV1": {"f:b": {}}},
        {"manager": "us", "operation": "Apply", "fieldsV1": fields},
    ]
    assert applied_fields({"metadata": {"managedFields": entries}}, "us") == fields
    assert applied_fields({"metadata": {"managedFields": entries}}, "nobody") is None
    assert applied_fields({"metadata": {}}, "us") is None
