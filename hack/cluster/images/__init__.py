"""Container images without a container engine: buildah builds the Dockerfiles that a Docker user builds."""

from hack.cluster.handle import Cluster
from hack.cluster.images.builder import build
from hack.cluster.images.catalogue import RECIPES
from hack.cluster.images.loader import deliver

__all__ = ["build_images"]


def build_images(cluster: Cluster) -> dict[str, str]:
    """Builds what has changed of operator, runtime and busybox, and brings it to where the nodes find it.

    Returns name -> pinned reference for pods with `imagePullPolicy: IfNotPresent`:
    "penstock.local/<name>@sha256:<64 hex>", or "<registry>/penstock-<name>@sha256:<64 hex>" if the cluster is
    somebody else's, which is spared busybox: only tests use it. Raises ClusterError with one sentence that says what
    to do.
    """
    names = [name for name in RECIPES if cluster.provider != "existing" or name != "busybox"]
    return deliver(cluster, [build(RECIPES[name]()) for name in names])
