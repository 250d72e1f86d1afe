"""The comparator of a shadow: a Job that counts for as long as it exists. A plain object from plain values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from penstock.controllers import podsecurity
from penstock.controllers.config import OperatorConfig
from penstock.controllers.featureset.job import JOB_LABEL, MANAGED_BY
from penstock.controllers.model import children, names
from penstock.domain.shadow.agreement import AnswerRule

Json = dict[str, Any]

COMPARE = "compare"
CONTAINER = "compare"
PORT = 8080
# Not labels: what bears the label of a revision gets its traffic.
CANDIDATE_ANNOTATION = "penstock.dev/compared-candidate"
CHAMPION_ANNOTATION = "penstock.dev/compared-champion"
# It is there for as long as the stage lasts; a pod that failed so often has something that waiting does not mend.
_MOST_FAILURES = 20
_RESOURCES = {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "256Mi"}}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared. `attempt`: the candidate's, so that another try begins anew."""

    namespace: str
    model: str
    model_uid: str
    champion: str
    candidate: str
    rule: AnswerRule
    percent: int
    attempt: int = 1


def name_of(comparison: Comparison) -> str:
    """Return the Job's name, the same for the same comparison and no other; at most 61 characters."""
    return f"{comparison.model}-{COMPARE}-{_fingerprint(comparison)}"


def build(comparison: Comparison, config: OperatorConfig) -> Json:
    """Return the Job. Raises ValueError if the operator has no image for it.

    It ends when it is deleted. It keeps nothing: after a restart it counts from 0 under another instance, and the
    operator adds the instances up.
    """
    if config.jobs_image is None:
        raise ValueError("the operator's configuration has no jobsImage")
    labels = {MANAGED_BY: names.MANAGER, names.MODEL_LABEL: comparison.model, JOB_LABEL: COMPARE}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name_of(comparison),
            "namespace": comparison.namespace,
            "labels": labels,
            "annotations": {
                CANDIDATE_ANNOTATION: comparison.candidate,
                CHAMPION_ANNOTATION: comparison.champion,
            },
            "ownerReferences": [names.owner_reference(comparison.model, comparison.model_uid)],
        },
        "spec": {
            "backoffLimit": _MOST_FAILURES,
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {"metadata": {"labels": labels}, "spec": _pod(comparison, config)},
        },
    }


def _pod(comparison: Comparison, config: OperatorConfig) -> Json:
    variables = {
        "PENSTOCK_MODEL_NAME": comparison.model,
        "PENSTOCK_CHAMPION_REVISION": comparison.champion,
        "PENSTOCK_CHAMPION_RINGS": _rings(comparison, comparison.champion),
        "PENSTOCK_CANDIDATE_REVISION": comparison.candidate,
        "PENSTOCK_CANDIDATE_RINGS": _rings(comparison, comparison.candidate),
        "PENSTOCK_RULE": _canonical(comparison.rule.as_json()),
        "PENSTOCK_PERCENT": str(comparison.percent),
        "PENSTOCK_PORT": str(PORT),
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": podsecurity.POD,
        "terminationGracePeriodSeconds": 5,
        "containers": [
            {
                "name": CONTAINER,
                "image": config.jobs_image,
                "imagePullPolicy": config.image_pull_policy,
                "command": ["python3", "-m", "penstock.jobs.compare"],
                "env": [{"name": name, "value": value} for name, value in variables.items()],
                "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
                "resources": _RESOURCES,
                "livenessProbe": {
                    "httpGet": {"path": "/healthz", "port": "http"},
                    "initialDelaySeconds": 10,
                    "periodSeconds": 10,
                    "timeoutSeconds": 5,
                    "failureThreshold": 3,
                },
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": podsecurity.CONTAINER,
            }
        ],
    }


def _rings(comparison: Comparison, revision: str) -> str:
    """The headless Service of a revision names its ready pods; the rings are on their metrics port."""
    service = names.workload_name(comparison.model, revision)
    return f"{service}.{comparison.namespace}.svc:{children.METRICS_PORT}"


def _fingerprint(comparison: Comparison) -> str:
    content = [
        comparison.model_uid,
        comparison.champion,
        comparison.candidate,
        comparison.rule.as_json(),
        comparison.percent,
        comparison.attempt,
    ]
    return hashlib.sha256(_canonical(content).encode()).hexdigest()[:12]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
