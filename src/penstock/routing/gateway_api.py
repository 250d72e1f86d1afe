"""Gateway API: one HTTPRoute per Model, a backend per revision that gets traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from penstock.domain.lifecycle.desired import Desired
from penstock.domain.lifecycle.observed import RouteView
from penstock.domain.shadow.marking import HEADER
from penstock.kube.resources import HTTPROUTES, Resource
from penstock.routing.protocol import PREVIEW_HEADER, Capabilities, Json, Lookup, Mirror, Preview, Target

# What must be True, for the generation in question, before the route counts as taken.
TAKEN = ("Accepted", "ResolvedRefs")


@dataclass(frozen=True, slots=True)
class Parent:
    """The Gateway (and, if named, the listener) a route attaches to."""

    namespace: str
    name: str
    section: str | None = None


@dataclass(frozen=True, slots=True)
class GatewayRouter:
    """Routes by weight through a Gateway."""

    parent: Parent
    capabilities: ClassVar[Capabilities] = Capabilities(weights=True, mirror=True)

    def route(
        self,
        target: Target,
        weights: Mapping[str, int],
        preview: Preview | None = None,
        mirror: Mirror | None = None,
    ) -> tuple[Resource, Json] | None:
        """Return the HTTPRoute.

        A revision without weight has no backendRef at all: some gateways send a trickle to a
        backend of weight 0. Raises ValueError for a mirror of a revision that has weight.
        """
        backends = [
            {"name": target.services[revision], "port": target.port, "weight": weight}
            for revision, weight in sorted(weights.items())
            if weight > 0
        ]
        if not backends:
            return None
        if mirror is not None and weights.get(mirror.revision, 0) > 0:
            raise ValueError(f"{mirror.revision} has weight {weights[mirror.revision]}: it cannot get copies as well")
        rules = [self._rule(target, backends, mirror=mirror)]
        if preview is not None:
            # The rule with a header match wins over the one without, whatever their order.
            backend = {"name": target.services[preview.revision], "port": target.port, "weight": 1}
            header = {"type": "Exact", "name": PREVIEW_HEADER, "value": preview.token}
            rules.append(self._rule(target, [backend], [header]))
        spec: Json = {"parentRefs": [self._parent_ref()], "rules": rules}
        if target.hostnames:
            spec["hostnames"] = list(target.hostnames)
        return HTTPROUTES, {"metadata": {"name": target.model}, "spec": spec}

    def selected(self, desired: Desired) -> str | None:
        """The Model's own Service always follows the stable revision; weights hold at the gateway."""
        return desired.selected

    def observe(self, target: Target, lookup: Lookup) -> RouteView:
        """Read weights and the gateway's verdict on exactly this generation."""
        live = lookup(HTTPROUTES, target.namespace, target.model)
        if live is None:
            return RouteView()
        revisions = {service: revision for revision, service in target.services.items()}
        weights: dict[str, int] = {}
        mirror: dict[str, int] = {}
        for rule in live["spec"].get("rules", []):
            if any(match.get("headers") for match in rule.get("matches", [])):
                continue  # a preview carries no traffic of clients
            for backend in rule.get("backendRefs", []):
                key = revisions.get(backend["name"], backend["name"])
                weights[key] = weights.get(key, 0) + int(backend.get("weight", 1))
            for copied in _copied(rule):
                key = revisions.get(copied["backendRef"]["name"], copied["backendRef"]["name"])
                mirror[key] = mirror.get(key, 0) + _percent(copied)
        accepted, refused = self._verdict(live)
        return RouteView(present=True, weights=weights, mirror=mirror, accepted=accepted, refused=refused)

    @staticmethod
    def _rule(
        target: Target, backends: list[Json], headers: list[Json] | None = None, mirror: Mirror | None = None
    ) -> Json:
        match: Json = {"path": {"type": "PathPrefix", "value": target.prefix}}
        if headers:
            match["headers"] = headers
        filters: list[Json] = []
        if target.prefix != "/":
            rewrite = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
            filters.append({"type": "URLRewrite", "urlRewrite": rewrite})
        # Filters hold for original and copy alike: the servers tell by the mark which of them they have.
        marking: Json = {"remove": [HEADER]}
        if mirror is not None:
            marking = {"set": [{"name": HEADER, "value": mirror.revision}]}
        filters.append({"type": "RequestHeaderModifier", "requestHeaderModifier": marking})
        if mirror is not None:
            copied: Json = {"backendRef": {"name": target.services[mirror.revision], "port": target.port}}
            if mirror.percent != 100:
                copied["percent"] = mirror.percent
            filters.append({"type": "RequestMirror", "requestMirror": copied})
        return {"matches": [match], "filters": filters, "backendRefs": backends}

    def _verdict(self, live: Json) -> tuple[bool, str]:
        generation = live["metadata"].get("generation")
        for parent in live.get("status", {}).get("parents", []):
            reference = parent.get("parentRef", {})
            namespace = reference.get("namespace", live["metadata"]["namespace"])
            named = Parent(namespace, reference.get("name", ""), reference.get("sectionName"))
            if named != self.parent:  # what a gateway left behind of an earlier attachment says nothing of this one
                continue
            current = {c["type"]: c for c in parent.get("conditions", []) if c.get("observedGeneration") == generation}
            refused = [current[kind] for kind in TAKEN if kind in current and current[kind]["status"] == "False"]
            if refused:
                return False, f"{refused[0].get('reason', '')}: {refused[0].get('message', '')}"
            return all(current.get(kind, {}).get("status") == "True" for kind in TAKEN), ""
        return False, ""

    def _parent_ref(self) -> Json:
        reference: Json = {
            "group": "gateway.networking.k8s.io",
            "kind": "Gateway",
            "namespace": self.parent.namespace,
            "name": self.parent.name,
        }
        if self.parent.section:
            reference["sectionName"] = self.parent.section
        return reference


def _copied(rule: Json) -> list[Json]:
    return [item["requestMirror"] for item in rule.get("filters", []) if item["type"] == "RequestMirror"]


def _percent(copied: Json) -> int:
    """All requests if nothing is said; a fraction of ours is never written, but read."""
    if "fraction" in copied:
        fraction = copied["fraction"]
        return round(100 * int(fraction["numerator"]) / int(fraction.get("denominator", 100)))
    return int(copied.get("percent", 100))
