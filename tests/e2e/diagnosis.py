"""What a person would look at when a Model does not do what it should, as one text."""

import json

from hack.cluster.handle import Cluster
from hack.install import NAMESPACE as OPERATOR_NAMESPACE

LINES = "120"


def of_namespace(cluster: Cluster, namespace: str) -> str:
    """The Model, its decisions, events, pods, and the logs of the operator and of pods that are not ready."""
    parts = [
        _section(cluster, "models", "get", "models", "-o", "wide", "-n", namespace),
        _section(cluster, "describe", "describe", "models", "-n", namespace),
        f"--- decisions\n{_decisions(cluster, namespace)}",
        _section(cluster, "events", "get", "events", "-n", namespace, "--sort-by=.metadata.creationTimestamp"),
        _section(cluster, "children", "get", "deployments,services,httproutes,pods", "-o", "wide", "-n", namespace),
        *_pod_logs(cluster, namespace),
        _section(
            cluster, "operator", "logs", "deployment/penstock-operator", "-n", OPERATOR_NAMESPACE, "--tail", LINES
        ),
        _section(cluster, "operator's pods", "get", "pods", "-o", "wide", "-n", OPERATOR_NAMESPACE),
    ]
    return "\n".join(parts)


def _section(cluster: Cluster, title: str, *arguments: str) -> str:
    return f"--- {title}\n{cluster.kubectl('--request-timeout=10s', *arguments, check=False)}"


def _decisions(cluster: Cluster, namespace: str) -> str:
    listed = cluster.kubectl(
        "--request-timeout=10s", "get", "decisionrecords", "-n", namespace, "-o", "json", check=False
    )
    specs = [item["spec"] for item in json.loads(listed or '{"items": []}')["items"]]
    specs.sort(key=lambda spec: (spec["modelName"], spec["modelUID"], spec["sequence"]))
    return "\n".join(
        f"{spec['modelUID'][:8]} {spec['sequence']:>3} {spec['time']} {spec['rule']} {spec['verdict']}: "
        f"{spec['inputs'].get('message', '')}"
        for spec in specs
    )


def _pod_logs(cluster: Cluster, namespace: str) -> list[str]:
    listed = cluster.kubectl("--request-timeout=10s", "get", "pods", "-n", namespace, "-o", "json", check=False)
    logs = []
    for pod in json.loads(listed or '{"items": []}')["items"]:
        conditions = pod["status"].get("conditions", [])
        if any(item["type"] == "Ready" and item["status"] == "True" for item in conditions):
            continue
        name = pod["metadata"]["name"]
        title = f"logs of {name}"
        arguments = ["logs", name, "-n", namespace, "--all-containers", "--prefix", "--tail", LINES]
        logs.append(_section(cluster, title, *arguments))
    return logs
