"""A Model's whole world for the state machine: spec, people, cluster, gateway, evidence, and the log.

The world plays the shell of the operator: before every decision it looks anew, as the controller does, and what it
shows about a candidate is about that candidate, stage and round only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from penstock.api.v1alpha1.analysis import Analysis, AnalysisType
from penstock.api.v1alpha1.checkpoint import Checkpoint, Plan, PlannedGate
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.api.v1alpha1.rollout import ApprovalPolicy, Before, Canary, OnMissingEvidence, Shadow, SideEffects, Step
from penstock.domain.approval import Action
from penstock.domain.lifecycle import decide as machine
from penstock.domain.lifecycle.decide import Commit
from penstock.domain.lifecycle.desired import desired
from penstock.domain.lifecycle.observed import (
    Blocker,
    Failure,
    Finding,
    GateFinding,
    LiveView,
    LostHead,
    Observed,
    Probe,
    RouteView,
    WorkloadView,
)
from tests.property.lifecycle_never import Never
from tests.property.lifecycle_settled import Violation, must
from tests.unit.domain.given import LIMITS, NOW, revision, spec_hash

NAMES = ("a", "b", "c", "d")
REVISIONS = tuple(revision(name) for name in NAMES)
GATES = ("quality", "slices")
ANALYSES = ("errors", "latency")
USERS = ("ann", "bob", "eve")
# What the shell says while the spec names a FeatureSet that is not there.
UNKNOWN = "0" * 12
MAX_DECISIONS = 8
"""Of the controller: more at one look is a bug."""

SHADOW = Shadow(min_samples=100, side_effects=SideEffects.NONE)
CANARY = Canary(
    steps=[Step(weight=5, min_seconds=60, min_requests=100), Step(weight=50, min_seconds=60)],
    analysis=[Analysis(name=name, type=AnalysisType.ERRORS, margin="0.005") for name in ANALYSES],
)
PLANS: tuple[dict[str, Any], ...] = (
    {},
    {"gates": GATES[:1], "canary": CANARY},
    {"gates": GATES, "shadow": SHADOW, "canary": CANARY, "approval": ApprovalPolicy(required=True, quorum=2)},
    {
        "gates": GATES[:1],
        "shadow": SHADOW,
        "canary": CANARY,
        "approval": ApprovalPolicy(required=True, before=Before.ROLLOUT, separation_of_duties=True),
    },
    {
        "gates": GATES[:1],
        "canary": CANARY,
        "approval": ApprovalPolicy(required=True, separation_of_duties=True, expires_after_seconds=3600),
        "on_missing_evidence": OnMissingEvidence.ROLLBACK,
    },
    {"gates": GATES, "approval": ApprovalPolicy(before=Before.ROLLOUT), "shadow": SHADOW, "canary": CANARY},
    {"approval": ApprovalPolicy(required=True)},
)


@lru_cache
def _gate(name: str, version: int, bar: int) -> PlannedGate:
    return PlannedGate(name=name, spec_hash=spec_hash(f"{name}/{version}"), bars={"auc:min": f"0.{bar}"})


def _finding(gate: PlannedGate, said: tuple[str, bool, int] | None) -> GateFinding:
    verdict, accepted, attempt = said or (None, False, 1)
    return GateFinding(
        gate.name,
        gate.spec_hash or "",
        verdict,
        reason="GatePassed",
        message=f"auc says {verdict}" if verdict else "its Job is running",
        attempt=attempt,
        numbers=({"id": "auc", "value": "0.91"},),
        dataset_digest=spec_hash("rows"),
        accepted=accepted,
    )


@dataclass
class Pods:
    """A revision's pods."""

    ready: int = 0
    failure: Failure | None = None


@dataclass
class World:
    """Everything that can change, and what was decided about it."""

    now: datetime = NOW
    name: str = "a"
    replicas: int = 2
    requester: str = "ann"
    suspended: bool = False
    frozen: bool = False
    undecided: bool = False
    blockers: frozenset[str] = frozenset()
    fallback: str | None = None
    rollout: dict[str, Any] = field(default_factory=dict)
    definitions: dict[str, tuple[int, int]] = field(default_factory=lambda: dict.fromkeys(GATES, (1, 80)))
    """Of each gate: the version of its spec, and what it asks for."""
    pods: dict[str, Pods] = field(default_factory=dict)
    smoke: dict[str, bool | None] = field(default_factory=dict)
    route: RouteView = field(default_factory=RouteView)
    reached: bool | None = None
    known: set[Any] = field(default_factory=set)
    answers: dict[Any, tuple[str, bool, int]] = field(default_factory=dict)
    """What gates said: verdict, whether accepted, attempt; by revision, gate, version and round.

    About the stable revision: by the word stable, revision, round and gate.
    """
    shadows: dict[Any, str] = field(default_factory=dict)
    findings: dict[Any, dict[str, str]] = field(default_factory=dict)
    requests: dict[Any, int] = field(default_factory=dict)
    crashes: set[Any] = field(default_factory=set)
    sighted: bool | None = True
    unmeasurable: bool = False
    actions: list[Action] = field(default_factory=list)
    given: int = 0
    state: Checkpoint | None = None
    log: list[Commit] = field(default_factory=list)
    started: set[str] = field(default_factory=set)
    stale: Observed | None = None
    planned: tuple[dict[str, Any], Plan] | None = None
    never: Never = field(default_factory=Never)
    lag: int | None = None
    """How many decisions wait for their export; None where nothing is exported."""
    forgotten: int = 0
    """How many decisions were taken whose records are lost."""
    lost: LostHead | None = None

    def plan(self) -> Plan:
        """Return what the spec sends a new revision through now; made anew after an edit only."""
        now = {**self.rollout, "gates": [self.gate(name) for name in self.rollout.get("gates", ())]}
        if self.planned is None or self.planned[0] != now:
            self.planned = (now, Plan(**now))
        return self.planned[1]

    def gate(self, name: str) -> PlannedGate:
        """Return a gate as it is now."""
        return _gate(name, *self.definitions[name])

    def look(self) -> Observed:
        """Look as the controller does; a stale look shows pods and routes as they were."""
        state = self.state or Checkpoint()
        waiting = tuple(action for action in self.actions if action.uid not in state.handled)
        declared = self.fallback if self.fallback in self.started and self.fallback != state.stable else None
        seen = Observed(
            now=self.now,
            revision=UNKNOWN if self.undecided else revision(self.name),
            spec_hash=spec_hash(self.name),
            replicas=self.replicas,
            limits=LIMITS,
            plan=self.plan(),
            requester=self.requester,
            suspended=self.suspended,
            frozen="It is Friday." if self.frozen else "",
            undecided=self.undecided,
            workloads={
                which: WorkloadView(present=True, replicas=self.replicas, ready=pods.ready, failure=pods.failure)
                for which, pods in self.pods.items()
            },
            route=self.route,
            smoke={which: Probe(passed, "smoke") for which, passed in self.smoke.items() if which in self.pods},
            reached=dict.fromkeys(self.route.weights, Probe(self.reached, "probe")),
            actions=waiting,
            existing=tuple(action.uid for action in self.actions),
            model="flight",
            model_uid="00000000-0000-0000-0000-000000000001",
            created=NOW - timedelta(days=1),
            sequence=self.sequence(),
            fallback=declared,
            blockers=tuple(Blocker(reason, "wait") for reason in sorted(self.blockers)),
            # A Model without a log has nothing to export.
            exported=self.sequence() - self.lag if self.lag is not None and self.state is not None else None,
            lost=self.lost,
        )
        if self.stale is not None:
            old = self.stale
            seen = replace(seen, workloads=old.workloads, route=old.route, smoke=old.smoke, reached=old.reached)
        return self._of_the_candidate(state, seen)

    def sequence(self) -> int:
        """Return the number of the newest decision."""
        return len(self.log) + self.forgotten

    def about(self, state: Checkpoint) -> Any:
        """What evidence about the candidate in its present stage is filed under."""
        candidate = state.candidate
        return (candidate.revision, candidate.entered, candidate.stage, candidate.step) if candidate else None

    def _of_the_candidate(self, state: Checkpoint, seen: Observed) -> Observed:
        candidate, changes = state.candidate, {}
        crashed = {}
        if candidate is None:
            changes["gates"] = dict(self._gates_of_the_stable(state))
            young = bool(state.previous) and state.previous[0].warm_until > self.now
            if young and ("stable", state.stable, state.stable_since) in self.crashes:
                crashed = {state.stable: "exited with 137 twice"}
            return replace(seen, crashed=crashed, **changes)
        weights = frozenset(seen.route.weights.items())
        if (candidate.revision, weights) in self.known:
            changes["previewed"] = {candidate.revision: Probe(True, "preview")}
        if self.about(state) in self.crashes and state.weights.get(candidate.revision, 0) > 0:
            crashed = {candidate.revision: "exited with 137"}
        if candidate.plan is not None and not candidate.cites:
            changes["gates"] = dict(self._gates(state))
            if candidate.stage is Stage.SHADOW:
                verdict = self.shadows.get(self.about(state), "NoData")
                changes["shadow"] = Finding("shadow", verdict, f"shadow {verdict}", n=100)
            if candidate.stage in (Stage.SHADOW, Stage.CANARY) or state.weights.get(candidate.revision, 0) not in (
                0,
                100,
            ):
                changes["live"] = self._live(state)
        return replace(seen, crashed=crashed, **changes)

    def _gates(self, state: Checkpoint) -> Any:
        candidate = state.candidate
        if candidate is None or candidate.stage in (Stage.PENDING, Stage.STARTING, Stage.PROMOTING, Stage.ROLLING_BACK):
            return
        for planned in candidate.plan.gates if candidate.plan else ():
            gate = self.gate(planned.name)
            said = self.answers.get((candidate.revision, candidate.entered, gate.spec_hash, candidate.evaluation))
            yield gate.name, _finding(gate, said)

    def _gates_of_the_stable(self, state: Checkpoint) -> Any:
        asked = state.evaluation
        for name in asked.gates if asked is not None and asked.ended is None else ():
            yield name, _finding(self.gate(name), self.answers.get(("stable", asked.revision, asked.round, name)))

    def _live(self, state: Checkpoint) -> LiveView:
        candidate = state.candidate
        if candidate is None or candidate.stage not in (Stage.SHADOW, Stage.CANARY, Stage.AWAITING_APPROVAL):
            return LiveView()
        found = self.findings.get((candidate.revision, candidate.entered), {})
        return LiveView(
            sighted=self.sighted,
            unmeasurable=self.unmeasurable and self.sighted is False,
            message="" if self.sighted else "the metrics do not answer",
            requests=self.requests.get(self.about(state), 0),
            findings=tuple(Finding(name, found.get(name, "Inconclusive"), name, n=10) for name in ANALYSES),
            tests={"n": 10},
        )

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.never.time_passes(seconds)
        self.now += timedelta(seconds=seconds)

    def decide(self) -> None:
        """Decide until nothing is left to decide, with every check after every decision."""
        # Every command of a person takes a decision of its own.
        for _ in range(MAX_DECISIONS + len(self.actions)):
            seen = self.look()
            commit = machine.decide(self.state, seen)
            if commit is None:
                self.never.converged(self.state, seen)
                self._follow(seen)
                return
            self.never.decided(self.state, seen, commit)
            if self.lost is not None:
                self.forgotten, self.lost = self.lost.sequence - len(self.log), None
            self.log.append(commit)
            self.state = commit.result
            self._is_ordered(seen)
            if commit.result.candidate is not None and commit.result.candidate.stage is not Stage.PENDING:
                self.started.add(commit.result.candidate.revision)
        tail = [f"{commit.rule}: {commit.verdict.value}" for commit in self.log[-MAX_DECISIONS:]]
        raise Violation("decisions end", str(tail))

    def _is_ordered(self, seen: Observed) -> None:
        """Judge that whoever gets traffic has pods ordered, and that the stable revision keeps its size."""
        state = self.state or Checkpoint()
        sizes = {item.revision: item.replicas for item in desired(state, seen).workloads}
        # A fallback that the spec does not name any more serves until the stable revision is back.
        routed = set(state.weights) if not state.failover else set(state.weights) & set(sizes)
        must(routed <= set(sizes), "who gets traffic has pods ordered", state.weights)
        if state.stable is not None:
            must(sizes.get(state.stable) == seen.replicas, "the stable revision keeps its size", sizes)
        if state.candidate is not None and state.candidate.stage in (Stage.PROMOTING, Stage.ROLLING_BACK):
            must(state.candidate.revision in sizes, "pods stay until the route has moved", sizes)

    def wanted(self, seen: Observed | None = None) -> set[str]:
        """Return the revisions that must have pods."""
        if self.state is None:
            return set()
        return {item.revision for item in desired(self.state, seen or self.look()).workloads}

    def _follow(self, seen: Observed) -> None:
        """Pods come and go as ordered; what the live route names stays."""
        ordered = self.wanted(seen)
        for which in ordered:
            self.pods.setdefault(which, Pods())
        keep = ordered | set(self.route.weights)
        self.pods = {which: pods for which, pods in self.pods.items() if which in keep}
