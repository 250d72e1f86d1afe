"""Models as the API server shows them, for what the plugin says about them."""

from __future__ import annotations

import copy
from typing import Any

from penstock.api.v1alpha1.model import Model

Json = dict[str, Any]

OLD, NEW = "0123456789ab", "ba9876543210"
AT = "2026-03-01T12:00:00Z"
DIGEST = "sha256:" + "ab" * 32


def condition(kind: str, status: str, reason: str, message: str = "") -> Json:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message or f"{kind} because of {reason}",
        "lastTransitionTime": AT,
    }


SERVING: Json = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "Model",
    "metadata": {"name": "flight", "namespace": "airline", "generation": 3, "uid": "u"},
    "spec": {
        "owner": {"team": "ops"},
        "artifact": {"uri": "oci://registry.example.com/m:1", "digest": DIGEST, "format": "ONNX"},
    },
    "status": {
        "observedGeneration": 3,
        "sequence": 14,
        "url": "http://example.com/airline/flight",
        "conditions": [
            condition("Ready", "True", "Serving", "Revision 0123456789ab serves all traffic"),
            condition("Progressing", "False", "Complete"),
            condition("SpecServed", "True", "Serving"),
        ],
        "stable": {"revision": OLD, "digest": DIGEST, "replicas": 2, "readyReplicas": 2},
        "traffic": [{"revision": OLD, "role": "Stable", "weight": 100}],
    },
}

CANARY: Json = {
    "candidate": {
        "revision": NEW,
        "digest": DIGEST,
        "replicas": 2,
        "readyReplicas": 1,
        "stage": "Canary",
        "step": "1/3",
        "since": AT,
        "deadline": "2026-03-01T13:00:00Z",
        "eta": "2026-03-01T12:10:00Z",
        "waitingFor": "40 of 500 requests",
        "gates": [{"name": "holdout", "verdict": "Pass", "message": "roc_auc 0.91"}],
    },
    "traffic": [
        {"revision": OLD, "role": "Stable", "weight": 95},
        {"revision": NEW, "role": "Candidate", "weight": 5, "mirrorPercent": 10},
    ],
    "analysis": [
        {
            "name": "errors",
            "champion": "0.01",
            "candidate": "0.02",
            "difference": "0.01",
            "lower": "-0.01",
            "upper": "0.03",
            "n": 40,
            "verdict": "Inconclusive",
        }
    ],
    "shadow": {"pairs": 100, "disagreements": 3, "excess": "0.01", "verdict": "Pass"},
}


def model(status: Json | None = None, *conditions: Json, **changes: Any) -> Model:
    """A Model that serves, with changes of its status, conditions and spec."""
    obj = copy.deepcopy(SERVING)
    obj["status"] |= status or {}
    kept = [item for item in obj["status"]["conditions"] if item["type"] not in {new["type"] for new in conditions}]
    obj["status"]["conditions"] = [*kept, *conditions]
    obj["spec"] |= changes
    return Model.model_validate(obj)


def pod(name: str, revision: str, **status: Any) -> Json:
    return {"metadata": {"name": name, "labels": {"penstock.dev/revision": revision}}, "status": status}
