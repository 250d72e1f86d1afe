"""The OCI image manifest of a model: one layer per file, its path in the title annotation."""

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from penstock.artifact.digest import FileEntry, digest_bytes
from penstock.artifact.errors import ArtifactError, Reason
from penstock.artifact.reference import DIGEST_PATTERN

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE = "application/vnd.penstock.model.v1"
LAYER_TYPE = "application/vnd.penstock.model.file.v1"
TITLE = "org.opencontainers.image.title"
EMPTY_CONFIG = b"{}"
MAX_MANIFEST_BYTES = 4 << 20
MAX_FILES = 1000


def build_manifest(entries: Iterable[FileEntry], annotations: Mapping[str, str] | None = None) -> bytes:
    """The manifest's bytes. The same files give the same bytes, hence the same digest, on every machine."""
    return json.dumps(
        {
            **({"annotations": dict(annotations)} if annotations else {}),
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": {
                "mediaType": "application/vnd.oci.empty.v1+json",
                "digest": digest_bytes(EMPTY_CONFIG),
                "size": len(EMPTY_CONFIG),
            },
            "layers": [
                {
                    "mediaType": LAYER_TYPE,
                    "digest": entry.digest,
                    "size": entry.size,
                    "annotations": {TITLE: entry.path},
                }
                for entry in sorted(entries, key=lambda entry: entry.path)
            ],
        },
        separators=(",", ":"),
        sort_keys=True,
    ).encode()


def parse_manifest(content: bytes) -> list[FileEntry]:
    """The files that a manifest lists; raises `ArtifactError` (UnsafeFormat) for anything that is no plain model."""
    try:
        document = json.loads(content)
        if document.get("mediaType", MANIFEST_TYPE) != MANIFEST_TYPE:
            raise _refused(f"it is of type {document['mediaType']!r}, not an OCI image manifest")
        layers = document["layers"]
        entries = [_entry(layer) for layer in layers]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _refused("it is not a well-formed OCI image manifest") from None
    if not 0 < len(entries) <= MAX_FILES:
        raise _refused(f"it lists {len(entries)} files, 1 to {MAX_FILES} are possible")
    paths = {entry.path for entry in entries}
    if len(paths) != len(entries):
        raise _refused("two of its files have the same name")
    for path in paths:
        if any(parent.as_posix() in paths for parent in PurePosixPath(path).parents):
            raise _refused(f"'{path}' lies below another file")
    return entries


def _entry(layer: dict[str, Any]) -> FileEntry:
    annotations = layer.get("annotations") or {}
    title, size, digest = annotations.get(TITLE), layer["size"], layer["digest"]
    if not isinstance(title, str):
        raise _refused(f"a layer has no {TITLE} annotation; push models with `penstock push`")
    if not isinstance(size, int) or size < 0 or DIGEST_PATTERN.fullmatch(digest) is None:
        raise _refused("a layer has no sha256 digest or no size")
    return FileEntry(_safe_path(title), size, digest)


def _safe_path(title: str) -> str:
    parts = title.split("/")
    if (
        len(title) > 255
        or not title.isprintable()
        or "\\" in title
        or any(part in ("", ".", "..") for part in parts)
        or parts[0].startswith(".penstock")
    ):
        raise _refused(f"the file name {ascii(title)[:300]} would leave the model's folder or is odd")
    return title


def _refused(why: str) -> ArtifactError:
    return ArtifactError(Reason.UNSAFE_FORMAT, f"The artifact's manifest is refused: {why}.")
