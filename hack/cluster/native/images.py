"""Images of the native cluster's node: containerd's ctr, and the two images the cluster itself needs."""

import subprocess
from pathlib import Path

from hack.cluster import build, oci, paths
from hack.cluster.console import ClusterError
from hack.cluster.handle import Cluster
from hack.cluster.native.layout import PAUSE_IMAGE, Layout
from hack.cluster.versions import version


def ctr(layout: Layout, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs containerd's command-line client in the kubelet's namespace."""
    command = ["ctr", f"--address={layout.socket}", "--namespace=k8s.io", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def load_image(cluster: Cluster, archive: Path, ref: str) -> None:
    """Imports an OCI archive that holds `ref`; does nothing when this very file was imported before."""
    import_archive(Layout(cluster.state_dir), archive, ref)


def import_archive(layout: Layout, archive: Path, ref: str) -> None:
    """The same for a layout. Raises ClusterError when the archive is unusable or holds another reference."""
    stamps = layout.containerd / "imported"
    stamps.mkdir(parents=True, exist_ok=True)
    stamp = stamps / ref.replace("/", "_").replace(":", "_")
    facts = archive.stat()
    identity = f"{ref} {facts.st_size} {facts.st_mtime_ns}"
    if stamp.exists() and stamp.read_text() == identity and _has(layout, ref):
        return
    done = ctr(layout, "images", "import", str(archive))
    if done.returncode:
        raise ClusterError(f"{archive} could not be imported: {done.stderr.strip()}")
    if not _has(layout, ref):
        raise ClusterError(f"{archive} does not hold the image {ref}; write the archive again under that name.")
    stamp.write_text(identity)


def coredns_reference() -> str:
    """The name of the CoreDNS image; it changes with the binary."""
    return f"penstock.local/coredns:{version('coredns')}-{build.binary('coredns').name.removeprefix('coredns-')}"


def own_images() -> list[tuple[Path, str]]:
    """Archives and names of the images that no registry has to serve: the pods' sandbox and CoreDNS."""
    folder = paths.cache() / "images"
    folder.mkdir(exist_ok=True)
    found: list[tuple[Path, str]] = []
    for name, ref in (("pause", PAUSE_IMAGE), ("coredns", coredns_reference())):
        binary = build.binary(name)
        archive = folder / f"{binary.name}.tar"
        if not archive.exists():
            oci.write(archive, ref, {f"/{name}": binary}, [f"/{name}"])
        found.append((archive, ref))
    return found


def _has(layout: Layout, ref: str) -> bool:
    return ref in ctr(layout, "images", "list", "--quiet", f"name=={ref}").stdout.split()
