"""What the spec's rollout means now: the plan with its gates as they are, and whether a freeze is on."""

from __future__ import annotations

from pydantic import ValidationError

from penstock.api.v1alpha1.checkpoint import Plan, PlannedGate
from penstock.api.v1alpha1.evaluationgate import EvaluationGate
from penstock.api.v1alpha1.model import Model
from penstock.controllers.resources import EVALUATIONGATES
from penstock.domain.gates import runs
from penstock.domain.gates.bars import bars
from penstock.kube.cache import Cache


class Plans:
    """Reads plans. The hash of a gate is kept as long as the gate is the same object."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._gates: dict[tuple[str, str], tuple[str, PlannedGate]] = {}

    def of(self, model: Model) -> Plan:
        """Return what a new revision of this Model has to go through."""
        rollout = model.spec.rollout
        return Plan(
            gates=[self._gate(model.metadata.namespace, gate.name) for gate in rollout.gates],
            shadow=rollout.shadow,
            canary=rollout.canary,
            approval=rollout.approval,
            on_missing_evidence=rollout.on_missing_evidence,
            stage_deadline_seconds=rollout.stage_deadline_seconds,
        )

    def _gate(self, namespace: str, name: str) -> PlannedGate:
        obj = self._cache.get(EVALUATIONGATES, namespace, name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            self._gates.pop((namespace, name), None)
            return PlannedGate(name=name)
        form = f"{obj['metadata']['uid']}/{obj['metadata'].get('generation')}"
        known = self._gates.get((namespace, name))
        if known is None or known[0] != form:
            try:
                spec = EvaluationGate.model_validate(obj).spec
            except ValidationError:
                return PlannedGate(name=name)
            known = form, PlannedGate(name=name, spec_hash=runs.gate_hash(spec), bars=bars(spec))
            self._gates[namespace, name] = known
        return known[1]
