"""Brings built images to the nodes: into the local node's containerd, or into somebody else's registry."""

import io
import json
import subprocess
import tarfile
from collections.abc import Sequence
from typing import IO

from hack.cluster import existing, kind
from hack.cluster.console import ClusterError, Stopwatch
from hack.cluster.handle import Cluster
from hack.cluster.images.builder import Image, blob, blobs_of, push
from hack.cluster.native.layout import Layout


def deliver(cluster: Cluster, images: Sequence[Image]) -> dict[str, str]:
    """Makes the images known to the cluster's nodes; returns name -> pinned reference. Quick when they are."""
    if cluster.provider != "existing":
        load(node_ctr(cluster), images)
        return {image.name: image.reference for image in images}
    references = {}
    for image in images:
        watch = Stopwatch()
        repository = f"{cluster.registry}/penstock-{image.name}"
        references[image.name] = push(image, repository, plain_http=existing.registry_speaks_http())
        watch.stage(f"{image.name} image: in the registry as {references[image.name]}")
    return references


def node_ctr(cluster: Cluster) -> list[str]:
    """The command that reaches the containerd of the cluster's node. ClusterError if it is somebody else's."""
    if cluster.provider == "native":
        return ["ctr", f"--address={Layout(cluster.state_dir).socket}", "--namespace=k8s.io"]
    if cluster.provider == "kind":
        return ["docker", "exec", "--interactive", f"{kind.NAME}-control-plane", "ctr", "--namespace=k8s.io"]
    raise ClusterError(f"Images cannot be loaded into an existing cluster's nodes; push them to {cluster.registry}.")


def load(ctr: Sequence[str], images: Sequence[Image]) -> None:
    """Imports the images that the node lacks.

    Blobs that the node has already are not sent again, so that a code change costs its own layer alone.
    """
    known = set(_answer(ctr, "images", "list", "--quiet").split())
    missing = [image for image in images if image.reference not in known]
    if not missing:
        return
    held = set(_answer(ctr, "content", "list", "--quiet").split())
    for image in missing:
        watch = Stopwatch()
        _import(ctr, image, held)
        watch.stage(f"{image.name} image: loaded into the node")


def _import(ctr: Sequence[str], image: Image, held: set[str]) -> None:
    process = subprocess.Popen(
        [*ctr, "images", "import", "--all-platforms=false", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    try:
        _write_archive(process.stdin, image, held)
        process.stdin.close()
    except BrokenPipeError:
        pass  # ctr has ended; what it says follows
    stderr = process.stderr.read().decode() if process.stderr else ""
    if process.wait():
        last = (stderr.strip().splitlines() or ["no output"])[-1]
        raise ClusterError(f"The node did not take the image {image.reference}: {last}")


def _write_archive(stream: IO[bytes], image: Image, held: set[str]) -> None:
    """Writes an OCI archive whose only entry carries the pinned reference, which is what a pod asks for."""
    manifest = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": image.digest,
        "size": blob(image.layout, image.digest).stat().st_size,
        "annotations": {"io.containerd.image.name": image.reference},
    }
    index = {"schemaVersion": 2, "manifests": [manifest]}
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        for name, content in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", index)):
            data = json.dumps(content).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for digest in blobs_of(image.layout, image.digest):
            if digest not in held:
                tar.add(blob(image.layout, digest), f"blobs/sha256/{digest.removeprefix('sha256:')}")


def _answer(ctr: Sequence[str], *arguments: str) -> str:
    answer = subprocess.run([*ctr, *arguments], capture_output=True, text=True, check=False)
    if answer.returncode:
        last = (answer.stderr.strip().splitlines() or ["no output"])[-1]
        raise ClusterError(f"The node's containerd does not answer ({last}); start the cluster with: make cluster-up")
    return answer.stdout
