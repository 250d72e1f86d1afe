"""Version v1alpha1 of the API group penstock.dev."""

from penstock.api.v1alpha1.base import API_VERSION, GROUP, VERSION, ApiObject, ApiType, ObjectMeta, OwnerReference
from penstock.api.v1alpha1.decisionrecord import DecisionRecord
from penstock.api.v1alpha1.evaluationgate import EvaluationGate
from penstock.api.v1alpha1.featureset import FeatureSet
from penstock.api.v1alpha1.metricsource import MetricSource
from penstock.api.v1alpha1.model import Model
from penstock.api.v1alpha1.modelaction import ModelAction
from penstock.api.v1alpha1.modelrevision import ModelRevision

KINDS: tuple[type[ApiObject], ...] = (
    Model,
    ModelRevision,
    DecisionRecord,
    FeatureSet,
    ModelAction,
    EvaluationGate,
    MetricSource,
)
"""Every kind of the group."""

__all__ = [
    "API_VERSION",
    "GROUP",
    "KINDS",
    "VERSION",
    "ApiObject",
    "ApiType",
    "DecisionRecord",
    "EvaluationGate",
    "FeatureSet",
    "MetricSource",
    "Model",
    "ModelAction",
    "ModelRevision",
    "ObjectMeta",
    "OwnerReference",
]
