"""No gateway: the Model's own Service is the route. All traffic moves at once or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from penstock.domain.lifecycle.desired import Desired
from penstock.domain.lifecycle.observed import RouteView
from penstock.kube.resources import SERVICES, Resource
from penstock.routing.protocol import Capabilities, Json, Lookup, Mirror, Preview, Target

REVISION_LABEL = "penstock.dev/revision"


@dataclass(frozen=True, slots=True)
class ServiceRouter:
    """Promotion by the selector of a Service; shadow and canary are refused with it."""

    capabilities: ClassVar[Capabilities] = Capabilities(weights=False, mirror=False)

    def route(
        self,
        target: Target,
        weights: Mapping[str, int],
        preview: Preview | None = None,
        mirror: Mirror | None = None,
    ) -> tuple[Resource, Json] | None:
        """There is no object beside the Service itself, and so nothing that could copy: ValueError with a mirror."""
        if mirror is not None:
            raise ValueError("a Service copies no requests")
        return None

    def selected(self, desired: Desired) -> str | None:
        """The Service is the route, so it follows the weights: the revision that has all of it."""
        return next((revision for revision, weight in desired.weights.items() if weight == 100), desired.selected)

    def observe(self, target: Target, lookup: Lookup) -> RouteView:
        """A Service takes effect as written: what it selects is what gets the traffic."""
        live = lookup(SERVICES, target.namespace, target.model)
        revision = live["spec"].get("selector", {}).get(REVISION_LABEL) if live else None
        if not revision:
            return RouteView()
        return RouteView(present=True, weights={revision: 100}, accepted=True)
