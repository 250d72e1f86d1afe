"""Datasets in an OCI registry, as `penstock push` puts them there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.featureset import DatasetFormat
from penstock.artifact.credentials import basic_credentials
from penstock.artifact.digest import FileEntry, digest_bytes
from penstock.artifact.errors import ArtifactError
from penstock.artifact.errors import Reason as ArtifactReason
from penstock.artifact.manifest import parse_manifest
from penstock.artifact.oci import RegistryClient
from penstock.artifact.reference import OciReference, parse_reference
from penstock.artifact.transport import Transport
from penstock.jobs.validate.failure import DatasetError, TransientError
from penstock.jobs.validate.sources.retry import retried
from penstock.jobs.validate.sources.scratch import Saved, Scratch
from penstock.jobs.validate.sources.source import Fetched, LocalFile, of_format

DOCKER_CONFIG = ".dockerconfigjson"
_NO_DEADLINE_SECONDS = 7 * 86400.0
_REASONS = {
    ArtifactReason.ARTIFACT_NOT_FOUND: Reason.SOURCE_NOT_FOUND,
    ArtifactReason.ARTIFACT_UNAVAILABLE: Reason.SOURCE_UNAVAILABLE,
    ArtifactReason.DIGEST_MISMATCH: Reason.SOURCE_DIGEST_MISMATCH,
    ArtifactReason.UNSAFE_FORMAT: Reason.CORRUPT_FILE,
    ArtifactReason.TOO_LARGE: Reason.DATASET_TOO_LARGE,
    ArtifactReason.INVALID_REFERENCE: Reason.INVALID_SPEC,
}


@dataclass
class OciSource:
    """`oci://HOST/REPOSITORY[:TAG][@DIGEST]`; `credentials`: the mounted Secret with .dockerconfigjson.

    `digest`: the digest that the dataset must have, used where the uri names none.
    """

    uri: str
    format: DatasetFormat
    digest: str | None
    credentials: Path
    needs_credentials: bool
    insecure_hosts: frozenset[str]
    retry_seconds: float

    def fetch(self, scratch: Scratch) -> Fetched:
        """See Source.fetch; the digest is the manifest's."""
        try:
            return self._fetch(scratch)
        except ArtifactError as error:
            refused = "refused access" in error.message
            reason = Reason.SOURCE_ACCESS_DENIED if refused else _REASONS[error.reason]
            raise DatasetError(reason, error.message) from None

    def verify(self, fetched: Fetched) -> None:
        """See Source.verify. A manifest never changes."""

    def _fetch(self, scratch: Scratch) -> Fetched:
        reference = parse_reference(self.uri)
        assert isinstance(reference, OciReference)  # noqa: S101 - the scheme chose this class
        docker_config = self.credentials / DOCKER_CONFIG
        if self.needs_credentials and not docker_config.is_file():
            raise DatasetError(
                Reason.CREDENTIALS_MISSING,
                f"The Secret with the credentials of {self.uri} lacks {DOCKER_CONFIG}: add it.",
            )
        login = basic_credentials(docker_config if docker_config.is_file() else None, reference.host)
        wanted = reference.digest or reference.tag or self.digest or "latest"
        with Transport(deadline_seconds=self.retry_seconds, insecure_hosts=self.insecure_hosts) as transport:
            manifest = RegistryClient(transport, reference, login).get_manifest(wanted)
        if manifest is None:
            raise DatasetError(
                Reason.SOURCE_NOT_FOUND, f"There is nothing at {self.uri}: correct the uri or push the dataset."
            )
        found = digest_bytes(manifest)
        if reference.digest not in (None, found):
            raise DatasetError(
                Reason.SOURCE_DIGEST_MISMATCH,
                f"{reference.host} serves {found} for {self.uri}: push the dataset again.",
            )
        entries = {entry.path: entry for entry in parse_manifest(manifest)}
        chosen = [entries[path] for path in of_format(list(entries), self.format)]
        scratch.expect(sum(entry.size for entry in chosen))
        with Transport(deadline_seconds=_NO_DEADLINE_SECONDS, insecure_hosts=self.insecure_hosts) as transport:
            client = RegistryClient(transport, reference, login)
            files = [self._blob(transport, client, entry, scratch) for entry in chosen]
        return Fetched(tuple(files), found)

    def _blob(self, transport: Transport, client: RegistryClient, entry: FileEntry, scratch: Scratch) -> LocalFile:
        def attempt() -> Saved:
            try:
                with client.open_blob(entry.digest) as response:
                    return scratch.save(transport.chunks(response))
            except httpx.TransportError as error:
                raise TransientError(type(error).__name__) from None

        saved = retried(self.uri, attempt, seconds=self.retry_seconds)
        if saved.digest != entry.digest:
            raise DatasetError(
                Reason.SOURCE_DIGEST_MISMATCH,
                f"'{entry.path}' came with other bytes than its manifest names: push the dataset again.",
            )
        return LocalFile(entry.path, saved.size, saved.digest, saved.path)
