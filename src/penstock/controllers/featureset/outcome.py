"""What a validation Job and its pod say: how it ended, or why it has not begun."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.featuresetstatus import ValidationRun
from penstock.controllers.featureset import job as jobs
from penstock.domain.data.task import ValidationResult, decode, error
from penstock.kube.resources import controller_of, uid_of

Json = dict[str, Any]

_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_KILLED = 137


@dataclass(frozen=True, slots=True)
class Outcome:
    """A Job as it is. `result` None: not ended, and `waiting` may say what it waits for."""

    result: ValidationResult | None = None
    waiting: str = ""


def run_of(job: Json) -> ValidationRun:
    """Return what the Job's annotations say about the run it is."""
    notes = job["metadata"].get("annotations", {})
    started = notes.get(jobs.STARTED_ANNOTATION) or job["metadata"]["creationTimestamp"]
    return ValidationRun(
        job=job["metadata"]["name"],
        definition=notes[jobs.DEFINITION_ANNOTATION],
        attempt=int(notes[jobs.ATTEMPT_ANNOTATION]),
        trigger=notes[jobs.TRIGGER_ANNOTATION],
        started=datetime.fromisoformat(started).astimezone(UTC),
    )


def outcome(job: Json, pods: Iterable[Json]) -> Outcome:
    """Describe a Job by itself and by the pods that the Job controller made for it, and no others.

    Both their owner and their label prove it: admission guards pods with that label, and no other.
    """
    own = sorted(
        (
            pod
            for pod in pods
            if (controller_of(pod) or {}).get("uid") == uid_of(job)
            and (pod["metadata"].get("labels") or {}).get(jobs.JOB_LABEL) == jobs.VALIDATE
        ),
        key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]),
    )
    ended = next((item for item in _conditions(job) if item["type"] in ("Complete", "Failed")), None)
    if ended is None:
        return Outcome(waiting=_waiting(own[-1]) if own else "")
    told = [result for pod in reversed(own) if (result := _told(pod)) is not None]
    if told:
        return Outcome(told[0])
    if ended["type"] == "Failed" and ended.get("reason") == "DeadlineExceeded":
        return Outcome(error(Reason.VALIDATION_TIMEOUT, "It was ended by its deadline."))
    if any(_out_of_memory(pod) for pod in own):
        return Outcome(error(Reason.OUT_OF_MEMORY, "Its container was killed for memory."))
    if any(_over_its_disk(pod) for pod in own):
        return Outcome(error(Reason.DATASET_TOO_LARGE, "It used more disk than its volume may hold."))
    detail = ended.get("message") or "It ended without a termination message."
    return Outcome(error(Reason.VALIDATION_ERROR, detail))


def _told(pod: Json) -> ValidationResult | None:
    """Read the result; a pod that was killed half way has left none, or an older one that is not believed."""
    terminated = _terminated(pod)
    if terminated is None or terminated.get("exitCode") != 0:
        return None
    return decode(terminated.get("message", ""))


def _terminated(pod: Json) -> Json | None:
    for container in pod.get("status", {}).get("containerStatuses", []):
        if container["name"] == jobs.CONTAINER:
            terminated: Json | None = container.get("state", {}).get("terminated")
            return terminated
    return None


def _out_of_memory(pod: Json) -> bool:
    terminated = _terminated(pod) or {}
    return terminated.get("reason") == "OOMKilled" or (
        terminated.get("exitCode") == _KILLED and pod.get("status", {}).get("reason") is None
    )


def _over_its_disk(pod: Json) -> bool:
    status = pod.get("status", {})
    return status.get("reason") == "Evicted" and "EmptyDir" in status.get("message", "")


def _waiting(pod: Json) -> str:
    status = pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return f"Its pod cannot be scheduled: {condition.get('message', '')}"
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in _IMAGE_REASONS:
            return f"Its image cannot be pulled: {waiting.get('message', waiting['reason'])}"
    return ""


def _conditions(job: Json) -> list[Json]:
    return [item for item in job.get("status", {}).get("conditions", []) if item["status"] == "True"]
