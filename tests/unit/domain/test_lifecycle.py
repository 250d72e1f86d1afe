"""The stages of a revision, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.modelstatus import Outcome, Stage
from penstock.domain.lifecycle.decide import MATRIX, decide
from penstock.domain.lifecycle.desired import Role, desired, next_change
from penstock.domain.lifecycle.observed import Blocker, Failure, Probe, RouteView, WorkloadView
from penstock.domain.lifecycle.stages import Event
from tests.unit.domain.given import LIMITS, NOW, A, B, C, healthy, ready, routed, seen, settle, spec_hash, stable

MISMATCH = WorkloadView(present=True, replicas=1, failure=Failure("DigestMismatch", "the bytes differ", permanent=True))
CRASHED = WorkloadView(present=True, replicas=1, failure=Failure("CrashLoop", "exit 1", permanent=True))


def test_matrix_has_a_cell_for_every_stage_and_event() -> None:
    ends = {Stage.STABLE, Stage.REJECTED, Stage.SUPERSEDED}
    assert set(MATRIX) == {None, *Stage} - ends
    for stage, row in MATRIX.items():
        assert set(row) == set(Event), stage


def test_first_revision_goes_from_start_to_stable() -> None:
    state, verdicts = settle(None, seen())
    assert verdicts == ["Start"]
    assert state.candidate.stage is Stage.STARTING
    assert state.weights == {}

    state, verdicts = settle(state, seen(after=5, **healthy(A)))
    assert verdicts == ["Promote"]
    assert state.weights == {A: 100}
    assert state.stable is None

    state, verdicts = settle(state, seen(after=6, **healthy(A), **routed(A)))
    assert verdicts == ["Promoted"]
    assert (state.stable, state.candidate, state.previous) == (A, None, [])
    assert [(item.revision, item.outcome) for item in state.history] == [(A, Outcome.STABLE)]


def test_second_revision_leaves_the_first_one_warm() -> None:
    state = stable("a")
    state, _ = settle(state, seen("b", 10, **healthy(A), **routed(A)))
    assert state.weights == {A: 100}
    state, _ = settle(state, seen("b", 20, **healthy(A, B), **routed(A)))
    assert state.weights == {B: 100}
    assert state.stable == A, "the stable pointer moves only when the data plane shows the new revision"
    state, _ = settle(state, seen("b", 21, **healthy(A, B), **routed(B)))
    assert state.stable == B
    assert [item.revision for item in state.previous] == [A]

    def replicas(after: float) -> dict[str, int]:
        return {item.revision: item.replicas for item in desired(state, seen("b", after, replicas=3)).workloads}

    assert replicas(30) == {B: 3, A: 3}
    assert replicas(21 + LIMITS.rollback_full) == {B: 3, A: 1}
    assert replicas(21 + LIMITS.rollback_window) == {B: 3}
    assert next_change(state, NOW + timedelta(seconds=30)) == NOW + timedelta(seconds=21 + LIMITS.rollback_full)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"workloads": {A: ready()}}, id="no smoke prediction yet"),
        pytest.param({**healthy(A), "smoke": {A: Probe(None, "no answer")}}, id="smoke prediction without an answer"),
        pytest.param({**healthy(A), "replicas": 2}, id="too few pods"),
        pytest.param({**healthy(A), "suspended": True}, id="suspended"),
        pytest.param({**healthy(A), "blockers": (Blocker("PolicyMissing", "altered"),)}, id="policies missing"),
    ],
)
def test_no_promotion_without_readiness(changes: dict) -> None:
    state, _ = settle(None, seen())
    state, verdicts = settle(state, seen(after=5, **changes))
    assert "Promote" not in verdicts
    assert state.weights == {}


@pytest.mark.parametrize("known", [{}, {B: Probe(None, "answers 503")}], ids=["not asked", "not known"])
def test_no_traffic_before_the_gateway_knows_the_candidate(known: dict) -> None:
    state, _ = settle(stable("a"), seen("b", 10, **healthy(A), **routed(A)))
    look = seen("b", 11, **{**healthy(A, B), "previewed": known}, **routed(A))
    assert desired(state, look).preview == B
    state, verdicts = settle(state, look)
    assert verdicts == []
    state, verdicts = settle(state, seen("b", 12, **healthy(A, B), **routed(A)))
    assert verdicts == ["Promote"]
    assert desired(state, look).preview is None


def test_first_revision_needs_no_preview() -> None:
    state, _ = settle(None, seen())
    assert desired(state, seen()).preview is None
    state, verdicts = settle(state, seen(after=5, **{**healthy(A), "previewed": {}}))
    assert verdicts == ["Promote"]


def test_refused_route_goes_back_at_once_and_is_tried_again() -> None:
    state, _ = settle(stable("a"), seen("b", 20, **healthy(A, B), **routed(A)))
    refused = {"route": RouteView(present=True, weights={B: 100}, refused="BackendNotFound: not found")}
    for attempt in (2, 3):
        state, verdicts = settle(state, seen("b", 21, **{**healthy(A, B), "previewed": {}}, **refused))
        assert verdicts == ["Retry"]
        assert (state.weights, state.stable, state.candidate.attempt) == ({A: 100}, A, attempt)
        state, verdicts = settle(state, seen("b", 22, **healthy(A, B), **routed(A)))
        assert verdicts == ["Promote"]
    state, verdicts = settle(state, seen("b", 23, **healthy(A, B), **refused))
    assert verdicts == ["RollBack"]
    state, verdicts = settle(state, seen("b", 24, **healthy(A, B), **routed(A)))
    assert (verdicts, state.rejected[0].reason) == (["RolledBack"], "RouteNotAccepted")
    assert not state.rejected[0].quarantined


@pytest.mark.parametrize(
    "route",
    [
        pytest.param({"route": RouteView()}, id="no route yet"),
        pytest.param({"route": RouteView(present=True, weights={B: 100}, accepted=False)}, id="not accepted"),
        pytest.param({**routed(B), "reached": {B: Probe(None, "still a")}}, id="data plane shows the old one"),
        pytest.param({**routed(B), "reached": {}}, id="data plane not asked"),
        pytest.param(routed(A), id="route still as before"),
        pytest.param({**routed(B), "route": RouteView(present=True, weights={A: 1, B: 99}, accepted=True)}, id="split"),
    ],
)
def test_not_stable_before_the_data_plane_shows_it(route: dict) -> None:
    state, _ = settle(stable("a"), seen("b", 20, **healthy(A, B), **routed(A)))
    assert state.candidate.stage is Stage.PROMOTING
    state, verdicts = settle(state, seen("b", 21, **healthy(A, B), **route))
    assert verdicts == []
    assert state.stable == A


def test_wrong_digest_is_rejected_and_stays_out() -> None:
    state, _ = settle(stable("a"), seen("b", 10, **healthy(A), **routed(A)))
    state, verdicts = settle(state, seen("b", 11, **routed(A), workloads={A: ready(), B: MISMATCH}))
    assert verdicts == ["Reject"]
    assert (state.stable, state.candidate, state.weights) == (A, None, {A: 100})
    assert (state.rejected[0].reason, state.rejected[0].quarantined) == ("DigestMismatch", True)

    state, verdicts = settle(state, seen("a", 12, **healthy(A), **routed(A)))
    assert verdicts == ["Noted"]
    state, verdicts = settle(state, seen("b", 13, **healthy(A), **routed(A)))
    assert verdicts == ["Reject"], "a quarantined revision does not come back by asking again"
    assert state.candidate is None


def test_wrong_digest_of_a_first_revision_is_rejected_too() -> None:
    state, _ = settle(None, seen())
    state, verdicts = settle(state, seen(after=1, workloads={A: MISMATCH}))
    assert verdicts == ["Reject"]
    assert desired(state, seen(after=2)).workloads == ()


def test_crashing_second_revision_is_rejected_but_may_come_back() -> None:
    state, _ = settle(stable("a"), seen("b", 10, **healthy(A), **routed(A)))
    state, verdicts = settle(state, seen("b", 11, **routed(A), workloads={A: ready(), B: CRASHED}))
    assert verdicts == ["Reject"]
    assert not state.rejected[0].quarantined
    assert {item.revision for item in desired(state, seen("b", 12)).workloads} == {A}
    state, _ = settle(state, seen("a", 12, **healthy(A), **routed(A)))
    state, verdicts = settle(state, seen("b", 13, **healthy(A), **routed(A)))
    assert verdicts == ["Start"]
    assert state.candidate.attempt == 2


def test_crashing_first_revision_keeps_trying() -> None:
    state, _ = settle(None, seen())
    for after in (10, 700):
        state, verdicts = settle(state, seen(after=after, workloads={A: CRASHED}))
        assert verdicts == []
    state, verdicts = settle(state, seen(after=800, **healthy(A)))
    assert verdicts == ["Promote"]


def test_failed_smoke_prediction_rejects() -> None:
    state, _ = settle(stable("a"), seen("b", 10, **healthy(A), **routed(A)))
    looks = seen("b", 11, **{**healthy(A, B), "smoke": {B: Probe(False, "answered with 500")}}, **routed(A))
    state, verdicts = settle(state, looks)
    assert verdicts == ["Reject"]
    assert state.rejected[0].reason == "SmokeFailed"


def test_deadline_says_what_it_failed_at_and_does_not_quarantine() -> None:
    state, _ = settle(stable("a"), seen("b", 10, **healthy(A), **routed(A)))
    pulling = WorkloadView(present=True, replicas=1, failure=Failure("ImagePull", "not found", permanent=False))
    late = seen("b", 10 + LIMITS.stage_deadline, **routed(A), workloads={A: ready(), B: pulling})
    assert decide(state, replace(late, now=late.now - timedelta(seconds=1))) is None
    state, verdicts = settle(state, late)
    assert verdicts == ["Reject"]
    assert state.rejected[0].reason == "DeadlineExceeded"
    assert "ImagePull: not found" in state.rejected[0].message
    assert not state.rejected[0].quarantined


def test_suspended_time_does_not_count() -> None:
    state, _ = settle(stable("a"), seen("b", 10, **healthy(A), **routed(A)))
    base = {**routed(A), "workloads": {A: ready(), B: WorkloadView(present=True)}}
    state, verdicts = settle(state, seen("b", 100, **base, suspended=True))
    assert verdicts == ["Pause"]
    state, verdicts = settle(state, seen("b", 5000, **base, suspended=True))
    assert verdicts == []
    state, verdicts = settle(state, seen("b", 5000, **base))
    assert verdicts == ["Resume"]
    assert state.candidate.since == NOW + timedelta(seconds=10 + 4900)


def test_spec_back_to_stable_drops_the_candidate() -> None:
    state, _ = settle(stable("a"), seen("b", 10, **healthy(A), **routed(A)))
    state, verdicts = settle(state, seen("a", 11, **healthy(A, B), **routed(A)))
    assert verdicts == ["Supersede"]
    assert (state.stable, state.candidate, state.rejected) == (A, None, [])
    assert state.history[0].outcome is Outcome.SUPERSEDED


def test_third_revision_while_starting_replaces_the_candidate() -> None:
    state, _ = settle(stable("a"), seen("b", 10, **healthy(A), **routed(A)))
    state, verdicts = settle(state, seen("c", 11, **healthy(A), **routed(A)))
    assert verdicts == ["Start"]
    assert state.candidate.revision == C
    assert state.history[0].revision == B


def test_third_revision_while_promoting_restores_the_champion_first() -> None:
    state, _ = settle(stable("a"), seen("b", 20, **healthy(A, B), **routed(A)))
    state, verdicts = settle(state, seen("c", 21, **healthy(A, B), **routed(B)))
    assert verdicts == ["RollBack"]
    assert state.weights == {A: 100}
    assert {item.revision for item in desired(state, seen("c", 22)).workloads} == {A, B}
    state, verdicts = settle(state, seen("c", 23, **healthy(A, B), **routed(A)))
    assert verdicts == ["RolledBack", "Start"]
    assert state.candidate.revision == C
    assert state.rejected == []


def test_candidate_lost_while_promoting_is_held_until_it_is_back() -> None:
    state, _ = settle(stable("a"), seen("b", 20, **healthy(A, B), **routed(A)))
    state, verdicts = settle(state, seen("b", 21, **{**healthy(A), **routed(B)}))
    assert verdicts == ["Hold"]
    assert state.weights == {A: 100}
    state, verdicts = settle(state, seen("b", 22, **healthy(A, B), **routed(A)))
    assert verdicts == ["Release"]
    assert (state.weights, state.candidate.stage) == ({B: 100}, Stage.PROMOTING)
    state, verdicts = settle(state, seen("b", 23, **healthy(A, B), **routed(B)))
    assert (verdicts, state.stable) == (["Promoted"], B)


def test_going_back_to_a_warm_revision_keeps_its_pods() -> None:
    state, _ = settle(stable("a"), seen("b", 20, **healthy(A, B), **routed(A)))
    state, _ = settle(state, seen("b", 21, **healthy(A, B), **routed(B)))
    state, verdicts = settle(state, seen("a", 30, **{**healthy(A, B), **routed(B), "smoke": {}}))
    assert verdicts == ["Start"]
    roles = {item.revision: item.role for item in desired(state, seen("a", 31)).workloads}
    assert roles == {B: Role.STABLE, A: Role.CANDIDATE}


def test_blocked_candidate_waits_and_goes_on_by_itself() -> None:
    blocked = {"blockers": (Blocker("PreviousTerminating", "wait"),)}
    state, verdicts = settle(None, seen(**blocked))
    assert verdicts == ["Wait"]
    assert state.candidate.stage is Stage.PENDING
    assert desired(state, seen()).workloads == ()
    state, verdicts = settle(state, seen(after=10_000, **blocked))
    assert verdicts == [], "waiting for others does not run into the deadline"
    state, verdicts = settle(state, seen(after=10_001))
    assert verdicts == ["Start"]


def test_suspended_from_the_start_decides_nothing() -> None:
    assert decide(None, seen(suspended=True)) is None


def test_rejections_are_bounded_but_quarantine_is_not_forgotten() -> None:
    state = stable("a")
    for number in range(30):
        name = f"r{number}"
        broken = MISMATCH if number == 0 else CRASHED
        state, _ = settle(state, seen(name, 10 + number * 2, **healthy(A), **routed(A)))
        revision = state.candidate.revision
        state, _ = settle(state, seen(name, 11 + number * 2, **routed(A), workloads={A: ready(), revision: broken}))
    assert len(state.rejected) == 11
    assert state.rejected[-1].quarantined
    assert len(state.history) == 10


def test_checkpoint_survives_its_record() -> None:
    state, _ = settle(stable("a"), seen("b", 20, **healthy(A, B), **routed(A)))
    assert Checkpoint.model_validate(state.as_json()) == state
    assert state.wanted.spec_hash == spec_hash("b")
