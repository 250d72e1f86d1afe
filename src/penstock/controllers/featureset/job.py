"""The validation Job of a FeatureSet: a plain object from plain values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.featureset import DatasetRef, FeatureSet
from penstock.controllers import podsecurity
from penstock.controllers.config import OperatorConfig
from penstock.domain.data import runs
from penstock.domain.data.task import DEFAULT_SCRATCH_GIBIBYTES, task_of

Json = dict[str, Any]

MANAGED_BY = "app.kubernetes.io/managed-by"
FEATURE_SET_LABEL = "penstock.dev/featureset"
# Names the work that a pod was made for: admission lets only the Job controller make such pods.
JOB_LABEL = "penstock.dev/job"
VALIDATE = "validate"
TASK_ANNOTATION = "penstock.dev/task"
DEFINITION_ANNOTATION = "penstock.dev/definition"
BASELINE_ANNOTATION = "penstock.dev/baseline"
ATTEMPT_ANNOTATION = "penstock.dev/attempt"
TRIGGER_ANNOTATION = "penstock.dev/trigger"
STARTED_ANNOTATION = "penstock.dev/started"

CONTAINER = "validate"
_ROOT = "/etc/penstock"
_DEFAULT_RESOURCES = {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}}
# The Job ends by itself before Kubernetes ends it, so that it can still say what it was doing.
_LAST_WORDS_SECONDS = 5


def name_of(feature_set: FeatureSet, start: runs.Start) -> str:
    """Return the Job's name: the same for the same validation, so that it is made once."""
    meta = feature_set.metadata
    suffix = runs.job_suffix(meta.uid, runs.definition_hash(feature_set.spec), start)
    return f"{meta.name}-{VALIDATE}-{suffix}"


def build(feature_set: FeatureSet, start: runs.Start, config: OperatorConfig, now: datetime) -> Json:
    """Return the Job. Raises ValueError if the operator has no image for it."""
    if config.jobs_image is None:
        raise ValueError("the operator's configuration has no jobsImage")
    meta, spec = feature_set.metadata, feature_set.spec
    baseline = baseline_in_force(feature_set)
    task = task_of(
        spec,
        baseline_profile=baseline,
        store=f"{config.artifact_store.repository}/{meta.namespace}/{meta.name}"
        if config.artifact_store.repository
        else None,
        insecure_registries=config.insecure_registries,
    )
    labels = {MANAGED_BY: "penstock", FEATURE_SET_LABEL: meta.name, JOB_LABEL: VALIDATE}
    pod_annotations = {TASK_ANNOTATION: json.dumps(task.as_json(), sort_keys=True, separators=(",", ":"))}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name_of(feature_set, start),
            "namespace": meta.namespace,
            "labels": labels,
            "annotations": {
                DEFINITION_ANNOTATION: runs.definition_hash(spec),
                BASELINE_ANNOTATION: runs.baseline_hash(spec) or "",
                ATTEMPT_ANNOTATION: str(start.attempt),
                TRIGGER_ANNOTATION: start.trigger,
                STARTED_ANNOTATION: now.astimezone(UTC).isoformat(timespec="seconds"),
            },
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "FeatureSet",
                    "name": meta.name,
                    "uid": meta.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": spec.validation.deadline_seconds,
            # A drained node or an evicted pod says nothing about the data: another pod, not a failure.
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {
                "metadata": {"labels": labels, "annotations": pod_annotations},
                "spec": _pod(feature_set, config),
            },
        },
    }


def baseline_in_force(feature_set: FeatureSet) -> str | None:
    """Return the digest of the baseline's profile, if there is one of the present definition."""
    known = feature_set.status.baseline
    wanted = runs.baseline_hash(feature_set.spec)
    return known.profile_digest if known and wanted and known.definition == wanted else None


def _pod(feature_set: FeatureSet, config: OperatorConfig) -> Json:
    spec = feature_set.spec
    variables = {
        "PENSTOCK_TASK": f"{_ROOT}/task/task.json",
        "PENSTOCK_CREDENTIALS": f"{_ROOT}/credentials",
        "PENSTOCK_BASELINE_CREDENTIALS": f"{_ROOT}/baseline-credentials",
        "PENSTOCK_PVC": f"{_ROOT}/pvc",
        "PENSTOCK_SCRATCH": "/scratch",
        "PENSTOCK_DEADLINE_SECONDS": str(max(1, spec.validation.deadline_seconds - _LAST_WORDS_SECONDS)),
        "TMPDIR": "/scratch",
    }
    scratch = spec.validation.scratch_gibibytes or DEFAULT_SCRATCH_GIBIBYTES
    volumes: list[Json] = [
        {
            "name": "task",
            "downwardAPI": {
                "items": [
                    {
                        "path": "task.json",
                        "fieldRef": {"fieldPath": f"metadata.annotations['{TASK_ANNOTATION}']"},
                    }
                ]
            },
        },
        {"name": "scratch", "emptyDir": {"sizeLimit": f"{scratch}Gi"}},
    ]
    mounts: list[Json] = [
        {"name": "task", "mountPath": f"{_ROOT}/task", "readOnly": True},
        {"name": "scratch", "mountPath": "/scratch"},
    ]
    baseline = spec.baseline.dataset if spec.baseline else None
    for source, folder in ((spec.source, "credentials"), (baseline, "baseline-credentials")):
        if source is not None and source.credentials_secret_ref is not None:
            # Optional: a pod without its Secret would hang without a word, the Job says what is missing.
            secret = {"secretName": source.credentials_secret_ref.name, "optional": True, "defaultMode": 0o440}
            volumes.append({"name": folder, "secret": secret})
            mounts.append({"name": folder, "mountPath": f"{_ROOT}/{folder}", "readOnly": True})
    for index, claim in enumerate(_claims(spec.source, baseline)):
        volumes.append({"name": f"pvc-{index}", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
        mounts.append({"name": f"pvc-{index}", "mountPath": f"{_ROOT}/pvc/{claim}", "readOnly": True})
    resources = spec.validation.resources.as_json() if spec.validation.resources else _DEFAULT_RESOURCES
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
                "command": ["python3", "-m", "penstock.jobs.validate"],
                "env": [{"name": name, "value": value} for name, value in variables.items()],
                "resources": {key: value for key, value in resources.items() if value},
                "securityContext": podsecurity.CONTAINER,
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }


def _claims(*sources: DatasetRef | None) -> list[str]:
    uris = [source.uri for source in sources if source is not None and source.uri.startswith("pvc://")]
    return sorted({uri.removeprefix("pvc://").split("/", 1)[0] for uri in uris})
