"""The kind ModelRevision: the immutable snapshot of one release of a Model."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from penstock.api.v1alpha1.base import ApiObject, ApiType, Column, Crd
from penstock.api.v1alpha1.featureset import Feature
from penstock.api.v1alpha1.fields import (
    IMMUTABLE,
    CamelCaseWord,
    Count,
    Digest,
    Hash,
    ImageByDigest,
    ModelName,
    ObjectName,
    Revision,
    Timestamp,
    Uid,
    list_map,
)
from penstock.api.v1alpha1.model import Artifact
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.api.v1alpha1.serving import Runtime, ServerSettings


class Images(ApiType):
    """The images of a revision's pods, resolved once."""

    runtime: ImageByDigest
    """The image of the server."""
    fetch: ImageByDigest
    """The image that fetches and verifies the artifact before the server starts."""


class FeatureSnapshot(ApiType):
    """The feature schema that a revision was made with."""

    feature_set: ObjectName
    """The FeatureSet."""
    generation: Count
    """Its metadata.generation at that moment."""
    schema_digest: Digest
    """The digest of the schema."""
    features: Annotated[list[Feature], Field(min_length=1, max_length=1000, json_schema_extra=list_map("name"))]
    """The columns, in order."""


class ModelRevisionSpec(ApiType):
    """Everything that decides how a revision answers."""

    model_name: ModelName
    """The name of the Model."""
    model_uid: Annotated[Uid, Field(alias="modelUID")]
    """The uid of the Model, which tells it from a later one of the same name."""
    revision: Revision
    """The revision: 12 hexadecimal digits of a sha256 over what changes an answer."""
    spec_hash: Hash
    """The hash of the parts of the Model's spec that change an answer."""
    parent_revision: Revision | None = None
    """The revision that served when this one was made."""
    artifact: Artifact
    """The bytes of the model."""
    features: FeatureSnapshot | None = None
    """The feature schema that requests are checked against; none without spec.features."""
    runtime: Runtime
    """Penstock for the built-in model server, Custom for the owner's."""
    images: Images
    """The images of the pods, pinned by digest when the revision was made."""
    custom: ServerSettings | None = None
    """What the owner's server is started with, for runtime Custom."""


class ModelRevisionStatus(ApiType):
    """What the decision log says about a revision; shown, never read back."""

    stage: Stage | None = None
    """How far the revision has come."""
    reason: CamelCaseWord | None = None
    """One CamelCase word that says why."""
    at: Timestamp | None = None
    """Since when."""
    lineage: Annotated[
        dict[str, JsonValue] | None, Field(max_length=16, json_schema_extra={"additionalProperties": True})
    ] = None
    """What the artifact says it was made of: data, features, code and Job; also in the log, where it was promoted."""


class ModelRevision(ApiObject):
    """The immutable snapshot of one release of a Model, written by the operator."""

    crd: ClassVar[Crd] = Crd(
        plural="modelrevisions",
        short_name="prev",
        columns=(
            Column("Model", ".spec.modelName", "The Model"),
            Column("Revision", ".spec.revision", "The revision"),
            Column("Stage", ".status.stage", "How far it has come"),
            Column("Reason", ".status.reason", "Why"),
            Column("Digest", ".spec.artifact.digest", "The digest of its artifact", priority=1),
        ),
        rules=(
            (
                "self.metadata.name == self.spec.modelName + '-' + self.spec.modelUID.substring(0, 8)"
                " + '-' + self.spec.revision",
                "a ModelRevision is named MODEL-UID8-REVISION after its spec",
            ),
        ),
        selectable=(".spec.modelName", ".spec.modelUID"),
    )

    kind: Literal["ModelRevision"] = "ModelRevision"
    spec: Annotated[ModelRevisionSpec, Field(json_schema_extra=IMMUTABLE)]
    """Everything that decides how the revision answers; never changes."""
    status: ModelRevisionStatus = Field(default_factory=ModelRevisionStatus)
    """What the decision log says about the revision."""
