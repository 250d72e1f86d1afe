"""Live traffic: shadow, the steps of a canary, harm, lost pods, lost evidence, and what time counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.api.v1alpha1.modelstatus import Source, Stage
from penstock.api.v1alpha1.rollout import OnMissingEvidence
from penstock.domain.lifecycle.desired import desired
from penstock.domain.lifecycle.observed import RouteView
from tests.unit.domain.given import (
    A,
    B,
    C,
    at,
    gate,
    live,
    plan,
    ready,
    revision,
    says,
    shadowed,
    spec_hash,
)

FROZEN = {"frozen": "It is Friday."}
WITH_TRAFFIC = [Stage.CANARY, Stage.AWAITING_APPROVAL, Stage.PROMOTING]


def test_shadow_gets_copies_and_no_traffic() -> None:
    case = at(Stage.SHADOW)
    wanted = desired(case.state, case.look)
    assert (dict(wanted.mirror), dict(wanted.weights)) == ({B: 100}, {A: 100})
    assert case.see(1, **shadowed("Inconclusive")) == []
    assert case.see(1, **shadowed("Pass")) == ["Advance"]
    assert case.state.weights == {A: 95, B: 5}
    assert dict(desired(case.state, case.look).mirror) == {}


def test_shadow_that_shows_harm_is_quarantined() -> None:
    case = at(Stage.SHADOW)
    assert case.see(1, **shadowed("Fail")) == ["Reject"]
    assert (case.state.rejected[0].reason, case.state.rejected[0].quarantined) == ("ShadowHarm", True)


def test_step_begins_when_the_gateway_has_taken_it() -> None:
    case = at(Stage.CANARY)
    assert case.see(598, **live("Pass")) == []
    assert case.candidate.applied_at is None
    assert case.routed(1) == ["Applied"]
    assert case.candidate.applied_at == case.look.now


@pytest.mark.parametrize(
    ("after", "evidence"),
    [(59, live()), (61, live(requests=99)), (61, live(sighted=None)), (61, live(sighted=False))],
    ids=["too soon", "too few requests", "nothing measured yet", "nothing measured"],
)
def test_step_is_not_left_before_its_time_its_requests_and_its_evidence(after: int, evidence: dict) -> None:
    case = at(Stage.CANARY)
    case.routed(1)
    case.see(after, **evidence)
    assert (case.candidate.stage, case.candidate.step) == (Stage.CANARY, 0)


def test_steps_follow_each_other_and_the_last_needs_every_proof() -> None:
    case = at(Stage.CANARY)
    case.routed(1)
    assert case.see(61, **live("Inconclusive")) == ["Advance"]
    assert (case.candidate.step, case.state.weights) == (1, {A: 50, B: 50})
    case.routed(1)
    assert case.see(61, **live("Inconclusive")) == []
    assert case.see(1, **live("NoData")) == []
    assert case.see(1, **live("Pass")) == ["Await"]
    assert case.state.weights == {A: 50, B: 50}, "while people are asked the traffic stays as it is"


def test_more_traffic_needs_the_pods_for_it() -> None:
    case = at(Stage.CANARY)
    case.routed(1, replicas=4, workloads={A: ready(4), B: ready(4)})
    assert case.see(61, **live("Pass"), workloads={A: ready(4), B: ready(1)}) == []
    assert case.see(1, **live("Pass"), workloads={A: ready(4), B: ready(2)}) == ["Advance"]


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.AWAITING_APPROVAL])
def test_harm_takes_the_traffic_back_at_once(stage: Stage) -> None:
    case = at(stage)
    case.routed(1)
    assert case.see(1, **live("Fail")) == ["RollBack"]
    assert case.state.weights == {A: 100}
    assert {item.revision for item in desired(case.state, case.look).workloads} == {A, B}, "until the route has moved"
    assert case.routed(1) == ["RolledBack"]
    assert (case.state.rejected[0].reason, case.state.rejected[0].quarantined) == ("CanaryHarm", True)


@pytest.mark.parametrize("stage", WITH_TRAFFIC)
def test_pods_that_end_by_themselves_are_harm(stage: Stage) -> None:
    case = at(stage)
    case.routed(1, crashed={}) if stage is not Stage.PROMOTING else None
    assert case.see(1, crashed={B: "exited with 137"}) == ["RollBack"]
    case.routed(1)
    assert (case.state.rejected[0].reason, case.state.rejected[0].quarantined) == ("CanaryHarm", True)


@pytest.mark.parametrize("stage", [Stage.STARTING, Stage.EVALUATING, Stage.SHADOW])
def test_pods_that_end_without_traffic_are_no_harm(stage: Stage) -> None:
    case = at(stage)
    assert case.see(1, crashed={B: "exited with 137"}) == []


@pytest.mark.parametrize("stage", WITH_TRAFFIC)
def test_lost_pods_are_held_and_get_their_share_back(stage: Stage) -> None:
    case = at(stage)
    share = case.state.weights
    if stage is not Stage.PROMOTING:
        case.routed(1)
    assert case.see(1, workloads={A: ready()}) == ["Hold"]
    assert (case.candidate.stage, case.state.weights) == (stage, {A: 100})
    assert case.see(1, workloads={A: ready()}) == []
    assert case.routed(1, workloads={A: ready(), B: ready()}) == ["Release"]
    assert case.state.weights == share
    assert case.state.rejected == []


def test_held_candidate_gets_nothing_back_in_a_freeze() -> None:
    case = at(Stage.CANARY)
    case.routed(1)
    case.see(1, workloads={A: ready()})
    assert case.routed(1, workloads={A: ready(), B: ready()}, **FROZEN) == ["Pause"]
    assert case.state.weights == {A: 100}
    assert case.routed(1, frozen="") == ["Resume", "Release"]


def test_hold_while_people_are_asked_gives_back_the_share_it_took() -> None:
    """A Promote in the first step leads to the question; the share after a hold is not that of the last step."""
    case = at(Stage.CANARY)
    case.routed(1)
    assert case.act("Promote", bypass=True) == ["Await"]
    assert case.state.weights == {A: 95, B: 5}
    case.see(1, workloads={A: ready()})
    case.routed(1, workloads={A: ready(), B: ready()})
    assert case.state.weights == {A: 95, B: 5}


def test_held_candidate_that_does_not_come_back_is_out() -> None:
    case = at(Stage.CANARY)
    case.routed(1)
    case.see(1, workloads={A: ready()})
    assert case.see(600) == ["Reject"]
    assert not case.state.rejected[0].quarantined


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.CANARY, Stage.AWAITING_APPROVAL, Stage.PROMOTING])
def test_refused_route_goes_back_and_is_tried_three_times(stage: Stage) -> None:
    case = at(stage)
    for attempt in (2, 3):
        refused = RouteView(present=True, weights=case.state.weights, mirror={B: 100}, refused="BackendNotFound")
        assert case.see(1, route=refused, previewed={}) == ["Retry"]
        assert (case.candidate.stage, case.candidate.attempt, case.state.weights) == (Stage.STARTING, attempt, {A: 100})
        again = at(stage)
        case.state = case.state.model_copy(
            update={
                "weights": again.state.weights,
                "candidate": again.candidate.model_copy(update={"attempt": attempt}),
            }
        )
    refused = RouteView(present=True, weights=case.state.weights, mirror={B: 100}, refused="BackendNotFound")
    case.see(1, route=refused, previewed={})
    case.routed(1)
    assert (case.state.rejected[0].reason, case.state.rejected[0].quarantined) == ("RouteNotAccepted", False)


def test_refused_route_is_not_asked_for_again_in_the_same_look() -> None:
    case = at(Stage.CANARY)
    refused = RouteView(present=True, weights=case.state.weights, refused="BackendNotFound")
    assert case.see(1, route=refused) == ["Retry"]
    assert case.candidate.stage is Stage.STARTING


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.CANARY])
def test_lost_evidence_holds_and_its_time_does_not_count(stage: Stage) -> None:
    case = at(stage)
    weights = case.state.weights
    case.routed(1)
    assert case.see(9, **live(sighted=False)) == ["Hold"]
    assert case.state.weights == weights, "a healthy candidate and a healthy stable revision keep what they have"
    assert case.see(591, **live(sighted=False)) == []
    assert case.see(1, **live(requests=0)) == ["Release"]
    assert case.candidate.blind.seconds == 592
    assert case.see(580, **live("Inconclusive", requests=0)) == []
    assert case.see(30, **live("Inconclusive", requests=0)) in (["RollBack"], ["Reject"])
    assert case.commits[-1].inputs["reason"] == "DeadlineExceeded"


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.CANARY])
def test_lost_evidence_buys_one_more_deadline_and_no_more(stage: Stage) -> None:
    case = at(stage)
    case.see(1, **live(sighted=False))
    assert case.see(1198, **live(sighted=False)) == []
    case.see(2, **live(sighted=False))
    assert case.commits[-1].inputs["reason"] == "EvidenceMissing"
    case.routed(1)
    assert not case.state.rejected[0].quarantined


def test_lost_evidence_rolls_back_where_the_plan_says_so() -> None:
    case = at(Stage.CANARY, plan=plan(on_missing_evidence=OnMissingEvidence.ROLLBACK))
    case.routed(1)
    assert case.see(1, **live(sighted=False)) == ["RollBack"]
    case.routed(1)
    assert (case.state.rejected[0].reason, case.state.rejected[0].quarantined) == ("EvidenceMissing", False)


def test_lost_evidence_holds_a_way_back_whatever_the_plan_says() -> None:
    case = at(Stage.CANARY, plan=plan(on_missing_evidence=OnMissingEvidence.ROLLBACK))
    case.routed(1)
    ordered = case.state.wanted.model_copy(update={"source": Source.ROLLBACK})
    case.state = case.state.model_copy(update={"wanted": ordered})
    assert case.see(1, **live(sighted=False)) == ["Hold"]


def test_blind_time_in_a_freeze_is_given_back_once() -> None:
    case = at(Stage.CANARY)
    case.routed(1)
    case.see(1, **FROZEN, **live())
    case.see(1, **live(sighted=False))
    case.see(1000, **live())
    assert case.candidate.blind.seconds == 0
    case.see(1, frozen="", **live())
    assert case.candidate.since <= case.look.now


def test_stage_that_begins_in_a_freeze_has_its_own_time_only() -> None:
    case = at(Stage.EVALUATING)
    case.see(10, **FROZEN)
    assert case.see(1000, **says("Pass")) == ["Advance"]
    assert case.see(100, frozen="") == ["Resume"]
    assert case.candidate.since == case.look.now
    assert case.see(599) == []
    assert case.see(1) == ["Reject"]


def test_frozen_time_is_no_time_of_a_step() -> None:
    case = at(Stage.CANARY)
    case.routed(1)
    case.see(61, **live())
    case.routed(1)
    assert case.see(30, **FROZEN, **live("Pass")) == ["Pause"]
    assert case.see(600, **live("Pass")) == [], "it would be taken back when the freeze ends"
    assert case.see(1, frozen="", **live("Pass")) == ["Resume"]
    assert case.see(30, **live("Pass")) == ["Await"]


def test_blind_time_of_a_stage_is_not_counted_in_the_next_attempt() -> None:
    case = at(Stage.CANARY)
    case.routed(1)
    case.see(1, **live(sighted=False))
    case.see(1, plan=plan(gates=[gate("2", "0.9")]))
    assert (case.candidate.stage, case.candidate.blind.since) == (Stage.EVALUATING, None)
    assert case.see(600) == ["Reject"]
    assert case.state.rejected[0].reason == "DeadlineExceeded"


@pytest.mark.parametrize("stage", [Stage.STARTING, Stage.EVALUATING, Stage.SHADOW, Stage.CANARY, Stage.PROMOTING])
def test_every_stage_has_an_end(stage: Stage) -> None:
    case = at(stage)
    assert case.see(599) == []
    assert case.see(1) in (["Reject"], ["RollBack"])
    case.routed(1)
    assert (case.state.rejected[0].reason, case.state.rejected[0].quarantined) == ("DeadlineExceeded", False)
    assert (case.state.stable, case.state.weights) == (A, {A: 100})


@pytest.mark.parametrize("stage", [Stage.STARTING, Stage.EVALUATING, Stage.SHADOW, *WITH_TRAFFIC])
@pytest.mark.parametrize("stands", [{"suspended": True}, FROZEN], ids=["suspended", "frozen"])
def test_time_that_stands_does_not_count(stage: Stage, stands: dict) -> None:
    case = at(stage)
    assert case.see(500, **stands) == ["Pause"]
    assert case.see(90_000) == []
    assert case.see(1, suspended=False, frozen="") == ["Resume"]
    if stage is not Stage.AWAITING_APPROVAL:
        assert case.see(98) == []
        assert case.see(2) != []


@pytest.mark.parametrize("stage", [Stage.EVALUATING, Stage.SHADOW, Stage.CANARY, Stage.PROMOTING])
def test_suspended_goes_on_with_nothing(stage: Stage) -> None:
    case = at(stage)
    case.see(1, suspended=True)
    everything = {**says("Pass", attempt=2), **shadowed("Pass"), **live("Pass")}
    before = case.state
    assert case.routed(100, **everything) == []
    assert case.state == before


@pytest.mark.parametrize("stage", WITH_TRAFFIC)
def test_suspended_still_protects(stage: Stage) -> None:
    case = at(stage)
    case.see(1, suspended=True)
    assert case.see(1, crashed={B: "exited with 137"}) == ["RollBack"]
    assert case.routed(1) == ["RolledBack"], "a way back that has begun is finished"


@pytest.mark.parametrize("name", ["a", "c"])
@pytest.mark.parametrize("stage", [Stage.STARTING, Stage.EVALUATING, Stage.SHADOW, *WITH_TRAFFIC])
def test_another_spec_gives_the_traffic_back_first(stage: Stage, name: str) -> None:
    case = at(stage)
    asked = {"revision": revision(name), "spec_hash": spec_hash(name)}
    if case.state.weights.get(B, 0) > 0:
        assert case.see(1, **asked)[0] == "RollBack"
        assert (case.state.weights, case.candidate.revision) == ({A: 100}, B)
        assert case.routed(1)[0] == "RolledBack"
    else:
        assert case.see(1, **asked) == (["Supersede"] if name == "a" else ["Start"])
    assert (case.state.candidate and case.candidate.revision) == (None if name == "a" else C)
    assert (case.state.weights, case.state.rejected) == ({A: 100}, []), "superseded, not rejected"


def test_pending_waits_for_a_freeze_without_a_deadline() -> None:
    case = at(Stage.PENDING)
    assert case.see(90_000) == []
    assert case.see(1, blockers=(), **FROZEN) == ["Pause"]
    assert case.see(90_000) == []
    assert case.see(1, frozen="") == ["Resume", "Start"]
    assert case.candidate.since == case.look.now


def test_servers_that_count_nothing_are_not_waited_for() -> None:
    case = at(Stage.CANARY)
    case.routed(1)
    blind = replace(live(sighted=False)["live"], unmeasurable=True, message="the server of pod b-1 shows no counters")
    assert case.see(1, live=blind) == ["RollBack"]
    assert case.state.weights == {A: 100}
    case.routed(1)
    (refused,) = case.state.rejected
    assert (refused.reason, refused.message, refused.quarantined) == ("NoMetricSource", blind.message, False)


def test_evidence_that_comes_with_a_pause_is_kept() -> None:
    case = at(Stage.EVALUATING)
    assert case.see(1, **FROZEN, **says("Pass")) == ["Pause", "Advance"], "copies are no traffic"
    assert case.candidate.paused_since == case.look.now
    assert case.candidate.since == case.look.now
