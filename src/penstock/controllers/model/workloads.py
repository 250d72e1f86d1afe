"""What a revision's Deployment and pods say: how many are ready, and why not if not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from penstock.api.v1alpha1.conditions import Reason
from penstock.domain.lifecycle.observed import Failure, WorkloadView

Json = dict[str, Any]

# Waiting mends none of these: the bytes are wrong, or of a kind that is never loaded.
PERMANENT = frozenset({Reason.DIGEST_MISMATCH, Reason.UNSAFE_FORMAT})
# Said by our own containers; as it is the same bytes each time, the second attempt will not differ.
_DETERMINED = frozenset({Reason.LOAD_FAILED, Reason.SCHEMA_MISMATCH, Reason.TOO_LARGE, Reason.INVALID_REFERENCE})
# How often a container may exit before waiting for it is pointless.
CRASHES_ALLOWED = 2
_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
# Which of several failures to show: the one nearest to a cause somebody can mend.
_ORDER = (
    Reason.DIGEST_MISMATCH,
    Reason.UNSAFE_FORMAT,
    Reason.SCHEMA_MISMATCH,
    Reason.LOAD_FAILED,
    Reason.TOO_LARGE,
    Reason.INVALID_REFERENCE,
    Reason.ARTIFACT_NOT_FOUND,
    Reason.CRASH_LOOP,
    Reason.IMAGE_PULL,
    Reason.QUOTA,
    Reason.UNSCHEDULABLE,
    Reason.ARTIFACT_UNAVAILABLE,
)


def view(deployment: Json | None, pods: Iterable[Json]) -> WorkloadView:
    """Describe a workload from its Deployment (None if absent) and the pods its ReplicaSets own."""
    if deployment is None:
        return WorkloadView()
    status = deployment.get("status", {})
    pods = list(pods)
    found = sorted([*_deployment_failures(status), *_pods_failures(pods)], key=_rank)
    return WorkloadView(
        present=True,
        replicas=int(deployment["spec"].get("replicas", 1)),
        ready=int(status.get("readyReplicas", 0)),
        failure=found[0] if found else None,
        lineage=next((told for pod in pods if (told := _lineage(pod)) is not None), None),
    )


def is_settled(deployment: Json) -> bool:
    """Whether its counts are about its present form alone.

    Until the Deployment controller has looked, and while pods of an older template run, the ready
    ones still serve but prove nothing about the present form.
    """
    status = deployment.get("status", {})
    observed = status.get("observedGeneration") == deployment["metadata"].get("generation")
    return bool(observed and status.get("updatedReplicas", 0) == status.get("replicas", 0))


def ready_addresses(pods: Iterable[Json]) -> list[str]:
    """Addresses of the pods that are ready and not on their way out, in a stable order."""
    return sorted(
        pod["status"]["podIP"]
        for pod in pods
        if pod.get("status", {}).get("podIP")
        and not pod["metadata"].get("deletionTimestamp")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
    )


def _rank(failure: Failure) -> tuple[bool, int]:
    try:
        position = _ORDER.index(Reason(failure.reason))
    except ValueError:
        position = len(_ORDER)
    return not failure.permanent, position


def _deployment_failures(status: Json) -> Iterator[Failure]:
    for condition in status.get("conditions", []):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield Failure(Reason.QUOTA, condition.get("message", ""), permanent=False)


def _pods_failures(pods: Iterable[Json]) -> Iterator[Failure]:
    for pod in pods:
        if pod["metadata"].get("deletionTimestamp"):
            continue
        status = pod.get("status", {})
        for condition in status.get("conditions", []):
            if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
                yield Failure(Reason.UNSCHEDULABLE, condition.get("message", ""), permanent=False)
        for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
            failure = _container_failure(container)
            if failure is not None:
                yield failure


def _container_failure(container: Json) -> Failure | None:
    state, last = container.get("state", {}), container.get("lastState", {})
    waiting = state.get("waiting", {})
    if waiting.get("reason") in _IMAGE_REASONS:
        return Failure(Reason.IMAGE_PULL, waiting.get("message", waiting["reason"]), permanent=False)
    terminated = state.get("terminated") or last.get("terminated")
    if container.get("ready") or state.get("running") or not terminated or terminated.get("exitCode") == 0:
        return None
    crashes = int(container.get("restartCount", 0)) + ("terminated" in state)
    told = _told(terminated.get("message", ""))
    if told is not None:
        reason, message = told
        permanent = reason in PERMANENT or (reason in _DETERMINED and crashes >= CRASHES_ALLOWED)
        return Failure(reason, message, permanent)
    cause = terminated.get("reason", "Error")
    message = f"{container['name']} exited with {terminated.get('exitCode')} ({cause}), {crashes} times"
    if terminated.get("message"):
        message += f": {terminated['message'][-300:]}"
    return Failure(Reason.CRASH_LOOP, message, permanent=crashes >= CRASHES_ALLOWED)


def _lineage(pod: Json) -> Json | None:
    """What the fetch container found beside the model: what it was made of."""
    for container in pod.get("status", {}).get("initContainerStatuses", []):
        terminated = container.get("state", {}).get("terminated", {})
        if terminated.get("exitCode") == 0:
            try:
                lineage = json.loads(terminated.get("message", "")).get("lineage")
            except (ValueError, AttributeError):
                continue
            if isinstance(lineage, dict):
                return lineage
    return None


def _told(message: str) -> tuple[Reason, str] | None:
    """Read the sentence our own containers leave behind: {"reason": …, "message": …}."""
    try:
        told = json.loads(message)
        return Reason(told["reason"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        return None
