"""Names, labels and annotations of everything a Model owns. Identity is read from fields, never parsed from names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from penstock.api.v1alpha1.base import API_VERSION

Json = dict[str, Any]

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "penstock"
MODEL_LABEL = "penstock.dev/model"
MODEL_UID_LABEL = "penstock.dev/model-uid"
REVISION_LABEL = "penstock.dev/revision"
SEQUENCE_ANNOTATION = "penstock.dev/sequence"
# The size and placement a Deployment was made with: what an edit of the Model must not change
# while a candidate is under way, or ever for a revision that is only kept warm.
SIZING_ANNOTATION = "penstock.dev/sizing"
# What the operator's configuration was when the Deployment was made; kept for the same reason.
ENVIRONMENT_ANNOTATION = "penstock.dev/environment"
# Which layout of the pod template this Deployment has. A new operator keeps it: it must not
# restart pods that serve.
TEMPLATE_ANNOTATION = "penstock.dev/template"
# The feature schema that the pods check requests against; they read it as a file.
FEATURES_ANNOTATION = "penstock.dev/features"
# Who asks for the revision, where duties are separated; a policy holds it to the user that writes it.
REQUESTER_ANNOTATION = "penstock.dev/requested-by"
DIGEST_ANNOTATION = "penstock.dev/artifact-digest"

REVISION_PORT = 8080
MODEL_PORT = 80


def uid8(uid: str) -> str:
    """Return the first 8 hex characters of a uid: enough to keep two lives of one name apart."""
    return uid.replace("-", "")[:8]


def workload_name(model: str, revision: str) -> str:
    """Name of a revision's Deployment and Service."""
    return f"{model}-{revision}"


def revision_name(model: str, uid: str, revision: str) -> str:
    """Name of a ModelRevision."""
    return f"{model}-{uid8(uid)}-{revision}"


def record_name(model: str, uid: str, sequence: int) -> str:
    """Name of a DecisionRecord; creating it is the compare-and-swap."""
    return f"{model}-{uid8(uid)}-{sequence:010d}"


def preview_token(uid: str, revision: str, weights: Mapping[str, int]) -> str:
    """The header value that reaches a candidate through the gateway: not to be guessed from outside the cluster.

    It changes with the weights: a gateway that knows it has taken the route with exactly these.
    """
    shared = ",".join(f"{key}={weight}" for key, weight in sorted(weights.items()))
    return hashlib.sha256(f"penstock.dev/preview/{uid}/{revision}/{shared}".encode()).hexdigest()[:32]


def labels(model: str, revision: str | None = None) -> dict[str, str]:
    """Labels of an object of that Model, and of that revision if it belongs to one."""
    found = {MANAGED_BY: MANAGER, "app.kubernetes.io/name": model, MODEL_LABEL: model}
    if revision:
        found[REVISION_LABEL] = revision
    return found


def selector(model: str, revision: str) -> dict[str, str]:
    """Labels that select exactly the pods of one revision of a Model."""
    return {MODEL_LABEL: model, REVISION_LABEL: revision}


def owner_reference(model: str, uid: str) -> Json:
    """The controller reference to a Model, by which garbage collection finds what it owned."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Model",
        "name": model,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def sequence_of(obj: Json) -> int:
    """The number of the DecisionRecord that ordered this object's present form; 0 if none is named."""
    value = obj["metadata"].get("annotations", {}).get(SEQUENCE_ANNOTATION, "0")
    return int(value) if value.isdigit() else 0
