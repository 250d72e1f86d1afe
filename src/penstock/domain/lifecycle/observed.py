"""Everything a decision may look at, as plain values. The shell fills it in, tests write it down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from penstock.api.v1alpha1.checkpoint import Plan, RejectedRevision
from penstock.domain.approval import Action
from penstock.domain.audit.retention import export_blocked

# Raised with every change of the rules by which the same facts give another decision. Rules of before stay known, so
# that old logs can be replayed: 2 lets Evaluate name the stable revision.
RULES_VERSION = 2


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
    `mirror`: revision → percent of the requests it gets a copy of; copies carry no weight.
    """

    present: bool = False
    weights: Mapping[str, int] = field(default_factory=dict)
    mirror: Mapping[str, int] = field(default_factory=dict)
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
class Finding:
    """What one comparison says. `verdict`: Pass, Fail, Inconclusive or NoData; `n`: how many answers it rests on."""

    name: str
    verdict: str
    message: str = ""
    n: int = 0
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GateFinding:
    """What a gate says in the present round, about the candidate or, without one, about the stable revision.

    `verdict` None: nothing yet. `accepted`: whether an inconclusive verdict may go on if a person approves.
    """

    name: str
    spec_hash: str
    verdict: str | None = None
    reason: str = ""
    message: str = ""
    attempt: int = 1
    numbers: tuple[Mapping[str, Any], ...] = ()
    expected: Mapping[str, Any] | None = None
    dataset_digest: str | None = None
    report_digest: str | None = None
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class LiveView:
    """What live traffic shows of the candidate beside the stable revision.

    `sighted`: whether something is measured; None while there is nothing to measure yet. `message`: what is
    missing. `requests`: the candidate's in the present step. `tests`: the state the comparison can go on from.
    `unmeasurable`: what is missing will not come by itself, since a server counts nothing.
    """

    sighted: bool | None = None
    message: str = ""
    requests: int = 0
    findings: tuple[Finding, ...] = ()
    tests: Mapping[str, Any] | None = None
    unmeasurable: bool = False


@dataclass(frozen=True, slots=True)
class LostHead:
    """A decision that was taken and is behind the end of the log: the API server's state was set back.

    `sequence`, `hash`: of the newest one that is known. `found`: the hash of the log's own head, empty if it has no
    record. `known_by`: whether a former process remembers it or it was exported. `quarantines`: open when it was taken.
    """

    sequence: int
    hash: str
    found: str = ""
    known_by: str = ""
    quarantines: tuple[RejectedRevision, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """One consistent look at a Model and what it owns.

    `revision`, `spec_hash`: what the present spec asks for. `undecided`: what it asks for cannot be
    told yet, since something it names is not there; `revision` then says nothing. `replicas`: pods the
    spec asks for. `plan`: what the present spec sends a new revision through. `requester`: who the Model
    says asked for it. `frozen`: why no revision gets more traffic now, empty if it may. `crowded`: why no
    rollout may begin now, since too many are under way; empty if it may.
    `workloads`, `smoke`, `previewed`, `reached`: by revision; `previewed` says whether the data
    plane already knows a candidate with the weights that the route has now, `reached` whether clients are
    answered by it. `crashed`: by revision, what its pods did that is harm whatever the counters say.
    `gates`: by name. `actions`: what people asked for and was not dealt with yet, the oldest first;
    `existing`: the uids of all that exist. `model`, `model_uid`, `created`: of the Model; `sequence`: of the head.
    `inherited`: quarantines of former Models of this name: deleting a Model lifts none.
    `fallback`: the revision that takes over while the stable one cannot answer.
    `exported`: the number of the last decision that is outside the cluster, None where nothing is exported at all.
    `lost`: the newest decision that is known to have been taken, if the log ends before it.
    `rules`: the version of the rules to decide by; another one than the present only where an old log is replayed.
    """

    now: datetime
    revision: str
    spec_hash: str
    replicas: int
    limits: Limits
    plan: Plan = field(default_factory=Plan)
    requester: str = ""
    suspended: bool = False
    frozen: str = ""
    crowded: str = ""
    undecided: bool = False
    workloads: Mapping[str, WorkloadView] = field(default_factory=dict)
    route: RouteView = field(default_factory=RouteView)
    smoke: Mapping[str, Probe] = field(default_factory=dict)
    previewed: Mapping[str, Probe] = field(default_factory=dict)
    reached: Mapping[str, Probe] = field(default_factory=dict)
    crashed: Mapping[str, str] = field(default_factory=dict)
    gates: Mapping[str, GateFinding] = field(default_factory=dict)
    shadow: Finding | None = None
    live: LiveView = field(default_factory=LiveView)
    actions: tuple[Action, ...] = ()
    existing: tuple[str, ...] = ()
    model: str = ""
    model_uid: str = ""
    created: datetime | None = None
    sequence: int = 0
    inherited: tuple[RejectedRevision, ...] = ()
    fallback: str | None = None
    blockers: tuple[Blocker, ...] = ()
    exported: int | None = None
    lost: LostHead | None = None
    rules: int = RULES_VERSION

    @property
    def log_blocked(self) -> bool:
        """Whether so many decisions wait for their export that only what protects is decided."""
        return self.exported is not None and export_blocked(self.sequence, self.exported)

    def workload(self, revision: str) -> WorkloadView:
        """Return the revision's workload; an absent one counts as nothing ready."""
        return self.workloads.get(revision, WorkloadView())
