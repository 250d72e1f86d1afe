"""What the log itself makes the machine do: it stops where too much waits for export, and says what was lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock.api.v1alpha1.checkpoint import Checkpoint, RejectedRevision
from penstock.api.v1alpha1.modelstatus import Outcome, Source, Stage, Wanted
from penstock.domain.audit.retention import BLOCKED_ABOVE
from penstock.domain.lifecycle.decide import decide
from penstock.domain.lifecycle.observed import LostHead, Observed
from tests.unit.domain.given import NOW, A, B, C, Case, healthy, live, plan, routed, seen, settle, spec_hash, stable

FULL = {"exported": -BLOCKED_ABOVE - 1}
"""Whatever the number of the head is: one decision more than may wait."""


def begun(name: str = "b", **changes: Any) -> Case:
    """A candidate that has just started beside revision a."""
    case = Case(stable("a"), seen(name, 10, created=NOW, **healthy(A), **routed(A)), [])
    case.see(**changes)
    return case


def in_canary() -> Case:
    """A candidate with 5 % of the traffic, and nothing known about it yet."""
    case = begun(plan=plan(gates=[], shadow=None))
    case.taken()
    case.routed(1, **healthy(A, B))
    case.routed(1)
    assert (case.candidate.stage, case.state.weights) == (Stage.CANARY, {A: 95, B: 5})
    return case


def test_nothing_is_blocked_where_nothing_is_exported() -> None:
    look = replace(seen("b", 10, **healthy(A), **routed(A)), sequence=10_000)
    assert not look.log_blocked
    commit = decide(stable("a"), look)
    assert commit is not None
    assert commit.verdict.value == "Start"
    assert not replace(look, exported=10_000 - BLOCKED_ABOVE).log_blocked
    assert replace(look, exported=10_000 - BLOCKED_ABOVE - 1).log_blocked
    assert replace(look, exported=0).log_blocked


def test_a_full_log_lets_nothing_begin_or_go_on() -> None:
    state = stable("a")
    assert decide(state, seen("b", 10, **healthy(A), **routed(A), **FULL)) is None
    case = begun()
    assert case.see(1, **healthy(A, B), **FULL) == ["Pause"]
    assert case.see(10_000) == [], "neither readiness nor the deadline counts"
    assert case.see(1, exported=0) == ["Resume", "Promote"]


def test_a_full_log_keeps_harm_reject_and_rollback() -> None:
    case = in_canary()
    assert case.see(1, **FULL, **live("Fail")) == ["Pause", "RollBack"]
    assert case.taken() == ["RolledBack"]
    assert case.state.rejected[0].quarantined
    case = in_canary()
    case.see(1, **FULL)
    assert case.act("Reject") == ["RollBack"]
    case = begun()
    case.see(1, **healthy(A, B))
    case.taken()
    assert case.state.stable == B
    assert case.act("Rollback", revision=A, seen=FULL) == ["Start", "Pause", "Promote"]
    case.taken()
    assert case.state.stable == A, "the way back goes on to its end"


def test_other_commands_wait_and_fill_nothing() -> None:
    case = in_canary()
    case.see(1, **FULL)
    assert case.act("Promote", bypass=True) == []
    assert case.state.handled == []
    waiting = case.look.actions
    assert case.act("Rollback", revision=C) == ["Refuse"], "a way back that cannot be is answered"
    verdicts = case.see(1, exported=0, actions=waiting)
    assert verdicts[:2] == ["Resume", "Await"], case.commits[-1].message


def quarantine(revision: str) -> RejectedRevision:
    return RejectedRevision(revision=revision, reason="CanaryHarm", message="5 % errors", quarantined=True, at=NOW)


def forgotten(look: Observed, *quarantined: str) -> Observed:
    """A look after which decisions up to 40 are known to be lost."""
    entries = tuple(quarantine(item) for item in quarantined)
    return replace(look, lost=LostHead(40, spec_hash("lost"), spec_hash("found"), "memory", entries))


def restored(case: Case, *quarantined: str) -> Checkpoint:
    """Decide once about what was lost."""
    case.look = replace(case.look, sequence=12)
    commit = decide(case.state, forgotten(case.look, *quarantined))
    assert commit is not None
    assert commit.verdict.value == "Restored"
    assert commit.inputs["heads"] == {
        "found": {"sequence": 12, "hash": spec_hash("found")},
        "lost": {"sequence": 40, "hash": spec_hash("lost")},
    }
    case.state = commit.result
    case.look = replace(case.look, sequence=41)
    return case.state


def test_at_rest_only_both_ends_are_named() -> None:
    case = Case(stable("a"), seen("a", 10, **healthy(A), **routed(A)), [])
    before = case.state
    assert restored(case) == before
    assert decide(case.state, forgotten(case.look)) is None, "what is numbered behind it is not lost again"


def test_a_candidate_with_traffic_gives_it_back_and_begins_anew() -> None:
    case = in_canary()
    state = restored(case)
    assert (case.candidate.stage, state.weights, state.wanted) == (Stage.ROLLING_BACK, {A: 100}, None)
    assert case.taken()[:3] == ["RolledBack", "Start", "Advance"], "from the beginning"
    assert case.state.history[0].outcome is Outcome.SUPERSEDED
    assert (case.candidate.revision, case.state.rejected) == (B, [])


def test_a_candidate_without_traffic_is_dropped_and_begins_anew() -> None:
    case = begun()
    state = restored(case)
    assert (state.candidate, state.weights, state.history[0].outcome) == (None, {A: 100}, Outcome.SUPERSEDED)
    state, verdicts = settle(state, case.look)
    assert verdicts == ["Start"]


def test_what_was_quarantined_stays_so() -> None:
    case = begun()
    state = restored(case, B, C)
    assert {item.revision for item in state.rejected if item.quarantined} == {B, C}
    assert state.candidate is None
    _, verdicts = settle(state, case.look)
    assert verdicts == ["Reject"]


def test_what_goes_for_a_lesser_reason_stays_quarantined() -> None:
    case = in_canary()
    assert case.see(case.look.limits.stage_deadline + 1) == ["RollBack"], "for DeadlineExceeded"
    restored(case, B)
    assert "RolledBack" in case.taken()
    (entry,) = [item for item in case.state.rejected if item.revision == B]
    assert (entry.reason, entry.quarantined) == ("CanaryHarm", True)


def test_what_serves_is_not_quarantined_by_hearsay() -> None:
    """It could not be rolled back for harm any more then."""
    case = Case(stable("a"), seen("a", 10, **healthy(A), **routed(A)), [])
    assert restored(case, A).rejected == []


def test_a_first_revision_and_a_way_back_go_on() -> None:
    first = Case(*_started(), [])
    before = first.state
    assert restored(first) == before
    back = begun()
    asked = Wanted(revision=B, source=Source.ROLLBACK, spec_hash=spec_hash("b"), at=NOW)
    back.state = back.state.model_copy(update={"wanted": asked})
    before = back.state
    assert restored(back) == before


def _started() -> tuple[Checkpoint, Observed]:
    state, _ = settle(None, seen("a"))
    assert state is not None
    return state, seen("a", 1)


@pytest.mark.parametrize("suspended", [True, False])
def test_a_log_of_which_nothing_is_left(suspended: bool) -> None:
    commit = decide(None, forgotten(seen("a", suspended=suspended), C))
    assert commit is not None
    assert (commit.verdict.value, commit.result.rejected) == ("Restored", [quarantine(C)])
