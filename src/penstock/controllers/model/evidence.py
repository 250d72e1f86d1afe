"""Finds out what is known about a candidate, or about the stable revision: gates, live traffic, what people said."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from penstock.api.v1alpha1.checkpoint import Checkpoint, Plan
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.controllers.config import OperatorConfig
from penstock.controllers.gates.view import Ask, Evaluations
from penstock.controllers.model.commands import Commands
from penstock.controllers.model.gathered import Gathered
from penstock.controllers.model.live import Live
from penstock.controllers.model.meter import ModelKey
from penstock.controllers.model.scope import Scope
from penstock.controllers.model.shadows import Shadows
from penstock.domain.gates.verdict import Verdict
from penstock.domain.gates.view import GateView
from penstock.domain.lifecycle.observed import GateFinding
from penstock.domain.lifecycle.plan import missing_gates
from penstock.domain.lifecycle.transitions import stable
from penstock.kube.cache import Cache
from penstock.kube.client import KubeClient

Json = dict[str, Any]
# Those that decide come first; a decision has to fit into one small object.
MOST_NUMBERS = 8
_WITH_GATES = frozenset({Stage.EVALUATING, Stage.SHADOW, Stage.CANARY, Stage.AWAITING_APPROVAL})


class Evidence:
    """One look per reconcile. Never decides: it fills in what the decision looks at."""

    def __init__(
        self,
        client: KubeClient,
        cache: Cache,
        config: OperatorConfig,
        commands: Commands,
        live: Live,
        shadows: Shadows,
    ) -> None:
        self._evaluations = Evaluations(client, cache, config)
        self._commands = commands
        self._live = live
        self._shadows = shadows

    async def look(self, scope: Scope, state: Checkpoint, now: datetime) -> Gathered:
        """Return everything that is known, and the Jobs that finding out more takes."""
        actions = self._commands.about(scope.identity)
        found = self._live.look(scope, state, now)
        compared = self._shadows.look(scope, state, now)
        found = replace(
            found,
            shadow=compared.shadow,
            live=compared.live if compared.live.sighted is not None or compared.shadow is not None else found.live,
            jobs=compared.jobs,
            gone=compared.gone,
            again=compared.again,
            actions=tuple(action for action in actions if action.uid not in state.handled),
            existing=tuple(action.uid for action in actions),
        )
        ask = _about_the_candidate(scope, state) or _about_the_stable(scope, state)
        if ask is None:
            return replace(found, gone=(*found.gone, *self._evaluations.leftovers(scope.identity.uid)))
        looked = await self._evaluations.look(ask, now)
        views = {view.name: view for view in looked.views}
        moments = (found.again, looked.again, stable.due(state, scope.seen))
        again = min((moment for moment in moments if moment is not None), default=None)
        found_out = {name: _finding(view, errors=ask.itself) for name, view in views.items()}
        return replace(
            found,
            gates={name: finding for name, finding in found_out.items() if finding is not None},
            waiting={name: view.waiting for name, view in views.items() if view.waiting},
            again=again,
            jobs=(*found.jobs, *looked.apply),
            gone=(*found.gone, *looked.delete),
        )

    def forget(self, key: ModelKey) -> None:
        """Stop looking at a Model that is gone."""
        self._live.forget(key)
        self._shadows.forget(key)


def _about_the_candidate(scope: Scope, state: Checkpoint) -> Ask | None:
    candidate = state.candidate
    if candidate is None or candidate.plan is None or candidate.stage not in _WITH_GATES:
        return None
    spec = scope.revisions.get(candidate.revision)
    if not candidate.plan.gates or candidate.cites or spec is None:
        return None
    return Ask(
        namespace=scope.identity.namespace,
        model=scope.identity.name,
        model_uid=scope.identity.uid,
        candidate=spec,
        champion=scope.revisions.get(state.stable) if state.stable else None,
        gates=_asked(candidate.plan, scope.seen.plan, missing_gates(candidate)),
        proofs=[*candidate.proofs, *state.proofs],
        training_digests=training_digests(scope, candidate.revision),
        round=candidate.evaluation,
    )


def _about_the_stable(scope: Scope, state: Checkpoint) -> Ask | None:
    evaluation = stable.running(state)
    spec = scope.revisions.get(evaluation.revision) if evaluation is not None else None
    if evaluation is None or spec is None:
        return None
    return Ask(
        namespace=scope.identity.namespace,
        model=scope.identity.name,
        model_uid=scope.identity.uid,
        candidate=spec,
        champion=None,
        gates=stable.unanswered(evaluation),
        # What it was promoted with is no result of now, but no attempt has its number again.
        proofs=[*state.proofs, *evaluation.proofs],
        training_digests=training_digests(scope, evaluation.revision),
        round=evaluation.round,
        itself=True,
    )


def _asked(plan: Plan, live: Plan, lacking: Collection[str]) -> list[str]:
    """Return the gates that have something to say: an edited gate has not, of a candidate that passed it before."""
    now = {gate.name: gate.spec_hash for gate in live.gates}
    return [gate.name for gate in plan.gates if gate.name in lacking or now.get(gate.name) == gate.spec_hash]


def training_digests(scope: Scope, revision: str) -> frozenset[str]:
    """Return the digests of the datasets that a revision says it was trained on."""
    lineage: Mapping[str, Any] | None = scope.seen.workload(revision).lineage
    datasets = (lineage or {}).get("datasets", [])
    return frozenset(
        str(item["digest"]) for item in datasets if isinstance(item, dict) and isinstance(item.get("digest"), str)
    )


def _finding(view: GateView, *, errors: bool) -> GateFinding | None:
    """Return a gate's word as the decision knows it; what will be tried again says nothing yet.

    `errors`: whether an error that nobody tries again is an answer; a candidate waits for what a person can mend.
    """
    if view.spec_hash is None:
        return None
    silent = view.retry_at is not None or (view.verdict is Verdict.ERROR and not errors)
    final = None if silent else view.verdict
    return GateFinding(
        name=view.name,
        spec_hash=view.spec_hash,
        verdict=final.value if final is not None else None,
        reason=view.reason,
        message=view.message or view.waiting,
        attempt=max(1, view.attempt),
        numbers=view.numbers[:MOST_NUMBERS],
        expected=view.expected_disagreement,
        dataset_digest=view.dataset_digest,
        report_digest=view.report_digest,
        accepted=view.needs_approval,
    )
