"""What a running cluster is to everybody else: where it answers, and how to reach it."""

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hack.cluster.console import ClusterError


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        provider: "native", "kind" or "existing".
        kubeconfig: file of an administrator.
        node_ip: address of the (first) node.
        registry: "host:port" that images are pushed to and pulled from, without a scheme; plain http if native.
        gateway_url: where the Gateway answers, "http://host:port".
        audit_log: JSON lines of the API server, or None where it cannot be read.
        state_dir: folder of everything that belongs to the cluster.
        kubectl_command: the kubectl that `kubectl` runs.
    """

    provider: str
    kubeconfig: Path
    node_ip: str
    registry: str
    gateway_url: str
    audit_log: Path | None
    state_dir: Path
    kubectl_command: Path

    def environment(self) -> dict[str, str]:
        """The environment for programs that read a kubeconfig: this cluster's, and nothing written to ~/.kube."""
        cache = str(self.state_dir / "kubectl-cache")
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": cache}

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:
        """Runs kubectl as administrator and returns its standard output.

        Raises ClusterError with kubectl's own message when it fails; with `check=False` what it printed to
        standard output is returned all the same.
        """
        command = [str(self.kubectl_command), *arguments]
        done = subprocess.run(command, input=input, capture_output=True, text=True, check=False, env=self.environment())
        if check and done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout

    def load_image(self, archive: Path, ref: str) -> None:
        """Makes the image `ref` of an OCI archive known to the node; nothing happens when it already is."""
        _loader(self.provider)(self, archive, ref)

    def info(self) -> dict[str, str | None]:
        """The cluster in the words of `python -m hack.cluster info`."""
        return {
            "provider": self.provider,
            "kubeconfig": str(self.kubeconfig),
            "nodeIP": self.node_ip,
            "registry": self.registry,
            "gatewayURL": self.gateway_url,
            "auditLog": str(self.audit_log) if self.audit_log else None,
            "stateDir": str(self.state_dir),
            "kubectl": str(self.kubectl_command),
        }

    def save(self) -> None:
        """Notes in the state folder that this cluster is the one."""
        path = self.state_dir / "cluster.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(self.info(), indent=2) + "\n")
        partial.replace(path)


def from_info(info: dict[str, Any]) -> Cluster:
    """The inverse of `Cluster.info`."""
    return Cluster(
        provider=info["provider"],
        kubeconfig=Path(info["kubeconfig"]),
        node_ip=info["nodeIP"],
        registry=info["registry"],
        gateway_url=info["gatewayURL"],
        audit_log=Path(info["auditLog"]) if info["auditLog"] else None,
        state_dir=Path(info["stateDir"]),
        kubectl_command=Path(info["kubectl"]),
    )


def saved(state: Path) -> Cluster | None:
    """The cluster noted in a state folder, running or not."""
    path = state / "cluster.json"
    return from_info(json.loads(path.read_text())) if path.exists() else None


def _loader(provider: str) -> Callable[[Cluster, Path, str], None]:
    # The providers need this class, so they are looked up when they are used.
    from hack.cluster import existing, kind, native  # noqa: PLC0415

    return {"native": native.load_image, "kind": kind.load_image, "existing": existing.load_image}[provider]
