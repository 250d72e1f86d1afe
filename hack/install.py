"""Builds the images and installs Penstock into the running cluster by its Helm chart."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from hack.cluster.build import binary
from hack.cluster.console import ClusterError
from hack.cluster.handle import Cluster
from hack.cluster.images import build_images

CHART = Path(__file__).resolve().parent.parent / "charts" / "penstock"
NAMESPACE = "penstock-system"
RELEASE = "penstock"
GATEWAY = {"namespace": "penstock-gateway", "name": "penstock", "sectionName": "http"}


def install(cluster: Cluster, timeout: str = "90s") -> dict[str, str]:
    """Install or upgrade the release and wait until the operator is ready; return the images' references.

    Quick when nothing changed: the images are the same, and so is the release.
    """
    images = build_images(cluster)
    values = {
        "image": {"operator": images["operator"], "runtime": images["runtime"]},
        "gateway": {**GATEWAY, "url": cluster.gateway_url, "probeUrl": cluster.gateway_url},
        "insecureRegistries": [cluster.registry],
    }
    helm(cluster, "upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace",
         "--values", "-", "--wait", "--timeout", timeout, input=yaml.safe_dump(values))  # fmt: skip
    return images


def helm(cluster: Cluster, *arguments: str, input: str | None = None) -> str:
    """Run Helm against the cluster; raises ClusterError with its own message if it fails."""
    command = [str(binary("helm")), *arguments]
    done = subprocess.run(
        command, input=input, capture_output=True, text=True, check=False, env=cluster.environment()
    )
    if done.returncode:
        raise ClusterError(f"helm {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout
