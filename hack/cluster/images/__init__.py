"""Container images without a container engine: buildah builds the Dockerfiles that a Docker user builds."""

from hack.cluster.handle import Cluster
from hack.cluster.images.builder import build
from hack.cluster.images.catalogue import RECIPES
from hack.cluster.images.loader import load, node_ctr

__all__ = ["build_images"]


def build_images(cluster: Cluster) -> dict[str, str]:
    """Builds what has changed of operator, runtime and busybox, and loads it into the node.

    Returns name -> pinned reference ("penstock.local/<name>@sha256:<64 hex>"), for pods with `imagePullPolicy:
    IfNotPresent`. Raises ClusterError with one sentence that says what to do.
    """
    ctr = node_ctr(cluster)
    images = [build(recipe()) for recipe in RECIPES.values()]
    load(ctr, images)
    return {image.name: image.reference for image in images}
