"""The lineage file of an artifact: read before a push, and compared with the features of a revision after a fetch."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.api.lineage import FILE_NAME, MAX_BYTES, Lineage, read_lineage, schema_digest
from penstock.artifact.errors import ArtifactError, Reason
from penstock.artifact.reference import parse_digest

SCHEMA_ANNOTATION = "dev.penstock.feature-set.schema-digest"
DATASET_ANNOTATION = "dev.penstock.dataset.digest"
_SHOWN_FEATURES = 8


@dataclass(frozen=True, slots=True)
class ExpectedSchema:
    """The feature schema of a revision: its digest and, where the schema itself is known, its features by name."""

    digest: str
    features: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, digest: str | None, file: Path) -> "ExpectedSchema | None":
        """From a digest, from the schema's file, or both; None if there is neither.

        Raises `ArtifactError` (InvalidReference) for a digest or file that cannot be read.
        """
        digest = parse_digest(digest) if digest else None
        if not file.exists():
            return cls(digest) if digest else None
        try:
            document = json.loads(file.read_bytes())
            features = {item["name"]: item for item in document["features"]}
            found = schema_digest(document["version"], document["features"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            raise ArtifactError(
                Reason.INVALID_REFERENCE, f"The feature schema {file} cannot be read: expected version and features."
            ) from None
        return cls(digest or found, features)


def lineage_of(folder: Path) -> Lineage | None:
    """The lineage in a folder, None without one; raises ValueError with one sentence if it is wrong."""
    file = folder / FILE_NAME
    if not file.is_file():
        return None
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"{FILE_NAME} is larger than {MAX_BYTES} bytes.")
    return read_lineage(file.read_bytes())


def annotations_of(lineage: Lineage | None) -> dict[str, str]:
    """What a manifest says of a lineage, for those who do not fetch it."""
    if lineage is None:
        return {}
    known = {
        SCHEMA_ANNOTATION: lineage.feature_set.schema_digest,
        DATASET_ANNOTATION: lineage.dataset.digest,
    }
    return {name: value for name, value in known.items() if value}


def fetched_lineage(directory: Path, digest: str | None, features_file: Path) -> Lineage | None:
    """The lineage of what was fetched, None without one.

    Raises `ArtifactError` (SchemaMismatch) if it is of another feature schema than asked for. A lineage that cannot be
    read is one too where a schema is asked for, else it is only reported.
    """
    expected = ExpectedSchema.read(digest, features_file)
    try:
        lineage = lineage_of(directory)
    except ValueError as error:
        if expected is not None:
            raise ArtifactError(Reason.SCHEMA_MISMATCH, f"The model's features are not known: {error}") from None
        print(f"the lineage is ignored: {error}", file=sys.stderr, flush=True)
        return None
    if lineage is not None and expected is not None:
        check_schema(lineage, expected)
    return lineage


def check_schema(lineage: Lineage, expected: ExpectedSchema) -> None:
    """Raises `ArtifactError` (SchemaMismatch) if the model was trained with other features than it would be given."""
    trained = lineage.feature_set.schema_digest
    if trained == expected.digest:
        return
    names = _differing(lineage, expected)
    shown = ", ".join(names[:_SHOWN_FEATURES]) + (
        f" and {len(names) - _SHOWN_FEATURES} more" if len(names) > _SHOWN_FEATURES else ""
    )
    where = f" They differ in {shown}." if names else ""
    raise ArtifactError(
        Reason.SCHEMA_MISMATCH,
        f"The model was trained with the feature schema {_short(trained)}, its Model's FeatureSet has "
        f"{_short(expected.digest)}: train it again, or name the FeatureSet it was trained with.{where}",
    )


def _differing(lineage: Lineage, expected: ExpectedSchema) -> list[str]:
    """The features that are on one side only or not the same; the order, if nothing else differs."""
    if lineage.feature_set.features is None or not expected.features:
        return []
    trained = {item.name: item.as_json() for item in lineage.feature_set.features}
    names = [*expected.features, *(name for name in trained if name not in expected.features)]
    differing = [name for name in names if _plain(trained.get(name)) != _plain(expected.features.get(name))]
    return differing or ["their order"]


def _plain(feature: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A feature without what has no say in the schema."""
    if feature is None:
        return None
    dropped = {"description", "maxNullFraction"}
    plain = {key: value for key, value in feature.items() if key not in dropped and value != []}
    return {"nullable": False, **plain}


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
