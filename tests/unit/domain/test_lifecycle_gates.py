"""Gates: what each verdict does to a candidate, and what an edited gate or plan does."""

from __future__ import annotations

import pytest

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.modelstatus import Outcome, Stage
from penstock.api.v1alpha1.rollout import ApprovalPolicy, Before
from penstock.domain.lifecycle.observed import GateFinding
from tests.unit.domain.given import (
    APPROVAL,
    CANARY,
    SHADOW,
    A,
    B,
    Case,
    at,
    gate,
    healthy,
    live,
    plan,
    routed,
    says,
    seen,
    shadowed,
)

EVALUATED = [Stage.EVALUATING, Stage.SHADOW, Stage.CANARY, Stage.AWAITING_APPROVAL]


def first(**changes: object) -> Case:
    """The first revision of a Model, ready."""
    case = Case(Checkpoint(), seen("a", plan=plan(), **changes), [])
    case.see(**{**healthy(A), **changes})
    return case


def test_passed_gate_leads_to_the_shadow() -> None:
    case = at(Stage.EVALUATING)
    assert case.see(1, **says("Pass")) == ["Advance"]
    assert (case.candidate.stage, case.state.weights) == (Stage.SHADOW, {A: 100})
    assert [(proof.gate, proof.verdict, proof.revision) for proof in case.candidate.proofs] == [("quality", "Pass", B)]


@pytest.mark.parametrize("stage", EVALUATED)
def test_failed_gate_ends_a_candidate_in_every_stage(stage: Stage) -> None:
    case = at(stage)
    traffic = case.state.weights.get(B, 0) > 0
    assert case.see(1, **says("Fail", attempt=2)) == (["RollBack"] if traffic else ["Reject"])
    case.routed(1)
    assert (case.state.candidate, case.state.weights) == (None, {A: 100})
    assert [(item.reason, item.quarantined) for item in case.state.rejected] == [("GateFailed", True)]


@pytest.mark.parametrize("verdict", ["Inconclusive", "NoData", "Error"])
def test_what_is_no_pass_holds_until_the_deadline(verdict: str) -> None:
    case = at(Stage.EVALUATING)
    case.see(1, **says(verdict))
    assert case.candidate.stage is Stage.EVALUATING
    assert case.see(1, **says(verdict)) == [], "it is written down once"
    assert case.see(600) == ["Reject"]
    assert (case.state.rejected[0].reason, case.state.rejected[0].quarantined) == ("DeadlineExceeded", False)


def test_gate_without_a_verdict_is_not_written_down() -> None:
    case = at(Stage.EVALUATING)
    assert case.see(1, **says(None)) == []
    assert case.candidate.proofs == []


def test_answer_of_another_form_of_the_gate_counts_for_nothing() -> None:
    case = at(Stage.EVALUATING)
    assert case.see(1, gates={"quality": GateFinding("quality", gate("2").spec_hash or "", "Pass")}) == []


def test_nothing_to_compare_with_passes_a_first_revision_only() -> None:
    case = first()
    assert case.candidate.stage is Stage.EVALUATING
    assert case.see(1, **says("NotApplicable")) == ["Await"]
    beside = at(Stage.EVALUATING)
    assert beside.see(1, **says("NotApplicable")) == []
    assert beside.candidate.stage is Stage.EVALUATING


def test_first_revision_has_neither_shadow_nor_canary() -> None:
    case = first()
    assert case.see(1, **says("Pass")) == ["Await"]
    assert case.act("Approve") == ["Promote"]
    assert case.see(1, **routed(A)) == ["Promoted"]
    assert case.state.stable == A


def test_first_revision_that_fails_its_gate_is_out() -> None:
    case = first()
    assert case.see(1, **says("Fail")) == ["Reject"]
    assert (case.state.candidate, case.state.weights, case.state.rejected[0].reason) == (None, {}, "GateFailed")


def test_first_revision_without_an_answer_keeps_trying() -> None:
    case = first()
    assert case.see(100_000) == []
    assert case.see(1, **says("Pass")) == ["Await"]


def test_inconclusive_gate_that_leaves_it_to_people_asks_them() -> None:
    case = at(Stage.EVALUATING, plan=plan(approval=ApprovalPolicy(before=Before.ROLLOUT)))
    assert case.see(1, **says("Inconclusive", accepted=True)) == ["Await"]
    assert case.state.weights == {A: 100}
    assert case.act("Approve") == ["Advance"]
    assert case.candidate.stage is Stage.SHADOW


def test_candidate_passed_its_gates_in_a_freeze_and_goes_on_after_it() -> None:
    case = at(Stage.EVALUATING, plan=plan(shadow=None))
    assert case.see(1, **says("Pass"), frozen="It is Friday.") == ["Pause", "Proven"]
    assert case.see(3600, frozen="It is Friday.") == []
    assert case.see(1, frozen="") == ["Resume", "Advance"]
    assert case.state.weights == {A: 95, B: 5}


def test_another_round_of_evaluation_needs_an_answer_of_its_own_and_moves_no_traffic() -> None:
    case = at(Stage.CANARY)
    assert case.act("Evaluate") == ["Noted"]
    assert (case.candidate.evaluation, case.state.weights) == (2, {A: 95, B: 5})
    assert case.see(1, **says("Pass")) == ["Proven"]
    assert case.candidate.proofs[0].evaluation == 2


@pytest.mark.parametrize("verdict", ["NoData", "Inconclusive"])
def test_approval_is_no_bypass_of_a_gate_that_has_no_answer_any_more(verdict: str) -> None:
    case = at(Stage.AWAITING_APPROVAL)
    case.act("Evaluate")
    assert case.see(1, **says(verdict, attempt=2)) == ["Await"]
    assert case.act("Approve") == ["Approve"]
    assert case.state.weights == {A: 50, B: 50}
    assert case.act("Promote") == ["Refuse"]
    assert case.act("Promote", bypass=True) == ["Promote"]
    assert case.commits[-1].inputs["bypass"] == ["analysis errors", "gate quality"]


def test_what_is_approved_and_cannot_go_on_has_an_end_too() -> None:
    case = at(Stage.AWAITING_APPROVAL)
    case.act("Evaluate")
    case.see(1, **says("NoData", attempt=2))
    case.act("Approve")
    assert case.see(3599) == ["RollBack"]
    case.routed(1)
    assert (case.state.rejected[0].reason, case.state.rejected[0].quarantined) == ("DeadlineExceeded", False)


def test_step_does_not_follow_while_a_gate_has_no_answer_any_more() -> None:
    case = at(Stage.CANARY)
    case.act("Evaluate")
    case.routed(1, **says("NoData", attempt=2))
    assert case.see(61, **live("Pass")) == []
    assert case.state.weights == {A: 95, B: 5}


def test_bypass_is_about_the_plan_it_was_given_for() -> None:
    case = at(Stage.EVALUATING)
    case.act("Promote", bypass=True)
    assert case.candidate.bypassed
    case.see(1, plan=plan(gates=[gate("2", "0.9")]))
    assert not case.candidate.bypassed


def test_plan_in_force_is_written_down_at_the_start() -> None:
    case = at(Stage.STARTING)
    assert case.commits[0].inputs["plan"] == plan().as_json()
    assert case.candidate.plan == plan()


@pytest.mark.parametrize("stage", EVALUATED)
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"gates": [gate("2", "0.9")]}, id="a gate asks for more"),
        pytest.param({"gates": [gate(), gate(name="slices")]}, id="another gate"),
        pytest.param({"approval": APPROVAL.model_copy(update={"quorum": 2})}, id="another approval"),
        pytest.param({"shadow": SHADOW.model_copy(update={"min_samples": 999})}, id="a longer shadow"),
    ],
)
def test_stricter_plan_is_gone_through_from_the_gates_on(stage: Stage, edit: dict) -> None:
    case = at(stage)
    case.see(1, plan=plan(**edit))
    assert "Reconsider" in [commit.verdict.value for commit in case.commits]
    assert case.state.weights == {A: 100}
    assert case.candidate.stage in (Stage.EVALUATING, Stage.SHADOW)
    record = next(commit for commit in case.commits if commit.verdict.value == "Reconsider")
    assert (record.inputs["old"], record.inputs["new"]) == (plan().as_json(), plan(**edit).as_json())


@pytest.mark.parametrize("stage", [Stage.STARTING, *EVALUATED, Stage.PROMOTING])
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"gates": []}, id="no gate"),
        pytest.param({"canary": None}, id="no canary"),
        pytest.param({"shadow": None}, id="no shadow"),
        pytest.param({"approval": ApprovalPolicy()}, id="no approval"),
    ],
)
def test_looser_plan_waits_for_the_next_revision(stage: Stage, edit: dict) -> None:
    case = at(stage)
    assert case.see(1, plan=plan(**edit)) == []
    assert case.candidate.plan == plan()


@pytest.mark.parametrize("stage", [Stage.STARTING, Stage.EVALUATING])
def test_of_a_mixed_edit_the_stricter_part_holds(stage: Stage) -> None:
    case = at(stage)
    assert case.see(1, plan=plan(canary=None, gates=[gate(), gate(name="slices")])) == ["Reconsider"]
    assert case.candidate.plan is not None
    assert case.candidate.plan.canary == CANARY
    assert [item.name for item in case.candidate.plan.gates] == ["quality", "slices"]


def test_edit_while_the_traffic_moves_waits_for_the_next_revision() -> None:
    case = at(Stage.PROMOTING)
    assert case.see(1, plan=plan(gates=[gate("2", "0.99")])) == []
    assert case.routed(1) == ["Promoted"]


def test_gate_that_is_edited_before_it_answered_is_asked_as_it_is_now() -> None:
    case = at(Stage.EVALUATING)
    assert case.see(1, plan=plan(gates=[gate("2", "0.7")])) == ["Reconsider"]
    assert case.see(1, **says("Pass", gate("2", "0.7"))) == ["Advance"]


def test_gate_that_is_loosened_after_it_answered_keeps_its_answer() -> None:
    case = at(Stage.SHADOW)
    assert case.see(1, plan=plan(gates=[gate("2", "0.7")])) == []


def test_gate_that_does_not_exist_yet_is_waited_for() -> None:
    missing = gate().model_copy(update={"spec_hash": None, "bars": {}})
    case = at(Stage.EVALUATING, plan=plan(gates=[missing]))
    assert case.see(1, **says("Pass")) == [], "it is not in the plan in that form"
    assert case.see(1, plan=plan()) == ["Reconsider"]
    assert case.see(1, **says("Pass")) == ["Advance"]


def test_what_a_gate_said_before_it_asked_for_more_proves_nothing() -> None:
    """A Promote without bypass must not rest on it."""
    case = at(Stage.AWAITING_APPROVAL, plan=plan(canary=None, shadow=None))
    case.see(1, plan=plan(canary=None, shadow=None, gates=[gate("2", "0.9")]))
    assert case.candidate.stage is Stage.EVALUATING
    assert case.act("Promote") == ["Refuse"]
    assert case.commits[-1].inputs["refused"] == "EvidenceMissing"


def test_new_result_after_an_approval_before_traffic_asks_people_again() -> None:
    case = at(Stage.CANARY, plan=plan(approval=APPROVAL.model_copy(update={"before": Before.ROLLOUT})))
    assert case.candidate.approved
    case.act("Evaluate")
    assert case.see(1, **says("Pass", attempt=2)) == ["Await"]
    assert (case.candidate.stage, case.candidate.approved, case.state.weights) == (
        Stage.AWAITING_APPROVAL,
        False,
        {A: 100},
    )


def test_whole_way() -> None:
    case = at(Stage.PROMOTING)
    assert case.routed(1) == ["Promoted"]
    assert case.state.stable == B
    assert [item.revision for item in case.state.previous] == [A]
    assert case.state.history[0].outcome is Outcome.STABLE
    assert [proof.numbers for proof in case.state.proofs] == [[]], "kept to be used again, without its numbers"
    assert [commit.rule for commit in case.commits] == [
        "Idle/WantedChanged",
        "Starting/CandidateReady",
        "Evaluating/GateAnswered",
        "Shadow/ShadowPassed",
        "Canary/StepApplied",
        "Canary/StepDone",
        "Canary/StepApplied",
        "Canary/StepDone",
        "AwaitingApproval/ApproveAsked",
        "Promoting/RouteApplied",
    ]


def test_shadow_and_live_of_an_earlier_plan_do_not_count_again() -> None:
    case = at(Stage.CANARY)
    case.see(1, plan=plan(canary=CANARY.model_copy(update={"steps": [CANARY.steps[0]] * 1 + CANARY.steps[1:]})))
    case.see(1, plan=plan(gates=[gate("2", "0.9")]), **live("Pass"))
    assert (case.candidate.stage, case.candidate.tests, case.candidate.step) == (Stage.EVALUATING, None, 0)
    assert case.see(1, **{**says("Pass", gate("2", "0.9")), **shadowed("NoData")}) == ["Advance"]
    assert case.candidate.stage is Stage.SHADOW
