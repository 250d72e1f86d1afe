"""Profiles and reports in the artifact store: one OCI artifact each, found by the digest of its file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import httpx

from penstock.api.v1alpha1.conditions import Reason
from penstock.artifact.credentials import basic_credentials
from penstock.artifact.digest import FileEntry, digest_bytes
from penstock.artifact.errors import ArtifactError
from penstock.artifact.errors import Reason as ArtifactReason
from penstock.artifact.manifest import EMPTY_CONFIG, build_manifest
from penstock.artifact.oci import RegistryClient, read_capped
from penstock.artifact.reference import OciReference, parse_reference
from penstock.artifact.transport import Transport
from penstock.jobs.validate.failure import DatasetError

PROFILE_TYPE = "application/vnd.penstock.profile.v1"
REPORT_TYPE = "application/vnd.penstock.validation-report.v1"
MAX_FILE_BYTES = 16 << 20
Result = TypeVar("Result")


class Store:
    """One repository, HOST/PATH; `docker_config`: a docker config.json with the push credential, if it wants one."""

    def __init__(
        self, repository: str, *, docker_config: Path | None, insecure_registries: Iterable[str], retry_seconds: float
    ) -> None:
        self._name = repository
        self._docker_config = docker_config
        self._insecure = frozenset(insecure_registries)
        self._seconds = retry_seconds

    def push(self, name: str, content: bytes, artifact_type: str) -> str:
        """Store a file as an artifact and read it back; returns the file's digest.

        Raises DatasetError (StoreUnavailable).
        """
        entry = FileEntry(name, len(content), digest_bytes(content))
        manifest = json.loads(build_manifest([entry])) | {"artifactType": artifact_type}
        encoded = json.dumps(manifest, separators=(",", ":"), sort_keys=True).encode()

        def write(client: RegistryClient, transport: Transport) -> None:
            client.push_blob(EMPTY_CONFIG)
            client.push_blob(content)
            client.push_manifest(encoded, None)
            if client.get_manifest(digest_bytes(encoded)) != encoded:
                raise ArtifactError(ArtifactReason.ARTIFACT_NOT_FOUND, "what was pushed is not there")

        try:
            self._speak(write)
            if self._fetch(entry.digest) != content:
                raise self._unavailable("what was pushed comes back with other bytes")
        except ArtifactError as error:
            raise self._unavailable(error.message) from None
        return entry.digest

    def fetch(self, digest: str) -> bytes | None:
        """A stored file by its digest, None if the store does not hold it. Raises DatasetError (StoreUnavailable)."""
        try:
            content = self._fetch(digest)
        except ArtifactError as error:
            if error.reason is ArtifactReason.ARTIFACT_NOT_FOUND:
                return None
            raise self._unavailable(error.message) from None
        return content if digest_bytes(content) == digest else None

    def _fetch(self, digest: str) -> bytes:
        def read(client: RegistryClient, transport: Transport) -> bytes:
            def attempt() -> bytes:
                with client.open_blob(digest) as response:
                    return read_capped(transport.chunks(response), MAX_FILE_BYTES, "The file")

            return transport.retry(self._name, attempt)

        return self._speak(read)

    def _speak(self, talk: Callable[[RegistryClient, Transport], Result]) -> Result:
        reference = parse_reference(f"oci://{self._name}")
        if not isinstance(reference, OciReference):
            raise ArtifactError(ArtifactReason.INVALID_REFERENCE, "it is no repository of a registry")
        try:
            with Transport(deadline_seconds=self._seconds, insecure_hosts=self._insecure) as transport:
                login = basic_credentials(self._docker_config, reference.host)
                return talk(RegistryClient(transport, reference, login), transport)
        except httpx.HTTPError as error:
            raise ArtifactError(ArtifactReason.ARTIFACT_UNAVAILABLE, type(error).__name__) from None

    def _unavailable(self, cause: str) -> DatasetError:
        return DatasetError(
            Reason.STORE_UNAVAILABLE,
            f"The artifact store {self._name} cannot be used ({cause.rstrip('.')}): check the operator's artifactStore"
            " setting and its push credential; it is tried again.",
        )
