"""`penstock-lineage.json` beside a model: which data, which features and which code it was made of."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from penstock.api.canonical import canonical_digest
from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.featureset import Feature
from penstock.api.v1alpha1.fields import Count, Digest, Hash, Text, Timestamp

FILE_NAME = "penstock-lineage.json"
MAX_BYTES = 4 << 20
"""What is larger is not read."""


def schema_digest(version: str, features: Sequence[Any]) -> str:
    """`sha256:<hex>` of a feature schema: over the canonical JSON (RFC 8785) of its version and its features."""
    return canonical_digest([version, list(features)])


def _as_text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, bool | int | float) else value


class Window(ApiType):
    """The time that a dataset's rows are of, both ends included."""

    begin: Annotated[Timestamp, Field(alias="from")]
    """The oldest row."""
    to: Timestamp
    """The newest row."""

    @model_validator(mode="after")
    def _is_ordered(self) -> "Window":
        if self.begin > self.to:
            raise ValueError("the window ends before it begins")
        return self


class DatasetLineage(ApiType):
    """The rows that a model was trained on."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    """What people call it; the FeatureSet's name if nothing else was said."""
    uri: Annotated[str, Field(max_length=1024)] | None = None
    """Where it came from."""
    digest: Digest | None = None
    """The digest of its files; absent for a table in memory."""
    rows: Count
    """How many rows."""
    window: Window | None = None
    """The time that they are of, by the FeatureSet's timestampField."""


class FeatureSetLineage(ApiType):
    """The definition that the rows were read with."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """The name of the FeatureSet."""
    generation: Annotated[int, Field(ge=1)] | None = None
    """Its generation, where it was read from a cluster."""
    schema_digest: Hash
    """The digest of its feature schema."""
    features: Annotated[list[Feature], Field(max_length=1000)] | None = None
    """The schema itself, so that a later difference can be named."""


class TrainingLineage(ApiType):
    """What made the model."""

    code: Text | None = None
    """The code: a commit, or what $PENSTOCK_CODE says."""
    job: Text | None = None
    """The Job that ran it."""
    parameters: Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=64)],
            Annotated[str, BeforeValidator(_as_text), Field(max_length=256)],
        ],
        Field(max_length=64),
    ] = Field(default_factory=dict)
    """What it was started with, as text."""
    seed: Annotated[int, Field(ge=0, le=2**53 - 1)] | None = None
    """The seed of its randomness."""


class Lineage(ApiType):
    """Where a model comes from. Fields of later versions are ignored, other versions refused."""

    version: Literal[1] = 1
    dataset: DatasetLineage
    feature_set: FeatureSetLineage
    training: TrainingLineage = Field(default_factory=TrainingLineage)

    def encode(self) -> bytes:
        """Return the file's bytes; the same lineage gives the same bytes."""
        return json.dumps(self.as_json(), indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n"

    def sentence(self) -> str:
        """Return the lineage in one line for people."""
        window = self.dataset.window
        parts = [f"{self.dataset.rows} rows of {self.dataset.name}"]
        if window:
            parts.append(f"from {window.begin:%Y-%m-%d} to {window.to:%Y-%m-%d}")
        parts.append(f"FeatureSet {self.feature_set.name} ({self.feature_set.schema_digest[7:19]})")
        if self.training.code:
            parts.append(f"code {self.training.code}")
        return "lineage: " + ", ".join(parts)

    def summary(self, most_bytes: int) -> dict[str, Any]:
        """Return the lineage without the schema's features, in at most so many bytes of JSON.

        What is dropped to make room, in this order: parameters, job, code, the dataset's uri.
        """
        content = self.as_json()
        content["featureSet"].pop("features", None)
        for part, key in (("training", "parameters"), ("training", "job"), ("training", "code"), ("dataset", "uri")):
            if not content[part].get(key):
                content[part].pop(key, None)
            elif len(json.dumps(content, ensure_ascii=False).encode()) > most_bytes:
                del content[part][key]
        return content


def read_lineage(content: bytes) -> Lineage:
    """Read the file's bytes; raises ValueError with one sentence that says what is wrong."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"{FILE_NAME} is larger than {MAX_BYTES} bytes.")
    try:
        return Lineage.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{FILE_NAME} is not valid: {place + ': ' if place else ''}{first['msg']}.") from None
