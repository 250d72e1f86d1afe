"""Segments of decision logs in a registry: one OCI artifact each, chained, the newest one under a tag of its log.

The manifest's config is what was signed, its layer the records. A second tag names each segment for itself, so that
a registry that clears away what has no tag keeps the chain.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from penstock.artifact.credentials import basic_credentials
from penstock.artifact.digest import digest_bytes
from penstock.artifact.errors import ArtifactError, Reason
from penstock.artifact.manifest import MANIFEST_TYPE
from penstock.artifact.oci import RegistryClient, read_capped
from penstock.artifact.reference import DIGEST_PATTERN, OciReference, parse_reference
from penstock.artifact.transport import Transport

ARTIFACT_TYPE = "application/vnd.penstock.log-segment.v1"
STATEMENT_TYPE = "application/vnd.penstock.log-segment.statement.v1+json"
RECORDS_TYPE = "application/vnd.penstock.log-segment.records.v1+jsonl"
SIGNATURE, KEY, BEFORE = "dev.penstock.log.signature", "dev.penstock.log.key", "dev.penstock.log.before"
MAX_STATEMENT_BYTES = 64 << 10
MAX_RECORDS_BYTES = 64 << 20
# More segments than a log can have that was written at every decision for years.
MAX_SEGMENTS = 100_000


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment as the store holds it. `digest`: of its manifest; `before`: of the one before, None for the first."""

    digest: str
    before: str | None
    statement: bytes
    content: bytes
    signature: bytes
    key: str


class Overtaken(Exception):
    """Somebody else wrote the next segment of this log meanwhile."""


class LogStore:
    """The segments below one prefix, HOST/PREFIX. Every method raises ArtifactError if the store cannot be used."""

    def __init__(
        self,
        prefix: str,
        *,
        docker_config: Path | None = None,
        insecure_registries: frozenset[str] = frozenset(),
        deadline_seconds: float = 600.0,
    ) -> None:
        """`deadline_seconds`: for everything that is done with this object."""
        self._prefix = prefix
        self._docker_config = docker_config
        self._transport = Transport(deadline_seconds=deadline_seconds, insecure_hosts=insecure_registries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.__exit__(kind, error, trace)

    def newest(self, namespace: str, model: str, uid: str) -> str | None:
        """Return the digest of a log's newest segment, None if nothing was exported."""
        content = self._client(namespace, model).get_manifest(_tag(model, uid))
        return digest_bytes(content) if content is not None else None

    def statement(self, namespace: str, model: str, digest: str) -> StoredSegment:
        """Return a segment without its records."""
        return self._segment(namespace, model, digest, with_records=False)

    def segment(self, namespace: str, model: str, digest: str) -> StoredSegment:
        """Return a segment."""
        return self._segment(namespace, model, digest, with_records=True)

    def chain(self, namespace: str, model: str, uid: str) -> Iterator[StoredSegment]:
        """Yield the segments of a log, the newest first."""
        digest = self.newest(namespace, model, uid)
        for _ in range(MAX_SEGMENTS):
            if digest is None:
                return
            found = self.segment(namespace, model, digest)
            yield found
            digest = found.before
        raise ArtifactError(Reason.TOO_LARGE, f"The log of {namespace}/{model} has more than {MAX_SEGMENTS} segments.")

    def append(
        self,
        namespace: str,
        model: str,
        uid: str,
        *,
        first: int,
        statement: bytes,
        content: bytes,
        signature: bytes,
        key: str,
        before: str | None,
    ) -> str:
        """Write the next segment behind `before` and return its digest, once it reads back as it was written.

        Raises Overtaken if the log's tag names something else than `before`. A registry knows no compare-and-swap:
        who writes in the instant between our look and our write is seen by the look after it.
        """
        client, tag = self._client(namespace, model), _tag(model, uid)
        manifest = _manifest(statement, content, {SIGNATURE: base64.b64encode(signature).decode(), KEY: key}, before)
        digest = digest_bytes(manifest)
        client.push_blob(statement)
        client.push_blob(content)
        client.push_manifest(manifest, None)
        read = self.segment(namespace, model, digest)
        if (read.statement, read.content, read.signature, read.before) != (statement, content, signature, before):
            raise ArtifactError(Reason.DIGEST_MISMATCH, f"What was written of the log of {namespace}/{model} differs.")
        if self.newest(namespace, model, uid) != before:
            raise Overtaken(f"{namespace}/{model}: the log's tag moved before this segment was named")
        client.push_manifest(manifest, f"{tag}-{first:010d}")
        client.push_manifest(manifest, tag)
        if self.newest(namespace, model, uid) != digest:
            raise Overtaken(f"{namespace}/{model}: the log's tag moved while this segment was named")
        return digest

    def _segment(self, namespace: str, model: str, digest: str, *, with_records: bool) -> StoredSegment:
        client = self._client(namespace, model)
        content = client.get_manifest(digest)
        if content is None or digest_bytes(content) != digest:
            raise ArtifactError(
                Reason.ARTIFACT_NOT_FOUND, f"The store holds no segment {digest} of {namespace}/{model}."
            )
        try:
            document = json.loads(content)
            config, (layer,) = document["config"], document["layers"]
            annotations = document["annotations"]
            signature = base64.b64decode(annotations[SIGNATURE], validate=True)
            key, before = str(annotations[KEY]), annotations.get(BEFORE)
            parts = [str(config["digest"]), str(layer["digest"])]
            sound = document["artifactType"] == ARTIFACT_TYPE
            sound = sound and all(DIGEST_PATTERN.fullmatch(item) for item in [*parts, *([before] if before else [])])
        except (ValueError, KeyError, TypeError, binascii.Error):
            sound = False
        if not sound:
            raise ArtifactError(Reason.UNSAFE_FORMAT, f"{digest} of {namespace}/{model} is no segment of a log.")
        return StoredSegment(
            digest=digest,
            before=before,
            statement=self._blob(client, parts[0], MAX_STATEMENT_BYTES),
            content=self._blob(client, parts[1], MAX_RECORDS_BYTES) if with_records else b"",
            signature=signature,
            key=key,
        )

    def _blob(self, client: RegistryClient, digest: str, limit: int) -> bytes:
        def attempt() -> bytes:
            with client.open_blob(digest) as response:
                return read_capped(self._transport.chunks(response), limit, "The segment")

        found = self._transport.retry(self._prefix, attempt)
        if digest_bytes(found) != digest:
            raise ArtifactError(Reason.DIGEST_MISMATCH, f"The store gives other bytes for {digest}.")
        return found

    def _client(self, namespace: str, model: str) -> RegistryClient:
        reference = parse_reference(f"oci://{self._prefix}/{namespace}/{model}")
        if not isinstance(reference, OciReference):
            raise ArtifactError(Reason.INVALID_REFERENCE, f"{self._prefix} is no HOST/PREFIX of a registry.")
        return RegistryClient(self._transport, reference, basic_credentials(self._docker_config, reference.host))


def _tag(model: str, uid: str) -> str:
    return f"{model}-{uid.replace('-', '')[:8]}-log"


def _manifest(statement: bytes, content: bytes, annotations: dict[str, str], before: str | None) -> bytes:
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": {"mediaType": STATEMENT_TYPE, "digest": digest_bytes(statement), "size": len(statement)},
        "layers": [{"mediaType": RECORDS_TYPE, "digest": digest_bytes(content), "size": len(content)}],
        "annotations": annotations | ({BEFORE: before} if before else {}),
    }
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
