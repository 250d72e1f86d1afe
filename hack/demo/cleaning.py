"""Removes what the demo put into the cluster, and nothing that others need."""

from hack import install
from hack.cluster.console import ClusterError
from hack.cluster.handle import Cluster
from hack.demo.model import NAMESPACE
from hack.demo.stages import Stages, note


def clean(cluster: Cluster) -> None:
    """Deletes the demo's namespace with all in it, then the Helm release unless other namespaces have Models."""
    stages = Stages(total=2)
    with stages.stage(f"Deleting the namespace {NAMESPACE} with its Model, revisions and decision records"):
        cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")
    with stages.stage("Removing the Helm release"):
        others = _namespaces_with_models(cluster)
        if others:
            note(f"it stays: there are Models in {', '.join(others)}")
        else:
            install.uninstall(cluster)
            note("the CustomResourceDefinitions stay; without them all Models would go. To remove them too:")
            note("kubectl delete crd -l app.kubernetes.io/part-of=penstock")


def _namespaces_with_models(cluster: Cluster) -> list[str]:
    try:
        path = "jsonpath={.items[*].metadata.namespace}"
        return sorted(set(cluster.kubectl("get", "models.penstock.dev", "-A", "-o", path).split()))
    except ClusterError as error:
        if "the server doesn't have a resource type" in str(error):
            return []
        raise
