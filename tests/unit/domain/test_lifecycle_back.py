"""Ways back: the command Rollback, a Git revert, harm after promotion, and the fallback revision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.api.v1alpha1.checkpoint import Checkpoint, RejectedRevision
from penstock.api.v1alpha1.modelstatus import Source, Stage
from penstock.domain.lifecycle.observed import Blocker, Failure, WorkloadView
from tests.unit.domain.given import (
    A,
    B,
    C,
    Case,
    at,
    healthy,
    live,
    ready,
    revision,
    routed,
    seen,
    spec_hash,
    stable,
)

F = revision("f")
FROZEN = {"frozen": "It is Friday."}
WITHOUT_TRAFFIC = [Stage.STARTING, Stage.EVALUATING, Stage.SHADOW]
UNDER_WAY = [Stage.PENDING, *WITHOUT_TRAFFIC, Stage.CANARY, Stage.AWAITING_APPROVAL, Stage.PROMOTING]


def promoted(**changes: object) -> Case:
    """Revision b is stable, a is kept for the way back."""
    case = at(Stage.PROMOTING, **changes)
    case.routed(1)
    assert (case.state.stable, case.state.previous[0].revision) == (B, A)
    return case


def third(stage: Stage) -> Case:
    """Revision c under way beside b, with a still kept."""
    case, other = promoted(), at(stage, name="c")
    candidate = other.candidate.model_copy(update={"entered": len(case.commits) + 1})
    weights = {B if which == A else which: share for which, share in other.state.weights.items()}
    state = case.state.model_copy(update={"candidate": candidate, "weights": weights, "wanted": other.state.wanted})
    return Case(state, replace(other.look, **healthy(A, B, C)), [], given=100)


def asks(name: str) -> dict:
    """Changes to `seen`: the spec asks for that revision."""
    return {"revision": revision(name), "spec_hash": spec_hash(name)}


def test_git_revert_takes_the_fast_path_and_cites_what_it_relies_on() -> None:
    case = promoted()
    assert case.see(10, **asks("a"))[0] == "Start"
    record = case.commits[-1] if case.commits[-1].verdict.value == "Start" else case.commits[-2]
    assert record.inputs["reliesOn"] == case.candidate.cites > 0
    assert case.taken()[-1] == "Promoted"
    assert case.state.stable == A
    assert case.state.rejected == [], "a revert quarantines nothing"


@pytest.mark.parametrize(
    "hindrance", [FROZEN, {"blockers": (Blocker("FeatureSetNotValid", "bad data"),)}], ids=["freeze", "bad data"]
)
def test_way_back_waits_neither_for_a_freeze_nor_for_data(hindrance: dict) -> None:
    case = promoted()
    case.see(10, **asks("a"), **hindrance)
    case.taken()
    assert (case.state.stable, case.state.candidate) == (A, None)


def test_way_back_that_waits_for_something_else_is_not_held_up_by_a_freeze_that_begins() -> None:
    case = promoted()
    assert case.see(10, **asks("a"), blockers=(Blocker("GatewayMissing", "none"),)) == ["Wait"]
    case.see(1, blockers=(Blocker("FeatureSetNotValid", "bad data"),), **FROZEN)
    assert case.candidate.stage is not Stage.PENDING


def test_after_the_window_the_ordinary_way_is_gone() -> None:
    case = promoted()
    case.see(90_000, **asks("a"))
    assert case.candidate.cites == 0
    case.routed(1)
    assert case.candidate.stage is Stage.EVALUATING


def test_rollback_quarantines_what_is_left() -> None:
    case = promoted()
    assert case.act("Rollback", revision=None)[0] == "Start"
    assert case.state.wanted is not None
    assert (case.state.wanted.source, case.state.wanted.revision) == (Source.ROLLBACK, A)
    case.taken()
    assert (case.state.stable, case.state.candidate) == (A, None)
    assert [(item.revision, item.reason, item.quarantined) for item in case.state.rejected] == [(B, "RolledBack", True)]
    assert B not in [item.revision for item in case.state.previous]
    assert case.see(1) == [], "the spec still asks for b, and asking is not enough"
    assert case.see(1, **asks("c"))[-1] == "Start"
    assert case.see(1, **asks("b")) == ["Reject"]
    assert case.state.candidate is None


@pytest.mark.parametrize("stage", UNDER_WAY)
def test_rollback_while_a_third_revision_is_under_way(stage: Stage) -> None:
    case = third(stage)
    traffic = case.state.weights.get(C, 0) > 0
    verdicts = case.act("Rollback", revision=A)
    waiting = case.look.actions
    if traffic:
        assert verdicts[0] == "RollBack"
        assert case.state.weights == {B: 100}, "champion traffic first"
        assert "RolledBack" in case.routed(1, actions=waiting)
    assert (case.candidate.revision if case.state.candidate else case.state.stable) == A
    assert B in {item.revision for item in case.state.rejected if item.quarantined}


def test_rollback_works_to_its_end_while_suspended() -> None:
    case = promoted()
    case.see(1, suspended=True)
    case.act("Rollback", revision=None)
    case.taken()
    assert (case.state.stable, case.state.candidate) == (A, None)


def test_git_revert_after_the_command_leaves_the_way_back_as_it_is() -> None:
    """The traffic must not return to what is being left in between."""
    case = promoted()
    case.act("Rollback", revision=None)
    assert case.state.weights == {A: 100}
    assert case.see(1, **asks("a"), requester="eve") == ["Noted"]
    assert (case.state.weights, case.candidate.stage) == ({A: 100}, Stage.PROMOTING)
    assert case.state.wanted is not None
    assert case.state.wanted.source is Source.SPEC


@pytest.mark.parametrize("name", ["b", "c"])
def test_spec_that_asks_for_something_else_does_not_send_traffic_back_to_what_is_left(name: str) -> None:
    case = promoted()
    case.act("Rollback", revision=None)
    edited = {"revision": revision(name), "spec_hash": spec_hash(f"{name}, edited" if name == "b" else name)}
    case.see(1, **edited)
    assert (case.state.weights, case.candidate.revision) == ({A: 100}, A)
    assert case.routed(1)[0] == "Promoted"
    assert case.state.stable == A


def test_asking_for_the_quarantined_stable_revision_takes_no_traffic_from_the_one_under_way() -> None:
    case = third(Stage.CANARY)
    entry = RejectedRevision(revision=B, reason="RolledBack", quarantined=True, at=case.look.now)
    case.state = case.state.model_copy(update={"rejected": [entry]})
    assert case.see(1, **asks("b")) == ["Reject"]
    assert (case.state.weights, case.candidate.revision) == ({B: 95, C: 5}, C)


def test_first_revision_makes_way_for_what_is_quarantined_with_its_traffic() -> None:
    """Else the route would name pods that nobody orders."""
    case = Case(Checkpoint(), seen("b", **healthy(B)), [])
    case.see(workloads={B: WorkloadView(present=True, failure=Failure("DigestMismatch", "other", permanent=True))})
    assert case.see(1, **asks("c"), **healthy(C)) == ["Start", "Promote"]
    assert case.see(1, **asks("b")) == ["Reject"]
    assert (case.state.candidate, case.state.weights) == (None, {})


def test_harm_after_promotion_goes_back_and_quarantines() -> None:
    case = promoted()
    assert case.see(60, crashed={B: "exited with 137"})[0] == "Start"
    case.taken()
    assert (case.state.stable, case.state.candidate) == (A, None)
    assert [(item.revision, item.reason, item.quarantined) for item in case.state.rejected] == [(B, "CanaryHarm", True)]


def test_way_back_that_does_not_come_up_is_tried_once() -> None:
    """Else it would be begun again at every look, and the log would grow without end."""
    case = promoted()
    broken = WorkloadView(present=True, failure=Failure("CrashLoop", "exit 1", permanent=True))
    down = {"workloads": {A: broken, B: ready()}, "smoke": {}}
    assert case.see(60, crashed={B: "exited with 137"}, **down) == ["Start", "Reject"]
    assert case.see(60, crashed={B: "exited with 137"}) == []
    assert (case.state.stable, case.state.weights) == (B, {B: 100})


def test_harm_outside_the_window_has_no_way_back() -> None:
    case = promoted()
    assert case.see(90_000, crashed={B: "exited with 137"}) == []


def test_rollback_has_to_be_known_kept_and_not_quarantined() -> None:
    case = promoted()
    for about, why in ((B, "AlreadyStable"), (C, "NeverStable")):
        assert case.act("Rollback", revision=about) == ["Refuse"]
        assert case.commits[-1].inputs["refused"] == why
    case.act("Rollback", revision=None)
    case.taken()
    assert case.act("Rollback", revision=B) == ["Refuse"]
    assert case.commits[-1].inputs["refused"] == "Quarantined"


# --- the fallback revision ---


def lost(*alive: str) -> dict:
    """Changes to `seen`: a fallback is declared, and only those revisions have pods that are ready."""
    return {"fallback": F, "workloads": {which: ready() for which in alive}}


def idle() -> Case:
    """Revision a serves, and nothing is under way."""
    return Case(stable("a"), seen("a", 10, **healthy(A), **routed(A)), [])


def test_fallback_takes_over_and_gives_back() -> None:
    case = idle()
    assert case.see(1, **lost(F)) == ["Failover"]
    assert (case.state.weights, case.state.failover, case.state.stable) == ({F: 100}, True, A)
    assert case.see(1, **lost(A, F)) == ["Failback"]
    assert (case.state.weights, case.state.failover) == ({A: 100}, False)


def test_fallback_that_is_not_ready_takes_nothing() -> None:
    case = idle()
    assert case.see(1, **lost()) == []
    assert case.see(1, **lost(A, F)) == []


@pytest.mark.parametrize("stage", [*UNDER_WAY[:-1], Stage.ROLLING_BACK])
def test_fallback_takes_over_whatever_is_under_way(stage: Stage) -> None:
    case = at(stage)
    assert case.see(1, **lost(B, F)) == ["Failover"]
    assert case.state.weights == {F: 100}
    assert case.candidate.stage is stage
    case.see(1, **lost(A, B, F))
    if stage is Stage.ROLLING_BACK:
        case.routed(1)
    assert (case.state.weights.get(F), case.state.failover) == (None, False)


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.AWAITING_APPROVAL])
def test_candidate_gets_its_share_back_when_the_stable_revision_is_there_again(stage: Stage) -> None:
    case = at(stage)
    share = case.state.weights
    case.see(1, **lost(B, F))
    assert case.routed(1, **lost(B, F)) == []
    assert case.routed(1, **lost(A, B, F))[0] == "Failback"
    assert case.state.weights == share


def test_candidate_with_all_the_traffic_keeps_it() -> None:
    """A lost champion is no reason to take the traffic from a candidate that answers."""
    case = at(Stage.PROMOTING)
    assert case.see(1, **lost(B, F)) == []
    assert case.routed(1) == ["Promoted"]


@pytest.mark.parametrize("stage", [Stage.STARTING, Stage.EVALUATING])
def test_rejected_candidate_leaves_the_traffic_with_the_fallback(stage: Stage) -> None:
    case = at(stage)
    case.see(1, **lost(B, F))
    assert case.act("Reject") == ["Reject"]
    assert (case.state.weights, case.state.failover) == ({F: 100}, True)


def test_no_share_for_a_candidate_while_the_fallback_serves() -> None:
    case = at(Stage.SHADOW)
    case.see(1, **lost(B, F))
    assert case.see(1, shadow=at(Stage.SHADOW).look.shadow, **lost(B, F)) == []
    assert case.state.weights == {F: 100}


def test_way_back_ends_at_the_fallback_while_that_serves() -> None:
    case = at(Stage.ROLLING_BACK)
    case.see(1, **lost(B, F))
    known = case.look.previewed[A]
    assert case.routed(1, reached={F: known}) == ["RolledBack"]
    assert (case.state.weights, case.state.candidate) == ({F: 100}, None)


def test_quarantined_fallback_takes_nothing() -> None:
    case = promoted()
    case.act("Rollback", revision=None)
    case.taken()
    assert case.see(1, fallback=B, workloads={B: ready()}) == []
    assert case.state.weights == {A: 100}


def test_candidate_is_not_pushed_for_a_broken_champion() -> None:
    case = at(Stage.CANARY)
    case.routed(1)
    assert case.see(5, workloads={B: ready()}, **live()) == []
    assert case.state.weights == {A: 95, B: 5}
