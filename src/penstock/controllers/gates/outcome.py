"""What an evaluation Job and its pod say: how it ended, or why it has not begun."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from penstock.api.v1alpha1.conditions import Reason
from penstock.controllers.featureset.job import JOB_LABEL
from penstock.controllers.gates import job as jobs
from penstock.domain.gates.runs import Target
from penstock.domain.gates.task import GateResult, decode, error
from penstock.kube.resources import controller_of, uid_of

Json = dict[str, Any]

_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_KILLED = 137


@dataclass(frozen=True, slots=True)
class Outcome:
    """A Job as it is. `result` None: not ended, and `waiting` may say what it waits for.

    `guessed`: no pod of it was seen to end yet, so that its own word may still be to be had.
    """

    result: GateResult | None = None
    waiting: str = ""
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Noted:
    """What a Job's annotations and status say about the evaluation it is."""

    gate: str
    target: Target
    attempt: int
    round: int
    started: datetime
    finished: datetime | None


def noted(job: Json) -> Noted | None:
    """Read a Job of ours; None if it is none, or one that another version of the operator wrote differently."""
    meta = job["metadata"]
    notes, labels = meta.get("annotations") or {}, meta.get("labels") or {}
    if labels.get(JOB_LABEL) != jobs.EVALUATE:
        return None
    try:
        return Noted(
            labels[jobs.GATE_LABEL],
            Target(notes[jobs.REVISION_ANNOTATION], notes[jobs.SPEC_HASH_ANNOTATION], notes[jobs.DATASET_ANNOTATION]),
            int(notes[jobs.ATTEMPT_ANNOTATION]),
            int(notes[jobs.ROUND_ANNOTATION]),
            _moment(notes.get(jobs.STARTED_ANNOTATION) or meta["creationTimestamp"]),
            _finished(job),
        )
    except (KeyError, ValueError):
        return None


def outcome(job: Json, pods: Iterable[Json]) -> Outcome:
    """Describe a Job by itself and by the pods that the Job controller made for it, and no others.

    A pod counts if its controller is this very Job and it bears the label of our Jobs, which admission grants to the
    Job controller alone: an owner reference by itself can be written by anybody who may create pods.
    """
    own = sorted(
        (pod for pod in pods if _is_of(pod, job)),
        key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]),
    )
    ended = _ended(job)
    if ended is None:
        return Outcome(waiting=_waiting(own[-1]) if own else "")
    told = [result for pod in reversed(own) if (result := _told(pod)) is not None]
    if told:
        return Outcome(told[0])
    gate = (job["metadata"].get("labels") or {}).get(jobs.GATE_LABEL, "")
    reason, message = _why(ended, own, gate)
    return Outcome(error(reason.value, message), guessed=not any(_terminated(pod) for pod in own))


def _why(ended: Json, own: list[Json], gate: str) -> tuple[Reason, str]:
    timed_out = ended["type"] == "Failed" and ended.get("reason") == "DeadlineExceeded"
    if any(_out_of_memory(pod, sure_only=timed_out) for pod in own):
        return (
            Reason.OUT_OF_MEMORY,
            f"Its container was killed for memory: raise spec.resources.limits.memory of EvaluationGate {gate},"
            " or set spec.maxRows.",
        )
    if timed_out:
        return (
            Reason.EVALUATION_TIMEOUT,
            f"It was ended by its deadline: raise spec.timeoutSeconds of EvaluationGate {gate}.",
        )
    if any(_over_its_disk(pod) for pod in own):
        return Reason.DATASET_TOO_LARGE, "It used more disk than its volume may hold."
    return Reason.EVALUATION_ERROR, ended.get("message") or "It ended without a termination message."


def _is_of(pod: Json, job: Json) -> bool:
    meta, owner = pod["metadata"], controller_of(pod) or {}
    labels = meta.get("labels") or {}
    return bool(uid_of(job)) and owner.get("uid") == uid_of(job) and labels.get(JOB_LABEL) == jobs.EVALUATE


def _told(pod: Json) -> GateResult | None:
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


def _out_of_memory(pod: Json, *, sure_only: bool) -> bool:
    """Whether it was killed for memory. An end by SIGKILL alone means that too, but for pods that were told to stop."""
    terminated = _terminated(pod) or {}
    killed = terminated.get("exitCode") == _KILLED and pod.get("status", {}).get("reason") is None
    return terminated.get("reason") == "OOMKilled" or (killed and not sure_only)


def _over_its_disk(pod: Json) -> bool:
    status = pod.get("status", {})
    return status.get("reason") == "Evicted" and "EmptyDir" in status.get("message", "")


def _waiting(pod: Json) -> str:
    status = pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return f"its pod cannot be scheduled: {condition.get('message', '')}"
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in _IMAGE_REASONS:
            return f"its image cannot be pulled: {waiting.get('message', waiting['reason'])}"
    return ""


def _ended(job: Json) -> Json | None:
    conditions = [item for item in job.get("status", {}).get("conditions", []) if item["status"] == "True"]
    return next((item for item in conditions if item["type"] in ("Complete", "Failed")), None)


def _finished(job: Json) -> datetime | None:
    ended = _ended(job)
    if ended is None:
        return None
    moment = job["status"].get("completionTime") or ended.get("lastTransitionTime")
    return _moment(moment) if moment else None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
