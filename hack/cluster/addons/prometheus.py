"""The cluster's Prometheus: where it answers, and how a test stops and starts it.

PENSTOCK_PROMETHEUS=off when the cluster is brought up leaves it out, and takes it away if it was there.
"""

import os

from hack.cluster.console import ClusterError
from hack.cluster.handle import Cluster

NAMESPACE = "penstock-metrics"
# As pods reach it; the URL of a MetricSource.
URL = f"http://prometheus.{NAMESPACE}.svc:9090"
# As the manifest has it.
SCRAPE_SECONDS = 5
_NODE_PORT = 30909
_DEPLOYMENT = "deployment/prometheus"
_CLUSTER_WIDE = ("clusterrole/penstock-metrics-prometheus", "clusterrolebinding/penstock-metrics-prometheus")


def is_wanted() -> bool:
    """Whether the cluster gets one: yes, unless $PENSTOCK_PROMETHEUS is off. Raises ClusterError for another word."""
    chosen = os.environ.get("PENSTOCK_PROMETHEUS", "on")
    if chosen not in ("on", "off"):
        raise ClusterError(f"PENSTOCK_PROMETHEUS is {chosen!r}; set it to on or off, or leave it unset.")
    return chosen == "on"


def node_url(cluster: Cluster) -> str:
    """Where it answers to this machine."""
    return f"http://{cluster.node_ip}:{_NODE_PORT}"


def stop(cluster: Cluster) -> None:
    """Stops it and returns when its pod is gone; what it has stored goes with it."""
    cluster.kubectl("-n", NAMESPACE, "scale", _DEPLOYMENT, "--replicas=0")
    cluster.kubectl("-n", NAMESPACE, "wait", "--for=delete", "pod", "--all", "--timeout=60s")


def start(cluster: Cluster) -> None:
    """Starts it again and returns when it is ready; its first samples come a scrape interval of 5 s later."""
    cluster.kubectl("-n", NAMESPACE, "scale", _DEPLOYMENT, "--replicas=1")
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", _DEPLOYMENT, "--timeout=60s")


def remove(cluster: Cluster) -> None:
    """Takes it away; nothing happens where it is not."""
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=60s")
    cluster.kubectl("delete", *_CLUSTER_WIDE, "--ignore-not-found")
