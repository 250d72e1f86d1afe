"""Reconciles one EvaluationGate: says whether it can be used, who uses it and how often its rows were looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.evaluationgate import EvaluationGate
from penstock.api.v1alpha1.evaluationgatestatus import USERS_LIMIT
from penstock.api.v1alpha1.featureset import FeatureSet
from penstock.controllers.gates import job as jobs
from penstock.controllers.gates import outcome as outcomes
from penstock.controllers.gates import status as statuses
from penstock.controllers.resources import EVALUATIONGATES, FEATURESETS, MODELS
from penstock.domain.gates.holdout import Rows, Unusable, rows_of
from penstock.domain.gates.task import GateResult, GateStatus
from penstock.kube.applier import Applier
from penstock.kube.cache import Cache
from penstock.kube.errors import Forbidden, NotFound
from penstock.kube.resources import JOBS, PODS, Resource, controller_of, uid_of

Json = dict[str, Any]
GateKey = tuple[str, str]


class EvaluationGateController:
    """Keeps the status of gates. Their Jobs belong to the Models: this one makes none and decides nothing."""

    def __init__(self, cache: Cache, applier: Applier, clock: Callable[[], datetime]) -> None:
        self._cache = cache
        self._applier = applier
        self._clock = clock

    async def reconcile(self, key: GateKey) -> float | None:
        """Handle one gate; return the seconds after which to look again, None if only events matter."""
        obj = self._cache.get(EVALUATIONGATES, *key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return None
        try:
            gate = EvaluationGate.model_validate(obj)
        except ValidationError:
            # Of a newer CRD than this operator: the Models that name it say so.
            return None
        status = statuses.show(gate, self._rows(gate), self._models(gate), list(self._seen(gate)), self._clock())
        content = status.as_json()
        if content == obj.get("status"):
            return None
        meta = gate.metadata
        body = {
            "apiVersion": API_VERSION,
            "kind": EVALUATIONGATES.kind,
            "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
            "status": content,
        }
        try:
            self._cache.take_answer(EVALUATIONGATES, await self._applier.apply_status(EVALUATIONGATES, body))
        except NotFound:
            return None
        except Forbidden as error:
            if not error.namespace_terminating:
                raise
        return None

    def _rows(self, gate: EvaluationGate) -> Rows | Unusable:
        reference = gate.spec.dataset.feature_set_ref
        obj = self._cache.get(FEATURESETS, gate.metadata.namespace, reference.name) if reference else None
        try:
            return rows_of(gate.spec, FeatureSet.model_validate(obj) if obj is not None else None)
        except ValidationError as problem:
            return Unusable(Reason.HOLDOUT_NOT_VALID, str(problem).splitlines()[0])

    def _models(self, gate: EvaluationGate) -> Iterator[str]:
        for model in self._cache.list(MODELS, gate.metadata.namespace):
            if gate.metadata.name in gates_of(model):
                yield model["metadata"]["name"]

    def _seen(self, gate: EvaluationGate) -> Iterator[statuses.SeenRun]:
        """The Jobs of the gate that a Model of the namespace owns: the label alone proves nothing."""
        namespace = gate.metadata.namespace
        for job in self._cache.by_label(JOBS, namespace, jobs.GATE_LABEL, gate.metadata.name):
            noted, owner = outcomes.noted(job), controller_of(job)
            if noted is None or owner is None or owner.get("kind") != MODELS.kind:
                continue
            model = self._cache.get(MODELS, namespace, owner["name"])
            if model is None or uid_of(model) != owner["uid"]:
                continue
            pods = [obj for kind, obj in self._cache.owned_by(uid_of(job)) if kind is PODS]
            result = outcomes.outcome(job, pods).result
            yield statuses.SeenRun(job["metadata"]["name"], owner["name"], noted, _said(result))


def _said(result: GateResult | None) -> str:
    if result is None:
        return statuses.RUNNING
    return GateStatus.COMPLETE.value if result.status is GateStatus.COMPLETE else result.reason


def gates_of(model: Json) -> set[str]:
    """Return the names of the gates that a Model, as the API server has it, names."""
    return {item["name"] for item in (model["spec"].get("rollout") or {}).get("gates") or ()}


def concerns(cache: Cache, resource: Resource, obj: Json) -> Iterator[GateKey]:
    """The gates that an object is about, for the queue of this controller; what only wakes needs no proof."""
    namespace, name = obj["metadata"].get("namespace"), obj["metadata"]["name"]
    if namespace is None:
        return  # no gate depends on what is the cluster's
    if resource is EVALUATIONGATES:
        yield namespace, name
    elif resource is MODELS:
        named = gates_of(obj)
        for gate in cache.list(EVALUATIONGATES, namespace):
            shown = (gate.get("status") or {}).get("models") or ()
            # Also those that it named before.
            if gate["metadata"]["name"] in named or name in shown or len(shown) >= USERS_LIMIT:
                yield namespace, gate["metadata"]["name"]
    elif resource is FEATURESETS:
        for gate in cache.list(EVALUATIONGATES, namespace):
            reference = gate["spec"]["dataset"].get("featureSetRef") or {}
            if reference.get("name") == name:
                yield namespace, gate["metadata"]["name"]
    elif label := (obj["metadata"].get("labels") or {}).get(jobs.GATE_LABEL):
        yield namespace, label
