"""Bugs in what is decided and in which order it is done. Each is a plausible slip."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.decisionrecord import DecisionRecordSpec
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.controllers.model import effects, names, scope
from penstock.controllers.model.controller import ModelController
from penstock.controllers.model.effects import Effects
from penstock.domain.lifecycle.desired import Desired
from penstock.kube.resources import DEPLOYMENTS, HTTPROUTES, Json, Resource, uid_of
from penstock.routing.gateway_api import GatewayRouter
from tests.faults.planting import bug, do_nothing, replace

# --- the order of effects ---


@bug
def status_before_effect() -> None:
    """Status tells of a decision as soon as it is made."""

    def make(make_so: Any) -> Any:
        async def changed(self: ModelController, key: Any, seen: Any, head: DecisionRecordSpec) -> str:
            await self._write_status(seen, head, "")
            lost: str = await make_so(self, key, seen, head)
            return lost

        return changed

    replace(ModelController, "_make_so", make)


@bug
def route_before_readiness() -> None:
    """A candidate gets the traffic as soon as it is started."""
    _change_desired(
        lambda state, found: (
            dataclasses.replace(found, weights={state.candidate.revision: 100})
            if state.candidate and state.candidate.stage is Stage.STARTING
            else found
        )
    )


@bug
def old_pods_deleted_at_promotion() -> None:
    """While the traffic moves, the pods it comes from are given up."""

    def make(retire: Any) -> Any:
        async def changed(self: Effects, seen: scope.Scope, wanted: Desired) -> None:
            for kind, child in seen.children:
                revision = child["metadata"]["labels"].get(names.REVISION_LABEL, "")
                if kind is DEPLOYMENTS and revision == wanted.selected and wanted.weights.get(revision, 0) == 0:
                    name = child["metadata"]["name"]
                    await self._applier.delete(kind, seen.identity.namespace, name, uid=uid_of(child))

        return changed

    replace(Effects, "_retire", make)


@bug
def stable_scaled_down_at_promotion() -> None:
    """While the traffic moves, the stable revision keeps no pods."""

    def change(state: Checkpoint, found: Desired) -> Desired:
        if state.candidate is None or state.candidate.stage is not Stage.PROMOTING:
            return found
        workloads = tuple(
            dataclasses.replace(item, replicas=0) if item.revision == state.stable else item for item in found.workloads
        )
        return dataclasses.replace(found, workloads=workloads)

    _change_desired(change)


@bug
def stable_pointer_moves_early() -> None:
    """The Model's Service follows the candidate while the gateway has not taken the route yet."""
    _change_desired(
        lambda state, found: (
            dataclasses.replace(found, selected=state.candidate.revision)
            if state.candidate and state.candidate.stage is Stage.PROMOTING
            else found
        )
    )


@bug
def nothing_is_retired() -> None:
    """What is not wanted any more stays."""
    replace(Effects, "_retire", lambda _: do_nothing)


@bug
def route_is_replaced() -> None:
    """A route is changed by deleting and making it."""

    def make(apply: Any) -> Any:
        async def changed(
            self: Effects, seen: scope.Scope, head: DecisionRecordSpec, kind: Resource, obj: Json, *rest: Any
        ) -> Any:
            live = self._cache.get(kind, seen.identity.namespace, obj["metadata"]["name"])
            if kind is HTTPROUTES and live is not None and live["spec"]["rules"] != obj["spec"]["rules"]:
                await self._applier.delete(kind, seen.identity.namespace, live["metadata"]["name"], uid=uid_of(live))
                self._cache.remove(kind, seen.identity.namespace, live["metadata"]["name"])
            return await apply(self, seen, head, kind, obj, *rest)

        return changed

    replace(Effects, "_apply", make)


# --- decisions ---


@bug
def weights_do_not_add_up() -> None:
    """A tenth of the traffic is forgotten."""

    def make(route: Any) -> Any:
        def changed(self: GatewayRouter, target: Any, weights: Any, *rest: Any) -> Any:
            return route(self, target, {revision: weight * 9 // 10 for revision, weight in weights.items()}, *rest)

        return changed

    replace(GatewayRouter, "route", make)


@bug
def gateway_is_not_asked() -> None:
    """A route counts as accepted when it is written."""
    replace(GatewayRouter, "_verdict", lambda _: lambda self, live: (True, ""))


@bug
def wanted_follows_generation() -> None:
    """Any edit of the spec asks for a new rollout."""

    def make(load: Any) -> Any:
        def changed(model: Any, *args: Any) -> scope.Scope:
            found: scope.Scope = load(model, *args)
            generation = hashlib.sha256(str(model.metadata.generation).encode()).hexdigest()
            return dataclasses.replace(found, seen=dataclasses.replace(found.seen, spec_hash=f"sha256:{generation}"))

        return changed

    replace(scope, "load", make)


@bug
def names_by_process() -> None:
    """Children are named after the process that makes them."""
    started = hashlib.sha256(str(datetime.now(UTC)).encode()).hexdigest()[:5]
    replace(names, "workload_name", lambda name: lambda model, revision: f"{name(model, revision)}-{started}")


def _change_desired(change: Callable[[Checkpoint, Desired], Desired]) -> None:
    def make(desired: Any) -> Any:
        return lambda state, seen: change(state, desired(state, seen))

    replace(effects, "desired", make)
