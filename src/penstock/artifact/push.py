"""Pushing a model file or folder into a registry."""

from dataclasses import dataclass
from pathlib import Path

from penstock.api.lineage import Lineage
from penstock.artifact.credentials import basic_credentials
from penstock.artifact.digest import digest_bytes, list_files
from penstock.artifact.errors import ArtifactError, Reason
from penstock.artifact.formats import refuse_pickles
from penstock.artifact.lineage import annotations_of, lineage_of
from penstock.artifact.manifest import EMPTY_CONFIG, build_manifest, parse_manifest
from penstock.artifact.oci import RegistryClient
from penstock.artifact.reference import OciReference
from penstock.artifact.transport import Transport


@dataclass(frozen=True, slots=True)
class Pushed:
    """What `spec.artifact` of a Model takes: the pinned URI and the manifest's digest; and the lineage, if any."""

    uri: str
    digest: str
    lineage: Lineage | None = None


def push(path: Path, reference: OciReference, *, insecure: bool, docker_config: Path | None) -> Pushed:
    """Pushes a file, or every file below a folder; raises `ArtifactError`. The same files give the same digest."""
    entries = list_files(path)
    refuse_pickles(entry.path for entry in entries)
    root = path if path.is_dir() else path.parent
    lineage = _lineage(path)
    manifest = build_manifest(entries, annotations_of(lineage))
    parse_manifest(manifest)  # what a fetch would refuse is refused here, before anything is uploaded
    digest = digest_bytes(manifest)
    if reference.digest not in (None, digest):
        raise ArtifactError(
            Reason.DIGEST_MISMATCH, f"'{path}' has the digest {digest}, the URI names {reference.digest}."
        )
    insecure_hosts = frozenset({reference.host}) if insecure else frozenset[str]()
    with Transport(deadline_seconds=600, insecure_hosts=insecure_hosts) as transport:
        client = RegistryClient(transport, reference, basic_credentials(docker_config, reference.host))
        client.push_blob(EMPTY_CONFIG)
        for entry in entries:
            client.push_file(root / entry.path, entry)
        client.push_manifest(manifest, reference.tag)
    return Pushed(reference.pinned(digest), digest, lineage)


def _lineage(path: Path) -> Lineage | None:
    if not path.is_dir():
        return None
    try:
        return lineage_of(path)
    except ValueError as error:
        raise ArtifactError(Reason.UNSAFE_FORMAT, f"{error} Write it again with penstock.features.") from None
