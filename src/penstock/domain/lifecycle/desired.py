"""What must exist, given the checkpoint and the time: pods by revision, weights, who is stable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.lifecycle.classify import stage_of
from penstock.domain.lifecycle.observed import Observed

# While it can be asked through the gateway by who knows the token. A new token with every change of
# the weights shows that the gateway has taken exactly that change.
PREVIEWED = frozenset({Stage.STARTING, Stage.EVALUATING, Stage.SHADOW, Stage.CANARY, Stage.AWAITING_APPROVAL})


class Role(StrEnum):
    """Why a revision's pods exist."""

    STABLE = "stable"
    CANDIDATE = "candidate"
    PREVIOUS = "previous"
    FALLBACK = "fallback"


@dataclass(frozen=True, slots=True)
class DesiredWorkload:
    """A revision that must have pods: how many, and why."""

    revision: str
    role: Role
    replicas: int


@dataclass(frozen=True, slots=True)
class Desired:
    """All effects of the head of the log at one moment.

    `weights`: revision → percent, empty while nothing may be routed. `selected`: the revision
    the in-cluster Service of the Model points at. `preview`: the candidate that the gateway has
    to know before it gets traffic. `mirror`: revision → percent of the requests it gets a copy of.
    """

    workloads: tuple[DesiredWorkload, ...]
    weights: Mapping[str, int]
    selected: str | None
    preview: str | None = None
    mirror: Mapping[str, int] = field(default_factory=dict)


def desired(state: Checkpoint, seen: Observed) -> Desired:
    """Return what must exist now. A function of the log and the clock alone, so it can be repeated."""
    found: dict[str, DesiredWorkload] = {}
    stage = stage_of(state)
    if state.stable is not None:
        found[state.stable] = DesiredWorkload(state.stable, Role.STABLE, seen.replicas)
    if state.candidate is not None and stage is not Stage.PENDING:
        revision = state.candidate.revision
        found.setdefault(revision, DesiredWorkload(revision, Role.CANDIDATE, seen.replicas))
    for item in state.previous:
        replicas = seen.replicas if seen.now < item.full_until else min(seen.limits.warm_replicas, seen.replicas)
        if seen.now < item.warm_until:
            found.setdefault(item.revision, DesiredWorkload(item.revision, Role.PREVIOUS, replicas))
    if seen.fallback is not None:
        replicas = seen.replicas if state.failover else max(1, min(seen.limits.warm_replicas, seen.replicas))
        found.setdefault(seen.fallback, DesiredWorkload(seen.fallback, Role.FALLBACK, replicas))
    selected = seen.fallback if state.failover and seen.fallback else state.stable
    if selected is None and state.candidate is not None and stage is not Stage.PENDING:
        selected = state.candidate.revision
    preview = None
    if state.stable is not None and state.candidate is not None and stage in PREVIEWED:
        preview = state.candidate.revision
    return Desired(tuple(found.values()), state.weights, selected, preview, _mirror(state))


def _mirror(state: Checkpoint) -> Mapping[str, int]:
    """Who gets copies: the candidate, while its answers to them are compared."""
    candidate = state.candidate
    if candidate is None or candidate.stage is not Stage.SHADOW or candidate.plan is None:
        return {}
    shadow = candidate.plan.shadow
    return {candidate.revision: shadow.percent} if shadow is not None else {}


def next_change(state: Checkpoint, now: datetime) -> datetime | None:
    """Return the next moment at which `desired` changes without any event, or None."""
    moments = [moment for item in state.previous for moment in (item.full_until, item.warm_until)]
    return min((moment for moment in moments if moment > now), default=None)
