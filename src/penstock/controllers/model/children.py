"""Builders of a Model's children: plain objects from plain values, without metadata.ownerReferences or sequence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from penstock.api.v1alpha1.model import ModelSpec
from penstock.api.v1alpha1.modelrevision import ModelRevisionSpec
from penstock.api.v1alpha1.serving import Runtime
from penstock.controllers import podsecurity
from penstock.controllers.model import names
from penstock.domain.features.schema import FeatureSchema

Json = dict[str, Any]

# Raised only together with a new branch in `deployment`: a Deployment keeps the layout it was
# made with, so that a new operator restarts nothing.
TEMPLATE_VERSION = "1"
SERVER = "server"
FETCH = "fetch"
METRICS_PORT = 9090
MODEL_DIR = "/models"
FEATURES_DIR = "/etc/penstock/features"
_DEFAULT_RESOURCES = {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
_DEFAULT_GRACE_SECONDS = 30
_DRAIN_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Environment:
    """What the operator's configuration adds to a pod; none of it changes an answer.

    Kept with each Deployment as text: a changed configuration must not restart pods that serve.
    """

    image_pull_policy: str
    insecure_registries: tuple[str, ...]

    def as_text(self) -> str:
        """Return canonical text from which `from_text` makes the same value."""
        return _canonical({"pullPolicy": self.image_pull_policy, "insecureRegistries": self.insecure_registries})

    @classmethod
    def from_text(cls, text: str) -> Environment:
        """Read what `as_text` wrote."""
        value = json.loads(text)
        return cls(value["pullPolicy"], tuple(value["insecureRegistries"]))


def sizing(spec: ModelSpec) -> str:
    """Return size and placement of a Model's pods as canonical text, to be kept with the Deployment."""
    serving = spec.serving
    return _canonical({"resources": _given(serving.resources.as_json()), "pod": _given(serving.pod.as_json())})


def deployment(model: str, revision: ModelRevisionSpec, replicas: int, size: str, env: Environment) -> Json:
    """Return the Deployment of one revision.

    `size` is what `sizing` returned when the Deployment got its present form. Everything else in
    the pod template follows from the immutable ModelRevision.
    """
    sized = json.loads(size)
    pod_settings = sized["pod"]
    resources = sized["resources"] or _DEFAULT_RESOURCES
    grace = pod_settings.get("terminationGracePeriodSeconds", _DEFAULT_GRACE_SECONDS)
    pod: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": podsecurity.POD,
        "terminationGracePeriodSeconds": grace,
        "initContainers": [_fetch(revision, env)],
        "containers": [_server(model, revision, resources, env, grace)],
        "volumes": [{"name": "model", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
    }
    annotations = {names.DIGEST_ANNOTATION: revision.artifact.digest}
    if revision.features is not None:
        schema = FeatureSchema.of(revision.features.features).as_json()
        annotations[names.FEATURES_ANNOTATION] = _canonical(schema)
        _mount_features(pod)
    for key in ("nodeSelector", "tolerations", "imagePullSecrets", "priorityClassName"):
        if pod_settings.get(key):
            pod[key] = pod_settings[key]
    return {
        "metadata": {
            "name": names.workload_name(model, revision.revision),
            "labels": names.labels(model, revision.revision),
            "annotations": {
                names.SIZING_ANNOTATION: size,
                names.ENVIRONMENT_ANNOTATION: env.as_text(),
                names.TEMPLATE_ANNOTATION: TEMPLATE_VERSION,
            },
        },
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": names.selector(model, revision.revision)},
            "template": {
                "metadata": {
                    "labels": names.labels(model, revision.revision),
                    "annotations": annotations,
                },
                "spec": pod,
            },
        },
    }


def revision_service(model: str, revision: str, port: int) -> Json:
    """Return the headless Service through which a gateway finds the pods of one revision."""
    return {
        "metadata": {
            "name": names.workload_name(model, revision),
            "labels": names.labels(model, revision),
        },
        "spec": {
            "clusterIP": "None",
            "selector": names.selector(model, revision),
            "ports": [_port(names.REVISION_PORT, port)],
        },
    }


def model_service(model: str, revision: str, port: int) -> Json:
    """Return the Service of the Model inside the cluster; it selects the pods of `revision`."""
    return {
        "metadata": {"name": model, "labels": names.labels(model)},
        "spec": {
            "type": "ClusterIP",
            "selector": names.selector(model, revision),
            "ports": [_port(names.MODEL_PORT, port)],
        },
    }


def server_port(revision: ModelRevisionSpec) -> int:
    """Return the port of the server's container."""
    return revision.custom.port if revision.custom else names.REVISION_PORT


def _port(port: int, target: int) -> Json:
    return {"name": "http", "port": port, "targetPort": target, "protocol": "TCP", "appProtocol": "http"}


def _fetch(revision: ModelRevisionSpec, env: Environment) -> Json:
    variables = {
        "PENSTOCK_ARTIFACT_URI": revision.artifact.uri,
        "PENSTOCK_ARTIFACT_DIGEST": revision.artifact.digest,
        "PENSTOCK_ARTIFACT_FORMAT": revision.artifact.format.value,
        "PENSTOCK_ARTIFACT_DIR": MODEL_DIR,
    }
    if env.insecure_registries:
        variables["PENSTOCK_INSECURE_REGISTRIES"] = ",".join(env.insecure_registries)
    return {
        "name": FETCH,
        "image": revision.images.fetch,
        "imagePullPolicy": env.image_pull_policy,
        "command": ["python3", "-m", "penstock.artifact.fetch"],
        "env": _env(variables),
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": podsecurity.CONTAINER,
        "volumeMounts": [{"name": "model", "mountPath": MODEL_DIR}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }


def _server(model: str, revision: ModelRevisionSpec, resources: Json, env: Environment, grace: int) -> Json:
    custom = revision.custom
    port = server_port(revision)
    variables = {
        "PENSTOCK_MODEL_NAME": model,
        "PENSTOCK_MODEL_DIR": MODEL_DIR,
        "PENSTOCK_MODEL_FORMAT": revision.artifact.format.value,
        "PENSTOCK_REVISION": revision.revision,
        "PENSTOCK_ARTIFACT_DIGEST": revision.artifact.digest,
        "PENSTOCK_PORT": str(port),
    }
    ports = [{"name": "http", "containerPort": port, "protocol": "TCP"}]
    if revision.runtime is Runtime.PENSTOCK:
        variables["PENSTOCK_METRICS_PORT"] = str(METRICS_PORT)
        # The rest of the grace period is for requests under way when the drain ends.
        variables["PENSTOCK_DRAIN_SECONDS"] = str(max(1, min(_DRAIN_SECONDS, grace // 3)))
        ports.append({"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"})
    if custom is not None:
        variables.update({item.name: item.value for item in custom.env})
    ready = {"httpGet": {"path": f"/v2/models/{model}/ready", "port": "http"}}
    server: Json = {
        "name": SERVER,
        "image": revision.images.runtime,
        "imagePullPolicy": env.image_pull_policy,
        "env": _env(variables),
        "ports": ports,
        "resources": resources,
        "securityContext": podsecurity.CONTAINER,
        "startupProbe": {**ready, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 300},
        "readinessProbe": {**ready, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {
            "httpGet": {"path": "/v2/health/live", "port": "http"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "model", "mountPath": MODEL_DIR, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }
    if custom is not None and custom.args:
        server["args"] = list(custom.args)
    return server


def _mount_features(pod: Json) -> None:
    """Give every container the feature schema as a file: it is in the pod's own annotation."""
    path = f"metadata.annotations['{names.FEATURES_ANNOTATION}']"
    item = {"path": "features.json", "fieldRef": {"apiVersion": "v1", "fieldPath": path}}
    pod["volumes"].append({"name": "features", "downwardAPI": {"items": [item], "defaultMode": 0o644}})
    for container in [*pod["initContainers"], *pod["containers"]]:
        container["volumeMounts"].append({"name": "features", "mountPath": FEATURES_DIR, "readOnly": True})


def _canonical(value: Json) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _given(value: Json) -> Json:
    """Return what somebody wrote: empty lists and maps say nothing."""
    return {key: item for key, item in value.items() if item not in ([], {})}


def _env(variables: dict[str, str]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in variables.items()]
