"""Everything a decision may look at, as plain values. The shell fills it in, tests write it down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a revision's pods do not come up. `permanent`: waiting cannot mend it."""

    reason: str
    message: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """A revision's Deployment as it is: `ready` counts the pods that answer, of whatever template.

    `lineage`: what the artifact says it was made of, as its pods found it.
    """

    present: bool = False
    replicas: int = 0
    ready: int = 0
    failure: Failure | None = None
    lineage: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RouteView:
    """The route as the gateway has taken it.

    `weights`: revision → percent as written in the live object. `accepted`: the gateway's
    conditions are True for exactly this generation. `refused`: its sentence if it says no.
    """

    present: bool = False
    weights: Mapping[str, int] = field(default_factory=dict)
    accepted: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of asking something that runs. `passed` None: no answer yet."""

    passed: bool | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A reason why a candidate may not start, and the sentence for the user."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The times of `spec.rollout`, seconds, and the number of pods kept warm."""

    stage_deadline: int
    rollback_window: int
    rollback_full: int
    warm_replicas: int


@dataclass(frozen=True, slots=True)
class Observed:
    """One consistent look at a Model and what it owns.

    `revision`, `spec_hash`: what the present spec asks for. `undecided`: what it asks for cannot be
    told yet, since something it names is not there; `revision` then says nothing. `replicas`: pods the
    spec asks for.
    `workloads`, `smoke`, `previewed`, `reached`: by revision; `previewed` says whether the data
    plane already knows a candidate without traffic, `reached` whether clients are answered by it.
    """

    now: datetime
    revision: str
    spec_hash: str
    replicas: int
    limits: Limits
    suspended: bool = False
    undecided: bool = False
    workloads: Mapping[str, WorkloadView] = field(default_factory=dict)
    route: RouteView = field(default_factory=RouteView)
    smoke: Mapping[str, Probe] = field(default_factory=dict)
    previewed: Mapping[str, Probe] = field(default_factory=dict)
    reached: Mapping[str, Probe] = field(default_factory=dict)
    blockers: tuple[Blocker, ...] = ()

    def workload(self, revision: str) -> WorkloadView:
        """Return the revision's workload; an absent one counts as nothing ready."""
        return self.workloads.get(revision, WorkloadView())
