"""What is read from a Deployment and its pods."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.controllers.model.workloads import is_settled, ready_addresses, view
from penstock.domain.lifecycle.observed import WorkloadView

Json = dict[str, Any]


def deployment(ready: int = 0, *, observed: int = 2, **status: Any) -> Json:
    """A Deployment of two pods in its second generation."""
    return {
        "metadata": {"generation": 2},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": observed, "readyReplicas": ready, **status},
    }


def pod(*containers: Json, init: tuple[Json, ...] = (), **status: Any) -> Json:
    return {
        "metadata": {},
        "status": {"containerStatuses": list(containers), "initContainerStatuses": list(init), **status},
    }


def ended(message: str = "", *, restarts: int = 0, code: int = 1, **more: Any) -> Json:
    """A container that has just exited."""
    state = {"terminated": {"exitCode": code, "reason": "Error", "message": message}}
    return {"name": "server", "restartCount": restarts, "state": state, **more}


def backing_off(message: str = "", restarts: int = 1) -> Json:
    """A container that waits for its next start."""
    return {
        "name": "server",
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": message}},
    }


def told(reason: str, message: str = "says why") -> str:
    return json.dumps({"reason": reason, "message": message})


def waiting(reason: str) -> Json:
    return {"name": "server", "state": {"waiting": {"reason": reason, "message": "no such image"}}}


def test_absent_deployment() -> None:
    assert view(None, []) == WorkloadView()


def test_ready_pods_are_counted() -> None:
    assert view(deployment(2), []) == WorkloadView(present=True, replicas=2, ready=2)


def test_ready_pods_count_while_a_new_size_is_not_looked_at_yet() -> None:
    assert view(deployment(2, observed=1), []).ready == 2


@pytest.mark.parametrize(
    ("obj", "settled"),
    [
        pytest.param(deployment(), True, id="no pods yet"),
        pytest.param(deployment(2, replicas=2, updatedReplicas=2), True, id="all of the present template"),
        pytest.param(deployment(2, observed=1, replicas=2, updatedReplicas=2), False, id="not looked at"),
        pytest.param(deployment(2, replicas=3, updatedReplicas=2), False, id="an old pod is left"),
        pytest.param({"metadata": {"generation": 1}, "spec": {}}, False, id="brand new"),
    ],
)
def test_counts_are_settled_when_only_pods_of_the_present_template_are_left(obj: Json, settled: bool) -> None:
    assert is_settled(obj) is settled


@pytest.mark.parametrize(
    ("container", "reason", "permanent"),
    [
        pytest.param(ended(told("DigestMismatch")), "DigestMismatch", True, id="wrong bytes at once"),
        pytest.param(ended(told("UnsafeFormat")), "UnsafeFormat", True, id="unsafe at once"),
        pytest.param(ended(told("LoadFailed")), "LoadFailed", False, id="first failed load"),
        pytest.param(ended(told("LoadFailed"), restarts=1), "LoadFailed", True, id="second failed load"),
        pytest.param(backing_off(told("LoadFailed"), 2), "LoadFailed", True, id="failed loads, waiting"),
        pytest.param(ended(told("ArtifactUnavailable"), restarts=9), "ArtifactUnavailable", False, id="never final"),
        pytest.param(ended("Traceback"), "CrashLoop", False, id="first crash"),
        pytest.param(ended("Traceback", restarts=1), "CrashLoop", True, id="second crash"),
        pytest.param(ended(told("NoSuchReason"), restarts=1), "CrashLoop", True, id="unknown word"),
        pytest.param(ended('["DigestMismatch"]'), "CrashLoop", False, id="not an object"),
        pytest.param(waiting("ImagePullBackOff"), "ImagePull", False, id="image"),
        pytest.param(waiting("ErrImagePull"), "ImagePull", False, id="image, first time"),
    ],
)
def test_failure_of_a_container(container: Json, reason: str, permanent: bool) -> None:
    failure = view(deployment(), [pod(container)]).failure
    assert failure is not None
    assert (failure.reason, failure.permanent) == (reason, permanent)
    assert failure.message


@pytest.mark.parametrize(
    "container",
    [
        pytest.param(ended(code=0), id="done"),
        pytest.param(waiting("PodInitializing"), id="not started yet"),
        pytest.param(backing_off() | {"state": {"running": {"startedAt": "2026-03-01T12:00:00Z"}}}, id="runs again"),
        pytest.param(backing_off() | {"ready": True}, id="ready again"),
        pytest.param({"name": "server"}, id="nothing known"),
    ],
)
def test_what_is_no_failure(container: Json) -> None:
    assert view(deployment(), [pod(container)]).failure is None


def test_the_failure_nearest_to_a_cause_is_shown() -> None:
    pods = [pod(ended("x", restarts=5)), pod(init=(ended(told("DigestMismatch")),)), pod(waiting("ErrImagePull"))]
    failure = view(deployment(), pods).failure
    assert failure is not None
    assert failure.reason == "DigestMismatch"


def test_pods_on_their_way_out_say_nothing() -> None:
    leaving = pod(ended(told("DigestMismatch")))
    leaving["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    assert view(deployment(), [leaving]).failure is None


def test_quota_and_scheduling() -> None:
    refused = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    failure = view(deployment(conditions=[refused]), []).failure
    assert failure is not None
    assert (failure.reason, failure.permanent) == ("Quota", False)
    homeless = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    failure = view(deployment(), [pod(conditions=[homeless])]).failure
    assert failure is not None
    assert (failure.reason, failure.message) == ("Unschedulable", "0/1 nodes")


def test_addresses_of_ready_pods_only() -> None:
    def at(address: str, ready: str, **meta: Any) -> Json:
        return {
            "metadata": meta,
            "status": {"podIP": address, "conditions": [{"type": "Ready", "status": ready}]},
        }

    pods = [
        at("10.0.0.3", "True"),
        at("10.0.0.1", "True"),
        at("10.0.0.2", "False"),
        at("10.0.0.4", "True", deletionTimestamp="2026-03-01T12:00:00Z"),
        {"metadata": {}, "status": {}},
    ]
    assert ready_addresses(pods) == ["10.0.0.1", "10.0.0.3"]


def test_what_a_model_was_made_of_is_read_from_the_pod_that_fetched_it() -> None:
    lineage = {"version": 1, "dataset": {"name": "flights", "rows": 7}}
    told = json.dumps({"reason": "Fetched", "message": "", "lineage": lineage})
    assert view(deployment(1), [pod(init=(ended(told, code=0),))]).lineage == lineage


@pytest.mark.parametrize("told", ["", "no JSON", "[]", '{"reason": "Fetched"}', '{"lineage": 7}'])
def test_a_model_that_says_nothing_has_no_lineage(told: str) -> None:
    assert view(deployment(1), [pod(init=(ended(told, code=0),))]).lineage is None
    assert view(deployment(1), [pod(init=(ended('{"lineage": {}}', code=1),))]).lineage is None
