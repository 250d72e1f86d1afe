"""Valid manifests of every kind, and how to change them."""

import copy
from enum import Enum
from typing import Any

from penstock.api.v1alpha1.decisionrecord import content_hash

Json = dict[str, Any]

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"
OTHER_DIGEST = f"sha256:{HEX[::-1]}"
UID = "0f1e2d3c-0000-4000-8000-000000000001"
IMAGE = f"registry.example.com/server:1@{DIGEST}"


class Absent(Enum):
    """The value of a field that is to be left out; it prints alike in every process, as ids of tests must."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT

MODEL: Json = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "Model",
    "metadata": {"name": "flight-delay"},
    "spec": {
        "artifact": {"uri": "oci://registry.example.com/models/flight-delay:1", "digest": DIGEST, "format": "ONNX"},
    },
}

CUSTOM_MODEL: Json = MODEL | {
    "spec": {
        "artifact": {"uri": "https://example.com/model.bin", "digest": DIGEST, "format": "Custom"},
        "serving": {"runtime": "Custom", "custom": {"image": IMAGE, "port": 8080}},
    }
}

FULL_MODEL: Json = MODEL | {
    "spec": {
        "owner": {"team": "ops-analytics", "contact": "ops-analytics@example.com"},
        "card": {"purpose": "Predicts delays.", "limitations": "Not for cargo.", "risk": "High"},
        "artifact": {
            "uri": f"oci://localhost:5000/models/flight_delay:v1@{DIGEST}",
            "digest": DIGEST,
            "format": "Custom",
        },
        "serving": {
            "runtime": "Custom",
            "custom": {
                "image": IMAGE,
                "port": 8080,
                "protocol": "V2",
                "args": ["--threads", "2"],
                "env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "EMPTY", "value": ""}],
            },
            "replicas": 3,
            "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": 2, "memory": "1Gi"}},
            "pod": {
                "nodeSelector": {"kubernetes.io/arch": "amd64"},
                "tolerations": [
                    {"key": "example.com/dedicated", "operator": "Equal", "value": "ml", "effect": "NoSchedule"},
                    {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
                ],
                "terminationGracePeriodSeconds": 60,
                "imagePullSecrets": [{"name": "registry"}],
                "priorityClassName": "serving",
            },
        },
        "route": {
            "gatewayRef": {"name": "public", "namespace": "gateways", "sectionName": "https"},
            "hostnames": ["delay.example.com"],
            "pathPrefix": "/",
        },
        "rollout": {
            "gates": [{"name": "holdout"}],
            "shadow": {
                "percent": 50,
                "minSamples": 1000,
                "maxExcessDisagreement": "0.02",
                "maxLatencyIncreasePercent": 20,
                "sideEffects": "None",
            },
            "canary": {
                "steps": [
                    {"weight": 5, "minRequests": 500, "minSeconds": 0},
                    {"weight": 50, "minRequests": 0, "minSeconds": 300},
                ],
                "warmupSeconds": 30,
                "analysis": [
                    {
                        "name": "errors",
                        "type": "Errors",
                        "margin": "0.005",
                        "maxIncreasePercent": 20,
                        "quantile": "0.99",
                        "better": "Lower",
                    }
                ],
            },
            "approval": {
                "required": True,
                "before": "Promotion",
                "quorum": 2,
                "separationOfDuties": True,
                "expiresAfterSeconds": 3600,
            },
            "onMissingEvidence": "Hold",
            "freeze": [{"schedule": "0 18 * * FRI", "durationSeconds": 3600, "timeZone": "Europe/Berlin"}],
            "stageDeadlineSeconds": 900,
            "rollbackWindowSeconds": 3600,
            "rollbackFullSeconds": 600,
            "warmReplicas": 1,
        },
        "fallback": {"revision": "0123456789ab"},
        "suspend": True,
    }
}

REVISION: Json = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "ModelRevision",
    "metadata": {"name": f"flight-delay-{UID[:8]}-0123456789ab"},
    "spec": {
        "modelName": "flight-delay",
        "modelUID": UID,
        "revision": "0123456789ab",
        "specHash": DIGEST,
        "parentRevision": "ba9876543210",
        "artifact": CUSTOM_MODEL["spec"]["artifact"],
        "runtime": "Custom",
        "images": {"runtime": IMAGE, "fetch": IMAGE},
        "custom": {"port": 8080, "protocol": "V2", "args": ["serve"], "env": [{"name": "A", "value": "b"}]},
    },
}


def record(sequence: int = 1, **changes: Any) -> Json:
    """A valid DecisionRecord."""
    spec: Json = {
        "modelName": "flight-delay",
        "modelUID": UID,
        "sequence": sequence,
        "time": "2026-01-02T03:04:05Z",
        "actor": "rule",
        "rule": "first-revision",
        "verdict": "Start",
        "inputs": {"digest": DIGEST, "ready": {"count": 2}},
        "result": {"stable": None, "weights": {}, "rejected": []},
    }
    if sequence > 1:
        spec["previousHash"] = OTHER_DIGEST
    spec |= changes
    spec["hash"] = content_hash(spec)
    name = f"flight-delay-{UID[:8]}-{sequence:010d}"
    return {"apiVersion": MODEL["apiVersion"], "kind": "DecisionRecord", "metadata": {"name": name}, "spec": spec}


def action(kind: str = "Approve", user: str = "ann") -> Json:
    """A valid ModelAction of that kind, signed by a user."""
    spec: Json = {
        "modelRef": {"name": "flight-delay"},
        "action": str(kind),
        "revision": "0123456789ab",
        "reason": "Looks good.",
        "user": user,
    }
    if kind == "Approve":
        spec["evidenceDigest"] = DIGEST
    name = f"{str(kind).lower()}-{user}"
    return {"apiVersion": MODEL["apiVersion"], "kind": "ModelAction", "metadata": {"name": name}, "spec": spec}


def changed(base: Json, changes: Json) -> Json:
    """Return a copy of `base` with values set at dotted paths; ABSENT removes one."""
    result = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = result
        for name in parents:
            place = place.setdefault(name, {})
        if value is ABSENT:
            del place[last]
        else:
            place[last] = value
    return result
