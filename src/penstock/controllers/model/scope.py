"""Loads, once per reconcile, everything a decision about one Model may look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from penstock.api.v1alpha1.checkpoint import Checkpoint, Plan, RejectedRevision
from penstock.api.v1alpha1.conditions import Reason, describe
from penstock.api.v1alpha1.model import Model
from penstock.api.v1alpha1.modelrevision import ModelRevisionSpec
from penstock.controllers.model import crashes, features, names, questions, workloads
from penstock.controllers.model.features import WantedRevision
from penstock.controllers.model.gateways import GatewayView
from penstock.controllers.model.gathered import Gathered
from penstock.controllers.model.log import Identity
from penstock.controllers.model.parsed import Parsed
from penstock.controllers.model.prober import Prober
from penstock.controllers.resources import MODELREVISIONS
from penstock.domain.lifecycle import freeze
from penstock.domain.lifecycle.observed import Blocker, Limits, LostHead, Observed
from penstock.domain.shadow import support
from penstock.kube.cache import Cache
from penstock.kube.resources import (
    DEPLOYMENTS,
    HTTPROUTES,
    PODS,
    REPLICASETS,
    SERVICES,
    Resource,
    controller_of,
    uid_of,
)
from penstock.routing.protocol import Router, Target

Json = dict[str, Any]
CHILD_KINDS = (DEPLOYMENTS, SERVICES, HTTPROUTES)


@dataclass(frozen=True, slots=True)
class Scope:
    """One look at a Model.

    `children`: what its uid owns; `pods`: by revision, those whose owners prove it; `revisions`: its snapshots, by
    revision; `asked`: what its spec asks for; `gathered`: the evidence.
    """

    identity: Identity
    model: Model
    router: Router
    gateway: GatewayView | None
    target: Target
    children: tuple[tuple[Resource, Json], ...]
    pods: Mapping[str, list[Json]]
    revisions: Mapping[str, ModelRevisionSpec]
    asked: WantedRevision
    seen: Observed
    gathered: Gathered = field(default_factory=Gathered)

    def with_findings(self, gathered: Gathered, *, crowded: str, exported: int | None, lost: LostHead | None) -> Scope:
        """Return the same look, with what was found out beside the objects.

        About the candidate, about the rollouts of others, and of the log what is known beside the log.
        """
        seen = replace(
            self.seen,
            gates=gathered.gates,
            shadow=gathered.shadow,
            live=gathered.live,
            actions=gathered.actions,
            existing=gathered.existing,
            crowded=crowded,
            exported=exported,
            lost=lost,
        )
        return replace(self, seen=seen, gathered=gathered)

    @property
    def highest_sequence(self) -> int:
        """The highest number of a decision that any live object, or the status, bears."""
        numbers = [names.sequence_of(child) for _, child in self.children]
        return max([*numbers, self.model.status.sequence or 0])

    @property
    def url(self) -> str | None:
        """Where clients outside the cluster reach the Model; None as long as there is no address."""
        if self.gateway is None or not self.gateway.url:
            return None
        host = self.target.hostnames[0] if self.target.hostnames else ""
        base = self.gateway.url if not host else f"{self.gateway.url.split('://')[0]}://{host}"
        return base + self.target.prefix.rstrip("/")

    @property
    def cluster_url(self) -> str:
        """Where clients inside the cluster reach the stable revision."""
        return f"http://{self.identity.name}.{self.identity.namespace}.svc"


def load(
    model: Model,
    state: Checkpoint | None,
    cache: Cache,
    parsed: Parsed,
    prober: Prober,
    router: Router,
    gateway: GatewayView | None,
    hindrances: tuple[Blocker, ...],
    plan: Plan,
    sequence: int,
    inherited: tuple[RejectedRevision, ...],
    now: datetime,
) -> Scope:
    """Build the scope from the cache and from what the prober knows.

    `hindrances`: what stands in the way beside what the cache shows. `sequence`: of the head of the log.
    `inherited`: quarantines of former Models of this name.
    """
    identity = Identity(model.metadata.namespace, model.metadata.name, model.metadata.uid)
    state = state or Checkpoint()
    children = tuple((kind, child) for kind, child in cache.owned_by(identity.uid) if kind in CHILD_KINDS)
    revisions = {
        spec.revision: spec
        for spec in (
            parsed.revision(obj)
            for obj in cache.by_label(MODELREVISIONS, identity.namespace, names.MODEL_LABEL, identity.name)
        )
        if spec.model_uid == identity.uid
    }
    deployments = {
        child["metadata"]["labels"][names.REVISION_LABEL]: child for kind, child in children if kind is DEPLOYMENTS
    }
    # A revision that runs is routed also when its snapshot was deleted.
    target = _target(model, {*revisions, *deployments})
    route = router.observe(target, cache.get)
    pods = {name: list(_pods_of(cache, identity, deployment)) for name, deployment in deployments.items()}
    asked = features.wanted(model, state, cache, parsed, revisions)
    rollout = model.spec.rollout
    about = questions.Subject(identity, state, revisions, target, route, gateway, cache, prober)
    seen = Observed(
        now=now,
        revision=asked.revision,
        spec_hash=asked.spec_hash,
        undecided=asked.undecided,
        replicas=model.spec.serving.replicas or 1,
        limits=Limits(
            stage_deadline=rollout.stage_deadline_seconds,
            rollback_window=rollout.rollback_window_seconds,
            rollback_full=rollout.full_seconds,
            warm_replicas=rollout.warm_replicas,
        ),
        plan=plan,
        requester=model.metadata.annotations.get(names.REQUESTER_ANNOTATION, ""),
        suspended=model.spec.suspend,
        frozen=freeze.sentence(rollout.freeze, now),
        workloads={name: workloads.view(child, pods[name]) for name, child in deployments.items()},
        route=route,
        smoke=questions.smoke(about, deployments, pods),
        previewed=questions.previewed(about, deployments, pods),
        reached=questions.reached(about),
        crashed=crashes.crashed(state, pods, now),
        model=identity.name,
        model_uid=identity.uid,
        created=model.metadata.creation_timestamp,
        sequence=sequence,
        inherited=() if sequence else inherited,
        fallback=_fallback(model, state, revisions),
        blockers=(
            *hindrances,
            *_blockers(identity, model, cache, gateway),
            *_unroutable(model, state, router, revisions),
            *([asked.blocker] if asked.blocker else []),
        ),
    )
    return Scope(identity, model, router, gateway, target, children, pods, revisions, asked, seen)


def _fallback(model: Model, state: Checkpoint, revisions: Mapping[str, ModelRevisionSpec]) -> str | None:
    """The declared fallback, if there is a snapshot of it and it is not what it is to stand in for."""
    declared = model.spec.fallback.revision if model.spec.fallback else None
    return declared if declared in revisions and declared != state.stable else None


def _unroutable(
    model: Model, state: Checkpoint, router: Router, revisions: Mapping[str, ModelRevisionSpec]
) -> Iterator[Blocker]:
    """What the plan asks for and the route cannot do: refused, never left out silently."""
    rollout = model.spec.rollout
    if rollout.canary is not None and not router.capabilities.weights:
        detail = "rollout.canary needs a Gateway that shares traffic by weight; name one, or leave canary out"
        yield Blocker(Reason.ROUTING_UNSUPPORTED, describe(Reason.ROUTING_UNSUPPORTED, detail=detail))
    if rollout.shadow is None:
        return
    mine = model.spec.serving.runtime
    stable = revisions.get(state.stable) if state.stable else None
    refused = support.refusal(
        rollout.shadow,
        stable.runtime if stable else mine,
        mine,
        has_gateway=router.capabilities.weights,
        can_mirror=router.capabilities.mirror,
    )
    if refused:
        yield Blocker(Reason.ROUTING_UNSUPPORTED, describe(Reason.ROUTING_UNSUPPORTED, detail=refused))


def _target(model: Model, revisions: Iterable[str]) -> Target:
    meta, route = model.metadata, model.spec.route
    return Target(
        namespace=meta.namespace,
        model=meta.name,
        prefix=route.path_prefix or f"/{meta.namespace}/{meta.name}",
        hostnames=tuple(route.hostnames),
        services={revision: names.workload_name(meta.name, revision) for revision in revisions},
        port=names.REVISION_PORT,
    )


def _pods_of(cache: Cache, identity: Identity, deployment: Json) -> Iterator[Json]:
    """Yield the pods whose chain of owners ends in this Deployment; labels alone prove nothing."""
    replicasets = {uid_of(child) for kind, child in cache.owned_by(uid_of(deployment)) if kind is REPLICASETS}
    revision = deployment["metadata"]["labels"][names.REVISION_LABEL]
    for pod in cache.by_label(PODS, identity.namespace, names.REVISION_LABEL, revision):
        owner = controller_of(pod)
        if owner is not None and owner["uid"] in replicasets:
            yield pod


def _blockers(identity: Identity, model: Model, cache: Cache, gateway: GatewayView | None) -> Iterator[Blocker]:
    left = [
        f"{kind.kind} {child['metadata']['name']}"
        for kind in CHILD_KINDS
        for child in cache.by_label(kind, identity.namespace, names.MODEL_LABEL, identity.name)
        if _belongs_to_another_model(child, identity.uid)
    ]
    if left:
        yield Blocker(Reason.PREVIOUS_TERMINATING, describe(Reason.PREVIOUS_TERMINATING, detail=", ".join(left[:5])))
    if gateway is None and (model.spec.route.hostnames or model.spec.route.path_prefix):
        detail = "hostnames and pathPrefix need a Gateway, and neither the Model nor the operator names one"
        yield Blocker(Reason.ROUTING_UNSUPPORTED, describe(Reason.ROUTING_UNSUPPORTED, detail=detail))
    if gateway is not None and not gateway.exists:
        yield Blocker(Reason.GATEWAY_MISSING, describe(Reason.GATEWAY_MISSING))


def _belongs_to_another_model(child: Json, uid: str) -> bool:
    owner = controller_of(child)
    return owner is not None and owner["kind"] == "Model" and owner["uid"] != uid
