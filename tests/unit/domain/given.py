"""Short ways to write down what is decided and what is seen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.api.v1alpha1.analysis import Analysis, AnalysisType
from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint, Plan, PlannedGate
from penstock.api.v1alpha1.modelaction import ActionType
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.api.v1alpha1.rollout import ApprovalPolicy, Canary, Shadow, SideEffects, Step
from penstock.domain.approval import Action
from penstock.domain.lifecycle.decide import Commit, decide
from penstock.domain.lifecycle.observed import (
    Blocker,
    Finding,
    GateFinding,
    Limits,
    LiveView,
    Observed,
    Probe,
    RouteView,
    WorkloadView,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LIMITS = Limits(stage_deadline=600, rollback_window=86400, rollback_full=600, warm_replicas=1)


def revision(name: str) -> str:
    """A revision that reads as its name: its hex, filled up."""
    return name.encode().hex().ljust(12, "0")[:12]


def spec_hash(name: str) -> str:
    """The hash of a spec of that name."""
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


A, B, C = revision("a"), revision("b"), revision("c")


def seen(name: str = "a", after: float = 0, **changes: Any) -> Observed:
    """What is seen when the spec asks for the revision called `name`, so many seconds after NOW."""
    base = Observed(
        now=NOW + timedelta(seconds=after),
        revision=revision(name),
        spec_hash=spec_hash(name),
        replicas=1,
        limits=LIMITS,
    )
    return replace(base, **changes)


def ready(count: int = 1) -> WorkloadView:
    """A workload with so many ready pods."""
    return WorkloadView(present=True, replicas=count, ready=count)


def routed(to: str) -> dict[str, Any]:
    """Changes to `seen`: the route sends everything to that revision, and the data plane shows it."""
    return {"route": RouteView(present=True, weights={to: 100}, accepted=True), "reached": {to: Probe(True, "asked")}}


def healthy(*revisions: str) -> dict[str, Any]:
    """Changes to `seen`: those revisions are ready, predict, and the gateway knows them."""
    return {
        "workloads": {item: ready() for item in revisions},
        "smoke": {item: Probe(True, "predicted") for item in revisions},
        "previewed": {item: Probe(True, "answered") for item in revisions},
    }


def settle(state: Checkpoint | None, look: Observed) -> tuple[Checkpoint | None, list[str]]:
    """Decide until nothing is left to decide; return the checkpoint and the verdicts on the way."""
    verdicts = []
    for _ in range(20):
        commit = decide(state, look)
        if commit is None:
            return state, verdicts
        verdicts.append(commit.verdict.value)
        state = commit.result
    raise AssertionError(f"decisions do not end: {verdicts}")


def stable(name: str) -> Checkpoint:
    """The checkpoint of a Model that serves the revision called `name`, reached the ordinary way."""
    state, _ = settle(None, seen(name))
    state, _ = settle(state, seen(name, 1, **healthy(revision(name))))
    state, _ = settle(state, seen(name, 2, **healthy(revision(name)), **routed(revision(name))))
    assert state is not None
    assert state.stable == revision(name)
    return state


SHADOW = Shadow(min_samples=100, side_effects=SideEffects.NONE)
CANARY = Canary(
    steps=[Step(weight=5, min_seconds=60, min_requests=100), Step(weight=50, min_seconds=60)],
    analysis=[Analysis(name="errors", type=AnalysisType.ERRORS, margin="0.005")],
)
APPROVAL = ApprovalPolicy(required=True, expires_after_seconds=3600)


def gate(version: str = "1", bar: str = "0.8", name: str = "quality") -> PlannedGate:
    """A gate of a plan; another version is another spec."""
    return PlannedGate(name=name, spec_hash=spec_hash(f"{name}/{version}"), bars={"auc:min": bar})


def plan(**changes: Any) -> Plan:
    """A plan with every stage: a gate, a shadow, a canary of 5 and 50 %, one approval before the promotion."""
    return Plan(**{"gates": [gate()], "shadow": SHADOW, "canary": CANARY, "approval": APPROVAL, **changes})


def says(verdict: str | None, of: PlannedGate | None = None, **changes: Any) -> dict[str, Any]:
    """Changes to `seen`: the gate has come to that verdict."""
    asked = of or gate()
    found = GateFinding(asked.name, asked.spec_hash or "", verdict, message=f"auc: {verdict}", **changes)
    return {"gates": {asked.name: found}}


def shadowed(verdict: str) -> dict[str, Any]:
    """Changes to `seen`: the shadow has come to that verdict."""
    return {"shadow": Finding("shadow", verdict, f"excess disagreement: {verdict}", n=100)}


def live(verdict: str = "Inconclusive", requests: int = 1000, sighted: bool | None = True) -> dict[str, Any]:
    """Changes to `seen`: what the comparison of errors shows."""
    message = "" if sighted else "the metrics do not answer"
    return {"live": LiveView(sighted, message, requests, (Finding("errors", verdict, "errors", n=requests),))}


_EVENTS = {"gates": {}, "shadow": None, "live": LiveView(), "actions": (), "crashed": {}}


@dataclass
class Case:
    """A Model on its way: the head of its log and the last look. Evidence and commands show in one look only."""

    state: Checkpoint
    look: Observed
    commits: list[Commit]
    given: int = 0

    @property
    def candidate(self) -> CandidateState:
        """The revision under way, which there must be."""
        assert self.state.candidate is not None
        return self.state.candidate

    def see(self, after: float = 0, **changes: Any) -> list[str]:
        """Let seconds pass, look, and decide to the end; return the verdicts."""
        now = self.look.now + timedelta(seconds=after)
        self.look = replace(self.look, **{"now": now, **_EVENTS, **changes})
        begun = len(self.commits)
        for _ in range(20):
            self.look = replace(self.look, sequence=len(self.commits))
            commit = decide(self.state, self.look)
            if commit is None:
                return [item.verdict.value for item in self.commits[begun:]]
            self.commits.append(commit)
            self.state = commit.result
        raise AssertionError(f"decisions do not end: {[item.rule for item in self.commits[begun:]]}")

    def routed(self, after: float = 0, **changes: Any) -> list[str]:
        """The gateway takes the route as it is ordered, and knows everything that is asked for."""
        weights, known = dict(self.state.weights), Probe(True, "answered")
        route = RouteView(present=True, weights=weights, accepted=True)
        everybody = dict.fromkeys((A, B, C, *weights), known)
        return self.see(after, **{"route": route, "reached": everybody, "previewed": everybody, **changes})

    def taken(self) -> list[str]:
        """The gateway takes every route as it is ordered, until nothing changes any more."""
        found: list[str] = []
        while verdicts := self.routed(1, actions=self.look.actions):
            found += verdicts
        return found

    def act(self, kind: str, user: str = "bob", after: float = 1, seen: Any = None, **changes: Any) -> list[str]:
        """A person gives a command; about the candidate and its evidence unless it says otherwise."""
        self.given += 1
        candidate = self.state.candidate
        digest = candidate.evidence if candidate and kind == "Approve" else None
        action = Action(
            **{
                "uid": f"{self.given:08x}-0000-0000-0000-000000000000",
                "name": f"action-{self.given}",
                "type": ActionType(kind),
                "revision": candidate.revision if candidate else None,
                "user": user,
                "evidence_digest": digest,
                "sequence": None,
                "reason": "because",
                "created": self.look.now + timedelta(seconds=after),
                **changes,
            }
        )
        return self.see(after, **{"actions": (action,), "existing": (*self.look.existing, action.uid), **(seen or {})})


def at(stage: Stage, name: str = "b", **changes: Any) -> Case:
    """Revision b beside the stable a, brought to a stage the ordinary way. `changes`: to every look."""
    look = {
        "plan": plan(),
        "requester": "ann",
        "created": NOW - timedelta(days=1),
        **changes,
        **healthy(A),
        **routed(A),
    }
    waits = {"blockers": (Blocker("GatewayMissing", "wait"),)} if stage is Stage.PENDING else {}
    state = stable("a")
    case = Case(state, seen(name, 10, **look), [])
    case.see(0, **waits)
    if stage in (Stage.PENDING, Stage.STARTING):
        return case
    return _bring(case, stage)


def _bring(case: Case, stage: Stage) -> Case:
    """Bring a case to a later stage."""
    case.routed(1, **{key: value for key, value in healthy(A, case.look.revision).items() if key != "previewed"})
    for _ in range(12):
        now = case.candidate.stage
        if now is stage:
            # The route is written, and the gateway has not taken it yet.
            route = RouteView(present=True, weights=dict(case.state.weights))
            case.look = replace(case.look, route=route, **_EVENTS)
            return case
        if now is Stage.EVALUATING:
            case.see(1, gates={item.name: says("Pass", item)["gates"][item.name] for item in case.look.plan.gates})
        elif now is Stage.SHADOW:
            case.see(1, **shadowed("Pass"))
        elif now is Stage.CANARY and stage is Stage.ROLLING_BACK:
            case.routed(1)
            case.see(1, **live("Fail"))
        elif now is Stage.CANARY:
            case.routed(1)
            case.see(61, **live("Pass"))
        elif now is Stage.AWAITING_APPROVAL:
            for user in ("bob", "eve")[: case.candidate.plan.approval.quorum if case.candidate.plan else 1]:
                case.act("Approve", user)
        else:
            break
    raise AssertionError(f"{case.candidate.stage} instead of {stage}")
