"""The evaluation Job of a gate and a revision: a plain object from plain values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from penstock.api.v1alpha1.evaluationgate import EvaluationGate
from penstock.api.v1alpha1.modelrevision import ModelRevisionSpec
from penstock.controllers import podsecurity
from penstock.controllers.config import OperatorConfig
from penstock.controllers.featureset.job import JOB_LABEL, MANAGED_BY, TASK_ANNOTATION
from penstock.controllers.model import names
from penstock.domain.data.task import DEFAULT_SCRATCH_GIBIBYTES
from penstock.domain.gates.holdout import Rows
from penstock.domain.gates.runs import Target, job_suffix
from penstock.domain.gates.task import GateTask, Limits, seed_of

Json = dict[str, Any]

GATE_LABEL = "penstock.dev/gate"
EVALUATE = "evaluate"
CONTAINER = "evaluate"
# Not a label: what bears the label of a revision gets its traffic.
REVISION_ANNOTATION = "penstock.dev/evaluated-revision"
SPEC_HASH_ANNOTATION = "penstock.dev/gate-spec"
DATASET_ANNOTATION = "penstock.dev/dataset-digest"
ATTEMPT_ANNOTATION = "penstock.dev/attempt"
ROUND_ANNOTATION = "penstock.dev/evaluation"
STARTED_ANNOTATION = "penstock.dev/started"

_ROOT = "/etc/penstock"
DEFAULT_RESOURCES = {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}}
# The Job ends by itself before Kubernetes ends it, so that it can still say what it was doing.
_LAST_WORDS_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Order:
    """One evaluation to be made. `round`: how often the Model asked for evaluations of this candidate."""

    namespace: str
    model: str
    model_uid: str
    gate: EvaluationGate
    rows: Rows
    target: Target
    candidate: ModelRevisionSpec
    champion: ModelRevisionSpec | None
    attempt: int
    round: int = 1


def name_of(order: Order) -> str:
    """Return the Job's name, the same for the same evaluation, so that it is made once; at most 62 characters."""
    gate = order.gate.metadata.name
    suffix = job_suffix(order.model_uid, gate, order.target, order.attempt)
    return f"{gate}-{order.target.revision}-{suffix}"


def task_of(order: Order, config: OperatorConfig) -> GateTask:
    """Return what the Job is asked."""
    spec, candidate, champion = order.gate.spec, order.candidate, order.champion
    features = candidate.features.features if candidate.features else []
    champion_features = champion.features.features if champion and champion.features else []
    repository = config.artifact_store.repository
    scratch = order.rows.scratch_gibibytes or DEFAULT_SCRATCH_GIBIBYTES
    return GateTask(
        kind=spec.kind,
        gate=order.gate.metadata.name,
        model=order.model,
        revision=candidate.revision,
        runtime=candidate.runtime,
        candidate_url=_url(order, candidate.revision),
        champion_url=_url(order, champion.revision) if champion else None,
        champion_revision=champion.revision if champion else None,
        champion_runtime=champion.runtime if champion else None,
        dataset=order.rows.dataset,
        features=features,
        champion_features=champion_features if champion and champion_features != features else None,
        label=order.rows.label,
        output=spec.output,
        threshold=spec.threshold,
        metrics=spec.metrics,
        fairness=spec.fairness,
        latency=spec.latency,
        confidence=spec.confidence,
        seed=seed_of(order.target.revision, order.target.spec_hash, order.target.dataset_digest),
        store=f"{repository}/{order.namespace}/{order.model}" if repository else None,
        insecure_registries=list(config.insecure_registries),
        limits=Limits(max_rows=spec.max_rows, scratch_bytes=(scratch << 30) * 15 // 16),
    )


def build(order: Order, config: OperatorConfig, now: datetime) -> Json:
    """Return the Job. Raises ValueError if the operator has no image for it."""
    if config.jobs_image is None:
        raise ValueError("the operator's configuration has no jobsImage")
    labels = {
        MANAGED_BY: names.MANAGER,
        names.MODEL_LABEL: order.model,
        GATE_LABEL: order.gate.metadata.name,
        JOB_LABEL: EVALUATE,
    }
    task = json.dumps(task_of(order, config).as_json(), sort_keys=True, separators=(",", ":"))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name_of(order),
            "namespace": order.namespace,
            "labels": labels,
            "annotations": {
                REVISION_ANNOTATION: order.target.revision,
                SPEC_HASH_ANNOTATION: order.target.spec_hash,
                DATASET_ANNOTATION: order.target.dataset_digest,
                ATTEMPT_ANNOTATION: str(order.attempt),
                ROUND_ANNOTATION: str(order.round),
                STARTED_ANNOTATION: now.astimezone(UTC).isoformat(timespec="seconds"),
            },
            "ownerReferences": [names.owner_reference(order.model, order.model_uid)],
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": order.gate.spec.timeout_seconds,
            # A drained node or an evicted pod says nothing about the revision: another pod, not a failure.
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {
                "metadata": {"labels": labels, "annotations": {TASK_ANNOTATION: task}},
                "spec": _pod(order, config),
            },
        },
    }


def _url(order: Order, revision: str) -> str:
    return f"http://{names.workload_name(order.model, revision)}.{order.namespace}.svc:{names.REVISION_PORT}"


def _pod(order: Order, config: OperatorConfig) -> Json:
    spec = order.gate.spec
    variables = {
        "PENSTOCK_TASK": f"{_ROOT}/task/task.json",
        "PENSTOCK_CREDENTIALS": f"{_ROOT}/credentials",
        "PENSTOCK_PVC": f"{_ROOT}/pvc",
        "PENSTOCK_SCRATCH": "/scratch",
        "PENSTOCK_DEADLINE_SECONDS": str(max(1, spec.timeout_seconds - _LAST_WORDS_SECONDS)),
        "TMPDIR": "/scratch",
    }
    scratch = order.rows.scratch_gibibytes or DEFAULT_SCRATCH_GIBIBYTES
    task = {"path": "task.json", "fieldRef": {"fieldPath": f"metadata.annotations['{TASK_ANNOTATION}']"}}
    volumes: list[Json] = [
        {"name": "task", "downwardAPI": {"items": [task]}},
        {"name": "scratch", "emptyDir": {"sizeLimit": f"{scratch}Gi"}},
    ]
    mounts: list[Json] = [
        {"name": "task", "mountPath": f"{_ROOT}/task", "readOnly": True},
        {"name": "scratch", "mountPath": "/scratch"},
    ]
    dataset = order.rows.dataset
    if dataset.credentials_secret_ref is not None:
        # Optional: a pod without its Secret would hang without a word, the Job says what is missing.
        secret = {"secretName": dataset.credentials_secret_ref.name, "optional": True, "defaultMode": 0o440}
        volumes.append({"name": "credentials", "secret": secret})
        mounts.append({"name": "credentials", "mountPath": f"{_ROOT}/credentials", "readOnly": True})
    if dataset.uri.startswith("pvc://"):
        claim = dataset.uri.removeprefix("pvc://").split("/", 1)[0]
        volumes.append({"name": "pvc", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
        mounts.append({"name": "pvc", "mountPath": f"{_ROOT}/pvc/{claim}", "readOnly": True})
    resources = spec.resources.as_json() if spec.resources else DEFAULT_RESOURCES
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": podsecurity.POD,
        "terminationGracePeriodSeconds": 10,
        "containers": [
            {
                "name": CONTAINER,
                "image": config.jobs_image,
                "imagePullPolicy": config.image_pull_policy,
                "command": ["python3", "-m", "penstock.jobs.evaluate"],
                "env": [{"name": name, "value": value} for name, value in variables.items()],
                "resources": {key: value for key, value in resources.items() if value},
                "securityContext": podsecurity.CONTAINER,
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }
