"""Builds the images and installs Penstock into the running cluster by its Helm chart."""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from hack.cluster import existing, paths
from hack.cluster.addons import prometheus
from hack.cluster.build import binary
from hack.cluster.console import ClusterError, Stopwatch
from hack.cluster.handle import Cluster
from hack.cluster.images import build_images
from hack.cluster.images.recipe import key_of, key_of_files

CHART = Path(__file__).resolve().parent.parent / "charts" / "penstock"
NAMESPACE = "penstock-system"
METRIC_SOURCE = "prometheus"
RELEASE = "penstock"
GATEWAY = {"namespace": "penstock-gateway", "name": "penstock", "sectionName": "http"}
_OPERATOR = "deployment/penstock-operator"
_KEY_LABEL = "inputs"


def install(cluster: Cluster, timeout: str = "90s") -> dict[str, str]:
    """Install or upgrade the release and wait until the operator is ready; return the images' references.

    Changes nothing when chart, values and what runs are as they should be.
    """
    images = build_images(cluster)
    values = chart_values(cluster, images)
    files = [path for path in CHART.rglob("*") if path.is_file()]
    key = key_of(key_of_files(CHART, files), json.dumps(values, sort_keys=True))
    watch = Stopwatch()
    with _alone():
        if _is_installed(cluster, key):
            watch.stage(f"Helm release {RELEASE} is as it should be")
            return images
        helm(cluster, "upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace",
             "--values", "-", "--labels", f"{_KEY_LABEL}={key}", "--history-max", "5", "--force-conflicts",
             "--wait", "--timeout", timeout, input=yaml.safe_dump(values))  # fmt: skip
        if _has_prometheus(cluster):
            _declare_metric_source(cluster)
        watch.stage(f"Helm release {RELEASE} is installed, the operator is ready")
    return images


def uninstall(cluster: Cluster) -> None:
    """Remove the release, if there is one, and its namespace. The chart keeps its CustomResourceDefinitions."""
    with _alone():
        helm(cluster, "uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait", "--timeout=90s")
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=90s")


def chart_values(cluster: Cluster, images: dict[str, str]) -> dict[str, Any]:
    """The values that differ from the chart's defaults in this cluster."""
    gateway = existing.gateway(cluster) if cluster.provider == "existing" else GATEWAY
    # In kind, "localhost" means the pod to a pod, so the operator asks at the Gateway's NodePort.
    probe_url = f"http://{cluster.node_ip}:30080" if cluster.provider == "kind" else cluster.gateway_url
    return {
        "image": {name: images[name] for name in ("operator", "runtime", "jobs")},
        "artifactStore": {"repository": f"{pull_registry(cluster)}/penstock"},
        "gateway": {**gateway, "url": cluster.gateway_url, "probeUrl": probe_url},
        "metrics": {"source": METRIC_SOURCE if _has_prometheus(cluster) else ""},
        "insecureRegistries": [pull_registry(cluster).partition("/")[0]] if registry_speaks_http(cluster) else [],
    }


def _has_prometheus(cluster: Cluster) -> bool:
    return prometheus.is_wanted() and cluster.provider != "existing"


def _declare_metric_source(cluster: Cluster) -> None:
    """Tell the operator where the cluster's Prometheus is, once its kind exists."""
    spec = {"type": "Prometheus", "url": prometheus.URL, "scrapeIntervalSeconds": prometheus.SCRAPE_SECONDS}
    source = {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "MetricSource",
        "metadata": {"name": METRIC_SOURCE},
        "spec": spec,
    }
    cluster.kubectl("apply", "-f", "-", input=json.dumps(source))


def pull_registry(cluster: Cluster) -> str:
    """What pods call the registry that `cluster.registry` is to this machine; "host:port" or "host:port/prefix"."""
    return "registry.penstock-registry.svc:5000" if cluster.provider == "kind" else cluster.registry


def registry_speaks_http(cluster: Cluster) -> bool:
    """Whether the cluster's registry is without TLS."""
    return cluster.provider != "existing" or existing.registry_speaks_http()


def helm(cluster: Cluster, *arguments: str, input: str | None = None) -> str:
    """Run Helm against the cluster; raises ClusterError with its own message if it fails."""
    command = [str(binary("helm")), *arguments]
    done = subprocess.run(command, input=input, capture_output=True, text=True, check=False, env=cluster.environment())
    if done.returncode:
        hint = "; if nobody is at it, run: make demo-clean" if "another operation" in done.stderr else ""
        raise ClusterError(f"helm {arguments[0]} failed: {done.stderr.strip()}{hint}")
    return done.stdout


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Waits for other commands of this user: Helm refuses a second one at the same release instead of waiting."""
    with (paths.cache() / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_installed(cluster: Cluster, key: str) -> bool:
    """Whether the deployed release was made with `key`, the cluster still has all of it, and the operator is ready."""
    here = ("--namespace", NAMESPACE)
    listing = ("list", *here, "--deployed", f"--filter=^{RELEASE}$", f"--selector={_KEY_LABEL}={key}", "--output=json")
    if not json.loads(helm(cluster, *listing)):
        return False
    try:
        manifest = helm(cluster, "get", "manifest", RELEASE, *here)
        cluster.kubectl("diff", "--server-side", "--force-conflicts", "--filename=-", input=manifest)
        cluster.kubectl(*here, "rollout", "status", _OPERATOR, "--timeout=20s")
    except ClusterError:
        return False
    return True
