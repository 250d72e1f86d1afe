"""Version v1alpha1 of the API group penstock.dev."""

from penstock.api.v1alpha1.base import API_VERSION, GROUP, VERSION, ApiObject, ApiType, ObjectMeta, OwnerReference
from penstock.api.v1alpha1.decisionrecord import DecisionRecord
from penstock.api.v1alpha1.featureset import FeatureSet
from penstock.api.v1alpha1.model import Model
from penstock.api.v1alpha1.modelrevision import ModelRevision

KINDS: tuple[type[ApiObject], ...] = (Model, ModelRevision, DecisionRecord, FeatureSet)
"""Every kind of the group."""

__all__ = [
    "API_VERSION",
    "GROUP",
    "KINDS",
    "VERSION",
    "ApiObject",
    "ApiType",
    "DecisionRecord",
    "FeatureSet",
    "Model",
    "ModelRevision",
    "ObjectMeta",
    "OwnerReference",
]
