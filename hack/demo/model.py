"""The Model of the demo: pushed, described by a manifest, applied, and followed until it serves."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from hack.cluster import paths
from hack.cluster.console import ClusterError
from hack.cluster.handle import Cluster
from hack.demo.stages import note
from hack.demo.training import EXAMPLE
from hack.install import pull_registry, registry_speaks_http

NAMESPACE = "airline"
NAME = "flight-delay"
FORMATS = {"logistic": "ONNX", "boosted": "Skops"}
_SECONDS = 180
_POLL_SECONDS = 0.3

Json = dict[str, Any]


def push(cluster: Cluster, folder: Path) -> Json:
    """Runs `penstock push` for the model in `folder`; returns `uri` and `digest` for spec.artifact."""
    tag = f"oci://{cluster.registry}/{NAMESPACE}/{NAME}:{folder.name}"
    command = ["push", str(folder), tag, *(["--insecure"] if registry_speaks_http(cluster) else [])]
    note(f"penstock {' '.join(command)}")
    program = [sys.executable, "-m", "penstock.cli.main", *command, "--output", "json"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"The model could not be pushed: {done.stderr.strip()}")
    pushed: Json = json.loads(done.stdout)
    return {**pushed, "uri": pushed["uri"].replace(cluster.registry, pull_registry(cluster), 1)}


def filled(manifest: str, name: str, pushed: Json) -> Json:
    """The example's manifest with the artifact of the model `name` in it."""
    model: Json = yaml.safe_load(manifest)
    model["spec"]["artifact"] = {"uri": pushed["uri"], "digest": pushed["digest"], "format": FORMATS[name]}
    return model


def write_manifest(name: str, pushed: Json) -> Path:
    """Writes the filled manifest where a user finds it."""
    model = filled((EXAMPLE / "model.yaml").read_text(), name, pushed)
    path = folder() / f"{name}.yaml"
    path.write_text(yaml.safe_dump(model, sort_keys=False, width=1000))
    return path


def folder() -> Path:
    """Where the demo leaves files for its user. Created when missing."""
    path = paths.cache() / "demo"
    path.mkdir(exist_ok=True)
    return path


def apply(cluster: Cluster, manifest: Path) -> None:
    """Applies namespace and Model, and says so if that changes what is served."""
    cluster.kubectl("apply", "-f", str(EXAMPLE / "namespace.yaml"))
    wanted = yaml.safe_load(manifest.read_text())["spec"]["artifact"]["digest"]
    stable = (get(cluster) or {}).get("status", {}).get("stable") or {}
    if stable.get("digest", wanted) != wanted:
        note(f"{NAMESPACE}/{NAME} serves revision {stable['revision']}, of another artifact;")
        note("the demo applies its own manifest all the same, so it goes back to the demo's first model")
    note(f"kubectl apply -f {manifest}")
    note(cluster.kubectl("apply", "-f", str(manifest)).strip())


def get(cluster: Cluster) -> Json | None:
    """The Model as the API server has it; None if it is not there or the API server does not answer."""
    question = ("-n", NAMESPACE, "get", "models.penstock.dev", NAME, "-o", "json", "--request-timeout=5s")
    answer = cluster.kubectl(*question, check=False)
    return json.loads(answer) if answer else None


def wait_until_served(cluster: Cluster) -> Json:
    """Prints what the conditions say whenever they say something else; returns the Model once its spec is served.

    Raises ClusterError if it cannot be, or is not after three minutes.
    """
    deadline = time.monotonic() + _SECONDS
    said: list[str] = []
    while time.monotonic() < deadline:
        model = get(cluster)
        if model is not None:
            for line in condition_lines(model):
                if line not in said:
                    note(line)
                    said.append(line)
            if is_served(model):
                return model
            refusal = stalled(model)
            if refusal:
                raise ClusterError(f"The Model cannot be served: {refusal}")
        time.sleep(_POLL_SECONDS)
    raise ClusterError(
        f"The Model did not serve within {_SECONDS} s; see why with: kubectl -n {NAMESPACE} describe model {NAME}"
    )


def is_served(model: Json) -> bool:
    """Whether the status speaks of the present spec, and the artifact of that spec takes all the traffic."""
    status = model.get("status", {})
    current = _conditions(model)
    is_at_rest = [current.get(kind, {}).get("status") for kind in ("Ready", "SpecServed", "Progressing")]
    digest = (status.get("stable") or {}).get("digest")
    return is_at_rest == ["True", "True", "False"] and digest == model["spec"]["artifact"]["digest"]


def stalled(model: Json) -> str:
    """Why the present spec cannot be served, or an empty string."""
    current = _conditions(model)
    for kind in ("Stalled", "CandidateRejected"):
        if current.get(kind, {}).get("status") == "True":
            return str(current[kind]["message"])
    return ""


def condition_lines(model: Json) -> list[str]:
    """What the conditions say of the present spec, as lines for people."""
    return [f"{kind}={item['status']} {item['reason']}: {item['message']}" for kind, item in _conditions(model).items()]


def _conditions(model: Json) -> dict[str, Json]:
    generation = model["metadata"]["generation"]
    conditions = model.get("status", {}).get("conditions", [])
    return {item["type"]: item for item in conditions if item.get("observedGeneration") == generation}
