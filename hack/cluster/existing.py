"""Provider for a cluster somebody else runs: the current kube context, which is only used, never changed."""

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
    registry = _required("PENSTOCK_REGISTRY", "the registry the nodes pull from, for example registry.local:5000")
    gateway = _required("PENSTOCK_GATEWAY_URL", "where its Gateway answers, for example http://192.168.1.10")
    view = [str(command), "config", "view", "--minify", "--flatten", "--raw"]
    context = subprocess.run(view, capture_output=True, text=True, check=False)
    if context.returncode:
        raise ClusterError("There is no current kube context; choose one with: kubectl config use-context NAME")
    kubeconfig = paths.state() / "existing.kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(context.stdout)
    cluster = Cluster("existing", kubeconfig, "", registry, gateway, None, paths.state(), command)
    if "ok" not in cluster.kubectl("get", "--raw=/readyz", "--request-timeout=10s", check=False):
        raise ClusterError("The cluster of the current kube context does not answer; check it with: kubectl version")
    watch.stage("the existing cluster answers")
    address = cluster.kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.addresses[0].address}")
    return Cluster("existing", kubeconfig, address, registry, gateway, None, paths.state(), command)


def load_image(cluster: Cluster, archive: Path, ref: str) -> None:
    """Nodes of somebody else's cluster cannot be given images; it raises ClusterError that says so."""
    raise ClusterError(
        f"{ref} cannot be loaded into an existing cluster's nodes; push {archive} to {cluster.registry}."
    )


def kubectl_command() -> Path:
    """The kubectl on PATH, or else the built one."""
    found = shutil.which("kubectl")
    return Path(found) if found else build.kubectl()


def _required(variable: str, meaning: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise ClusterError(f"With CLUSTER=existing set {variable} to {meaning}.")
    return value
