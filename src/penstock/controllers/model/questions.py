"""Which questions are worth asking of what runs, at the stage the candidate is in, and what is known by now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.modelrevision import ModelRevisionSpec
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.api.v1alpha1.serving import Runtime
from penstock.controllers.model import names, workloads
from penstock.controllers.model.children import server_port
from penstock.controllers.model.gateways import GatewayView
from penstock.controllers.model.log import Identity
from penstock.controllers.model.prober import Prober, ReachTarget, SmokeTarget
from penstock.domain.lifecycle.classify import stage_of
from penstock.domain.lifecycle.desired import PREVIEWED
from penstock.domain.lifecycle.observed import Probe, RouteView
from penstock.kube.cache import Cache
from penstock.kube.resources import HTTPROUTES, SERVICES, uid_of
from penstock.routing.protocol import Target

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """What the questions are about."""

    identity: Identity
    state: Checkpoint
    revisions: Mapping[str, ModelRevisionSpec]
    target: Target
    route: RouteView
    gateway: GatewayView | None
    cache: Cache
    prober: Prober

    @property
    def key(self) -> tuple[str, str]:
        """The Model, as the work queue names it."""
        return self.identity.namespace, self.identity.name


def smoke(about: Subject, deployments: Mapping[str, Json], pods: Mapping[str, list[Json]]) -> dict[str, Probe]:
    """While a candidate starts: does one of its ready pods answer a real prediction?"""
    candidate = about.state.candidate
    if candidate is None or stage_of(about.state) is not Stage.STARTING:
        return {}
    revision = candidate.revision
    spec, deployment = about.revisions.get(revision), deployments.get(revision)
    if spec is None or deployment is None or not workloads.is_settled(deployment):
        return {}
    addresses = workloads.ready_addresses(pods[revision])
    if not addresses:
        return {}
    question = SmokeTarget(
        model=about.identity.name,
        revision=revision,
        digest=spec.artifact.digest,
        address=addresses[0],
        port=server_port(spec),
        identified=spec.runtime is Runtime.PENSTOCK,
    )
    return {revision: about.prober.smoke(about.key, (uid_of(deployment), candidate.attempt), question)}


def previewed(about: Subject, deployments: Mapping[str, Json], pods: Mapping[str, list[Json]]) -> dict[str, Probe]:
    """While there is a candidate beside a stable revision: does the gateway know its pods, and the present weights?"""
    candidate, stable = about.state.candidate, about.state.stable
    if candidate is None or stable is None or stage_of(about.state) not in PREVIEWED:
        return {}
    if about.gateway is None:
        return {candidate.revision: Probe(True, "a Service has no gateway to wait for")}
    deployment = deployments.get(candidate.revision)
    if deployment is None or not workloads.ready_addresses(pods[candidate.revision]) or not about.route.accepted:
        return {}
    token = names.preview_token(about.identity.uid, candidate.revision, about.state.weights)
    if not _leads_to_preview(about, token):
        return {}  # the stable revision would answer, and not every server says which one it is
    return _ask(about, candidate.revision, (uid_of(deployment), candidate.attempt), token)


def _leads_to_preview(about: Subject, token: str) -> bool:
    live = about.cache.get(HTTPROUTES, about.identity.namespace, about.identity.name)
    rules = live["spec"].get("rules", ()) if live else ()
    matches = [match for rule in rules for match in rule.get("matches", ())]
    return any(header.get("value") == token for match in matches for header in match.get("headers", ()))


def reached(about: Subject) -> dict[str, Probe]:
    """While traffic moves: are clients answered by the revision that the route names?"""
    stage = stage_of(about.state)
    if stage not in (Stage.PROMOTING, Stage.ROLLING_BACK) or not about.route.accepted or len(about.route.weights) != 1:
        return {}
    (revision,) = about.route.weights
    return _ask(about, revision, (), "")


def _ask(about: Subject, revision: str, token: tuple[object, ...], preview: str) -> dict[str, Probe]:
    spec = about.revisions.get(revision)
    live = about.cache.get(HTTPROUTES if about.gateway else SERVICES, about.identity.namespace, about.identity.name)
    if spec is None or live is None:
        return {}
    host = ""
    if about.gateway is not None:
        host = about.target.hostnames[0] if about.target.hostnames else ""
        url = about.gateway.probe_url and about.gateway.probe_url + about.target.prefix.rstrip("/")
    else:
        url = f"http://{live['spec'].get('clusterIP', '')}:{names.MODEL_PORT}"
    if not url:
        return {}
    identified = spec.runtime is Runtime.PENSTOCK
    question = ReachTarget(about.identity.name, revision, url, host, identified=identified, preview=preview)
    # An answer counts for exactly this form of the route.
    form = (uid_of(live), live["metadata"].get("generation"), tuple(sorted(about.route.weights.items())), *token)
    return {revision: about.prober.reach(about.key, form, question)}
