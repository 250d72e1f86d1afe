"""Provider for machines with Docker: a kind cluster with the same addresses for registry and Gateway."""

import subprocess
from pathlib import Path

from hack.cluster import paths
from hack.cluster.console import ClusterError, Stopwatch
from hack.cluster.existing import kubectl_command
from hack.cluster.handle import Cluster
from hack.cluster.versions import load

NAME = "penstock"
# kind-config.yaml maps these from the node to the host.
REGISTRY = "localhost:30500"
GATEWAY_URL = "http://localhost:8080"


def up(watch: Stopwatch) -> Cluster:
    """Creates the kind cluster unless it exists. Raises ClusterError."""
    kubeconfig = paths.state() / "kubeconfig"
    if NAME in _run("kind", "get", "clusters").split():
        _run("kind", "export", "kubeconfig", f"--name={NAME}", f"--kubeconfig={kubeconfig}")
    else:
        options = [f"--config={paths.REPOSITORY / 'kind-config.yaml'}", f"--image={load()['kind']['node-image']}"]
        _run("kind", "create", "cluster", f"--name={NAME}", f"--kubeconfig={kubeconfig}", "--wait=180s", *options)
    # Inside the node the registry answers on the same name, through its NodePort, without TLS.
    folder = f"/etc/containerd/certs.d/{REGISTRY}"
    script = f"mkdir -p {folder} && echo '[host.\"http://{REGISTRY}\"]' > {folder}/hosts.toml"
    _run("docker", "exec", f"{NAME}-control-plane", "sh", "-c", script)
    watch.stage("kind cluster is there")
    command = kubectl_command()
    path = "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}"
    address = _run(str(command), f"--kubeconfig={kubeconfig}", "get", "nodes", "-o", path)
    return Cluster("kind", kubeconfig, address, REGISTRY, GATEWAY_URL, None, paths.state(), command)


def down(watch: Stopwatch) -> None:
    """Deletes the kind cluster and all in it."""
    _run("kind", "delete", "cluster", f"--name={NAME}", f"--kubeconfig={paths.state() / 'kubeconfig'}")
    watch.stage("kind cluster is deleted")


def load_image(cluster: Cluster, archive: Path, ref: str) -> None:
    """Loads an archive into the node; kind itself skips an image that is there."""
    _run("kind", "load", "image-archive", str(archive), f"--name={NAME}")


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ClusterError(f"{command[0]} is not on the PATH: install it, or leave CLUSTER unset.") from None
    if done.returncode:
        raise ClusterError(f"{' '.join(command[:3])} failed: {done.stderr.strip()}")
    return done.stdout
