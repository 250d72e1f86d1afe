"""FeatureSets in Python: data for training, and the same transformation in the model server."""

from penstock.features.errors import DatasetError, FeatureError
from penstock.features.lineage import save_lineage
from penstock.features.loader import TrainingData, load
from penstock.features.transform import Transform, transform

__all__ = [
    "DatasetError",
    "FeatureError",
    "TrainingData",
    "Transform",
    "load",
    "save_lineage",
    "transform",
]
