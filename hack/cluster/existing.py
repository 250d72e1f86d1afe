"""Provider for a cluster somebody else runs: the current kube context, and what the environment says of the rest.

PENSTOCK_REGISTRY: "host:port/prefix" that this machine pushes to and the nodes pull from.
PENSTOCK_REGISTRY_INSECURE: 1 if that registry speaks plain http.
PENSTOCK_GATEWAY_URL: where the Gateway answers, "http://host:port".
PENSTOCK_GATEWAY: "namespace/name" or "namespace/name/section"; not needed where there is only one Gateway.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from hack.cluster import build, paths
from hack.cluster.console import ClusterError, Stopwatch
from hack.cluster.handle import Cluster


def up(watch: Stopwatch) -> Cluster:
    """Checks that the current context is reachable and takes a copy of it. Raises ClusterError."""
    command = kubectl_command()
    registry = _address("PENSTOCK_REGISTRY", "the registry the nodes pull from, for example registry.local:5000/models")
    gateway = _required("PENSTOCK_GATEWAY_URL", "where its Gateway answers, for example http://192.168.1.10")
    view = [str(command), "config", "view", "--minify", "--flatten", "--raw"]
    context = subprocess.run(view, capture_output=True, text=True, check=False)
    if context.returncode:
        raise ClusterError("There is no current kube context; choose one with: kubectl config use-context NAME")
    kubeconfig = paths.state() / "existing.kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(context.stdout)
    cluster = Cluster("existing", kubeconfig, "", registry, gateway.rstrip("/"), None, paths.state(), command)
    if "ok" not in cluster.kubectl("get", "--raw=/readyz", "--request-timeout=10s", check=False):
        raise ClusterError("The cluster of the current kube context does not answer; check it with: kubectl version")
    watch.stage("the existing cluster answers")
    return cluster


def load_image(cluster: Cluster, archive: Path, ref: str) -> None:
    """Nodes of somebody else's cluster cannot be given images; it raises ClusterError that says so."""
    raise ClusterError(
        f"{ref} cannot be loaded into an existing cluster's nodes; push {archive} to {cluster.registry}."
    )


def kubectl_command() -> Path:
    """The kubectl on PATH, or else the built one."""
    found = shutil.which("kubectl")
    return Path(found) if found else build.kubectl()


def registry_speaks_http() -> bool:
    """Whether PENSTOCK_REGISTRY is spoken to over plain http."""
    return os.environ.get("PENSTOCK_REGISTRY_INSECURE", "") not in ("", "0")


def gateway(cluster: Cluster) -> dict[str, str]:
    """The chart's `gateway.namespace`, `.name` and `.sectionName`. Raises ClusterError where it is not clear which."""
    chosen = os.environ.get("PENSTOCK_GATEWAY", "")
    if not chosen:
        listed = cluster.kubectl("get", "gateways.gateway.networking.k8s.io", "-A", "-o", "json", check=False)
        items = json.loads(listed)["items"] if listed else []
        found = [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in items]
        if len(found) != 1:
            known = ", ".join(found) or "none"
            raise ClusterError(f"Set PENSTOCK_GATEWAY to the namespace/name of the Gateway to use; there is {known}.")
        chosen = found[0]
    parts = chosen.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise ClusterError(f"PENSTOCK_GATEWAY is {chosen!r}; write it as namespace/name or namespace/name/section.")
    return {"namespace": parts[0], "name": parts[1], "sectionName": parts[2] if len(parts) == 3 else ""}


def _address(variable: str, meaning: str) -> str:
    value = _required(variable, meaning).rstrip("/")
    if "://" in value:
        raise ClusterError(f"{variable} is {value!r}; write it without a scheme: it is {meaning}.")
    return value


def _required(variable: str, meaning: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise ClusterError(f"With CLUSTER=existing set {variable} to {meaning}.")
    return value
