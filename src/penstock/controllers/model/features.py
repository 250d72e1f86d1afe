"""The FeatureSet that a Model names: its schema, and whether its data lets a revision roll out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.conditions import ConditionStatus, ConditionType, Reason, describe, find_condition
from penstock.api.v1alpha1.featureset import FeatureSet
from penstock.api.v1alpha1.model import Model
from penstock.api.v1alpha1.modelrevision import FeatureSnapshot
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.controllers.model.parsed import Parsed
from penstock.controllers.resources import FEATURESETS
from penstock.domain import revision as hashing
from penstock.domain.features.schema import FeatureSchema
from penstock.domain.lifecycle.observed import Blocker
from penstock.kube.cache import Cache


@dataclass(frozen=True, slots=True)
class WantedRevision:
    """What the spec asks for now. `undecided`: that cannot be told before the FeatureSet exists.

    `schema_digest`: of the FeatureSet as it is; empty without one.
    """

    spec_hash: str
    revision: str
    schema_digest: str = ""
    feature_set: FeatureSet | None = None
    undecided: bool = False
    blocker: Blocker | None = None

    def snapshot(self) -> FeatureSnapshot | None:
        """Return the schema as the wanted revision is to keep it."""
        if self.feature_set is None:
            return None
        meta = self.feature_set.metadata
        return FeatureSnapshot(
            feature_set=meta.name,
            generation=meta.generation,
            schema_digest=self.schema_digest,
            features=[item.model_copy(update={"description": None}) for item in self.feature_set.spec.features],
        )


def wanted(model: Model, state: Checkpoint, cache: Cache, parsed: Parsed, made: Collection[str]) -> WantedRevision:
    """Look at the spec and its FeatureSet. `made`: the revisions of which there is a snapshot."""
    spec_hash = parsed.spec_hash(model)
    if model.spec.features is None:
        return WantedRevision(spec_hash, hashing.wanted_revision(spec_hash, "", state, made))
    obj = cache.get(FEATURESETS, model.metadata.namespace, model.spec.features.feature_set_ref.name)
    if obj is None:
        known = state.wanted is not None and state.wanted.spec_hash == spec_hash and not hashing.follows(state, made)
        revision = state.wanted.revision if state.wanted else hashing.NO_REVISION
        missing = Blocker(Reason.FEATURE_SET_MISSING, describe(Reason.FEATURE_SET_MISSING))
        return WantedRevision(spec_hash, revision, undecided=not known, blocker=None if known else missing)
    feature_set = parsed.feature_set(obj)
    digest = FeatureSchema.of(feature_set.spec.features).digest
    revision = hashing.wanted_revision(spec_hash, digest, state, made)
    blocker = _blocker(feature_set) if _may_begin(state, spec_hash) else None
    return WantedRevision(spec_hash, revision, digest, feature_set, blocker=blocker)


def _may_begin(state: Checkpoint, spec_hash: str) -> bool:
    """Whether the data matters now: it keeps candidates from beginning, and touches nothing that has begun."""
    if state.wanted is None or state.wanted.spec_hash != spec_hash:
        return True
    return state.candidate is not None and state.candidate.stage is Stage.PENDING


def _blocker(feature_set: FeatureSet) -> Blocker | None:
    status = feature_set.status
    ready = find_condition(status.conditions, ConditionType.READY)
    if ready is None or status.observed_generation != feature_set.metadata.generation:
        return Blocker(Reason.FEATURE_SET_PENDING, describe(Reason.FEATURE_SET_PENDING))
    if ready.status is ConditionStatus.TRUE:
        return None
    if ready.reason in (Reason.VALIDATING, Reason.PENDING):
        return Blocker(Reason.FEATURE_SET_PENDING, describe(Reason.FEATURE_SET_PENDING))
    detail = f"{feature_set.metadata.name}: {ready.reason}: {ready.message}"
    return Blocker(Reason.FEATURE_SET_NOT_VALID, describe(Reason.FEATURE_SET_NOT_VALID, detail=detail))
