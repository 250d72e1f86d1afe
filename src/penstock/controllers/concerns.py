"""Whom a changed object concerns: labels and names are enough here, they only wake, they prove nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.controllers.featureset.job import FEATURE_SET_LABEL
from penstock.controllers.gates.controller import gates_of
from penstock.controllers.model import names
from penstock.controllers.resources import EVALUATIONGATES, FEATURESETS, METRICSOURCES, MODELACTIONS, MODELS
from penstock.controllers.work import Key
from penstock.kube.cache import Cache
from penstock.kube.resources import Resource

Json = dict[str, Any]


def models(cache: Cache, resource: Resource, obj: Json) -> Iterator[Key]:
    """The Models that an object is about."""
    meta = obj["metadata"]
    if resource is METRICSOURCES:
        return  # numbers are read anew every few seconds
    namespace, name = meta["namespace"], meta["name"]
    if resource is MODELACTIONS:
        yield namespace, obj["spec"]["modelRef"]["name"]
    elif resource is EVALUATIONGATES:
        yield from _models_with_gates(cache, namespace, {name})
    elif resource is FEATURESETS:
        gates = {
            gate["metadata"]["name"]
            for gate in cache.list(EVALUATIONGATES, namespace)
            if (gate["spec"]["dataset"].get("featureSetRef") or {}).get("name") == name
        }
        yield from _models_with_gates(cache, namespace, gates)
        for model in cache.list(MODELS, namespace):
            reference = (model["spec"].get("features") or {}).get("featureSetRef") or {}
            if reference.get("name") == name:
                yield namespace, model["metadata"]["name"]
    elif resource is MODELS:
        yield namespace, name
    elif label := (meta.get("labels") or {}).get(names.MODEL_LABEL):
        yield namespace, label


def feature_sets(resource: Resource, obj: Json) -> Iterator[Key]:
    """The FeatureSet that an object is about."""
    meta = obj["metadata"]
    name = meta["name"] if resource is FEATURESETS else (meta.get("labels") or {}).get(FEATURE_SET_LABEL)
    if name and "namespace" in meta:
        yield meta["namespace"], name


def _models_with_gates(cache: Cache, namespace: str, gates: set[str]) -> Iterator[Key]:
    if not gates:
        return
    for model in cache.list(MODELS, namespace):
        if gates & gates_of(model):
            yield namespace, model["metadata"]["name"]
