"""What a revision is: the hash of everything that changes an answer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from penstock.api.canonical import canonical_digest
from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.model import ModelSpec
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.api.v1alpha1.serving import Runtime

# Prefixed to every hash, so that a later change of the recipe can never collide with an older one.
SPEC_HASH_VERSION = "penstock.dev/spec/1"
REVISION_HASH_VERSION = "penstock.dev/revision/1"
REVISION_LENGTH = 12
# Stands where no revision can be named yet.
NO_REVISION = "0" * REVISION_LENGTH


def spec_hash(spec: ModelSpec) -> str:
    """Hash the part of a Model's spec that changes an answer.

    Where and how big a model runs (replicas, resources, placement) is not part of it: such an
    edit keeps the revision. Nor is the artifact's URI: the digest says what is served, the URI
    only where it lies.
    """
    content: dict[str, Any] = {
        "artifactDigest": spec.artifact.digest,
        "format": spec.artifact.format.value,
        "runtime": spec.serving.runtime.value,
    }
    if spec.features is not None:
        content["featureSet"] = spec.features.feature_set_ref.name
    if spec.serving.runtime is Runtime.CUSTOM and spec.serving.custom is not None:
        custom = spec.serving.custom
        content["custom"] = {
            "image": custom.image.rsplit("@", 1)[-1],
            "args": list(custom.args),
            "env": {item.name: item.value for item in custom.env},
            "port": custom.port,
            "protocol": custom.protocol.value,
        }
    return canonical_digest([SPEC_HASH_VERSION, content])


def revision_name(spec_digest: str, feature_schema: str = "", build: str = "") -> str:
    """Return the 12 hex characters that name a revision.

    `feature_schema` is the digest of the feature schema at the moment the wanted revision
    changed and `build` the uid of a Rebuild action; both are empty where they do not apply.
    """
    digest = canonical_digest([REVISION_HASH_VERSION, spec_digest, feature_schema, build])
    return digest.removeprefix("sha256:")[:REVISION_LENGTH]


def follows(state: Checkpoint, made: Collection[str]) -> bool:
    """Whether the candidate has not begun, so that it follows its FeatureSet. `made`: revisions with a snapshot."""
    candidate = state.candidate
    if candidate is None:
        return False
    return candidate.stage is Stage.PENDING or (candidate.stage is Stage.STARTING and candidate.revision not in made)


def wanted_revision(spec_digest: str, feature_schema: str, state: Checkpoint, made: Collection[str] = ()) -> str:
    """Return the revision that a spec asks for, given what was decided.

    The feature schema is the one of the moment at which the spec last changed what is wanted: an
    edit of the FeatureSet alone makes no revision. Only a candidate that has not begun follows it.
    """
    wanted = state.wanted
    if wanted is not None and wanted.spec_hash == spec_digest and not follows(state, made):
        return wanted.revision
    return revision_name(spec_digest, feature_schema)
