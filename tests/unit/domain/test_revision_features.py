"""A revision and the feature schema it is made with."""

from datetime import UTC, datetime
from typing import Any

from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint
from penstock.api.v1alpha1.featureset import FeatureType
from penstock.api.v1alpha1.model import ModelSpec
from penstock.api.v1alpha1.modelstatus import Source, Stage, Wanted
from penstock.domain.features.schema import FeatureSchema, FeatureSpec
from penstock.domain.revision import revision_name, spec_hash, wanted_revision

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64


def model(**changes: Any) -> ModelSpec:
    artifact = {"uri": "oci://registry.example.com/m:1", "digest": DIGEST, "format": "ONNX"}
    return ModelSpec.model_validate({"artifact": artifact, **changes})


HASH = spec_hash(model(features={"featureSetRef": {"name": "flights"}}))


def decided(stage: Stage | None, schema: str) -> Checkpoint:
    revision = revision_name(HASH, schema)
    candidate = CandidateState(revision=revision, stage=stage, since=NOW, attempt=1) if stage else None
    return Checkpoint(wanted=Wanted(revision=revision, source=Source.SPEC, spec_hash=HASH, at=NOW), candidate=candidate)


def test_a_feature_set_is_part_of_what_is_asked_for() -> None:
    assert spec_hash(model()) != HASH
    assert spec_hash(model(features={"featureSetRef": {"name": "other"}})) != HASH


def test_the_schema_is_that_of_the_moment_it_was_asked_for() -> None:
    assert wanted_revision(HASH, "new", Checkpoint()) == revision_name(HASH, "new")
    for stage in (None, Stage.STARTING, Stage.PROMOTING, Stage.ROLLING_BACK):
        old = revision_name(HASH, "old")
        assert wanted_revision(HASH, "new", decided(stage, "old"), {old}) == old


def test_what_has_not_begun_follows_its_feature_set() -> None:
    for stage in (Stage.PENDING, Stage.STARTING):
        assert wanted_revision(HASH, "new", decided(stage, "old")) == revision_name(HASH, "new")


def test_an_edit_of_the_spec_takes_the_present_schema() -> None:
    other = spec_hash(model(features={"featureSetRef": {"name": "other"}}))
    assert wanted_revision(other, "new", decided(None, "old")) == revision_name(other, "new")


def test_a_schema_digest_says_what_changes_an_answer() -> None:
    first, second = (
        FeatureSpec("a", FeatureType.FLOAT64, default="1"),
        FeatureSpec("b", FeatureType.STRING, categories=("x", "y")),
    )
    digests = {
        FeatureSchema(features).digest
        for features in [
            (first, second),
            (second, first),
            (first,),
            (first, FeatureSpec("b", FeatureType.STRING, categories=("y", "x"))),
        ]
    }
    assert len(digests) == 4
