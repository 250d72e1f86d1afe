"""What the operator watches, how, and what of it is worth keeping in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.controllers.model import names
from penstock.controllers.resources import (
    DECISIONRECORDS,
    EVALUATIONGATES,
    FEATURESETS,
    METRICSOURCES,
    MODELACTIONS,
    MODELREVISIONS,
    MODELS,
)
from penstock.kube.prune import Scope
from penstock.kube.reflector import Source
from penstock.kube.resources import DEPLOYMENTS, HTTPROUTES, JOBS, PODS, REPLICASETS, SERVICES, Resource

Json = dict[str, Any]

CHILD_SELECTOR = f"{names.MANAGED_BY}={names.MANAGER}"
CHILDREN = (DEPLOYMENTS, SERVICES, HTTPROUTES, REPLICASETS, PODS, JOBS)
# kopf, the frame of the process, watches the kind of which there are few and which seldom changes; of the rest there
# is far more, and a reflector takes a fraction of the time and memory for it.
BY_KOPF = (FEATURESETS,)
BY_REFLECTOR = (
    Source(DECISIONRECORDS),
    Source(MODELREVISIONS),
    Source(EVALUATIONGATES),
    Source(MODELACTIONS),
    Source(METRICSOURCES),
    # A cluster without Gateway API: Models are routed by Service.
    *(Source(kind, CHILD_SELECTOR, optional=kind is HTTPROUTES) for kind in CHILDREN),
    # Last: a new leader lists it when all that belongs to it has been listed.
    Source(MODELS),
)
OF_OURS = (MODELS, MODELREVISIONS, EVALUATIONGATES, MODELACTIONS, METRICSOURCES)
PRUNED = [*map(Scope, (*BY_KOPF, *OF_OURS)), *(Scope(kind, None, CHILD_SELECTOR) for kind in CHILDREN)]


def _without(*keys: str) -> Callable[[Json], Json]:
    return lambda obj: {name: value for name, value in obj.items() if name not in keys}


TRIMS: dict[Resource, Callable[[Json], Json]] = {
    PODS: _without("spec"),
    REPLICASETS: _without("spec", "status"),
    SERVICES: _without("status"),
    JOBS: _without("spec"),
}
