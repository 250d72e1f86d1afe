"""Models, ModelRevisions and FeatureSets as values, parsed once per version of the object, not once per look."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from penstock.api.v1alpha1.featureset import FeatureSet
from penstock.api.v1alpha1.model import Model
from penstock.api.v1alpha1.modelrevision import ModelRevisionSpec
from penstock.domain import revision as hashing
from penstock.kube.resources import uid_of, version_of

Json = dict[str, Any]
T = TypeVar("T")
# As many as are busy at a time. Parsed values are large: more of them would only fill the memory.
MODELS_KEPT = 256
REVISIONS_KEPT = 512
FEATURE_SETS_KEPT = 128


class Parsed:
    """Keeps the parsed values of the objects that were looked at last."""

    def __init__(self) -> None:
        self._models: Recent[Model] = Recent(MODELS_KEPT)
        self._hashes: Recent[str] = Recent(MODELS_KEPT)
        self._feature_sets: Recent[FeatureSet] = Recent(FEATURE_SETS_KEPT)
        self._revisions: Recent[ModelRevisionSpec] = Recent(REVISIONS_KEPT)

    def model(self, obj: Json) -> Model:
        """Parse a Model. Raises pydantic's ValidationError."""
        return self._models.get((uid_of(obj), version_of(obj)), lambda: Model.model_validate(obj))

    def spec_hash(self, model: Model) -> str:
        """Return the hash of a Model's spec, which stays as long as the generation does."""
        return self._hashes.get((model.metadata.uid, model.metadata.generation), lambda: hashing.spec_hash(model.spec))

    def feature_set(self, obj: Json) -> FeatureSet:
        """Parse a FeatureSet. Raises pydantic's ValidationError."""
        return self._feature_sets.get((uid_of(obj), version_of(obj)), lambda: FeatureSet.model_validate(obj))

    def revision(self, obj: Json) -> ModelRevisionSpec:
        """Parse the spec of a ModelRevision, which never changes."""
        return self._revisions.get(uid_of(obj), lambda: ModelRevisionSpec.model_validate(obj["spec"]))


class Recent(Generic[T]):
    """Keeps the values that were used last, and makes them again otherwise."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[object, T] = OrderedDict()

    def get(self, key: object, make: Callable[[], T]) -> T:
        """Return the value of a key, made if it is not kept."""
        value = self._values.get(key)
        if value is None:
            value = self._values[key] = make()
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        else:
            self._values.move_to_end(key)
        return value
