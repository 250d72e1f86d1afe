"""Short ways to write down what is decided and what is seen."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.api.v1alpha1.decisionrecord import Checkpoint
from penstock.domain.lifecycle.decide import decide
from penstock.domain.lifecycle.observed import Limits, Observed, Probe, RouteView, WorkloadView

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
