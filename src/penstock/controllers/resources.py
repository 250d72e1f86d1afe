"""The kinds of our own API group, as the Kubernetes layer addresses them."""

from penstock.api.v1alpha1.base import GROUP, VERSION
from penstock.kube.resources import Resource

MODELS = Resource(GROUP, VERSION, "models", "Model")
MODELREVISIONS = Resource(GROUP, VERSION, "modelrevisions", "ModelRevision")
DECISIONRECORDS = Resource(GROUP, VERSION, "decisionrecords", "DecisionRecord")
FEATURESETS = Resource(GROUP, VERSION, "featuresets", "FeatureSet")
EVALUATIONGATES = Resource(GROUP, VERSION, "evaluationgates", "EvaluationGate")
MODELACTIONS = Resource(GROUP, VERSION, "modelactions", "ModelAction")
METRICSOURCES = Resource(GROUP, VERSION, "metricsources", "MetricSource", namespaced=False)
