"""What goes wrong in other rollout controllers, by the number under which their users describe it, does not here.

Only what the state machine decides is tested here; routes, pods and Jobs have tests of their own.
"""

from __future__ import annotations

import pytest

from penstock.api.v1alpha1.modelstatus import Outcome, Stage
from penstock.api.v1alpha1.rollout import ApprovalPolicy
from penstock.domain.lifecycle.desired import desired
from penstock.domain.lifecycle.observed import Blocker, Failure, WorkloadView
from tests.unit.domain.given import (
    CANARY,
    A,
    B,
    C,
    at,
    gate,
    healthy,
    live,
    plan,
    ready,
    revision,
    says,
    shadowed,
    spec_hash,
)


def test_end_without_a_single_measurement_is_no_pass() -> None:
    """argo-rollouts analysis.go: a run that is ended before its first measurement is Successful."""
    case = at(Stage.CANARY, plan=plan(approval=ApprovalPolicy()))
    case.routed(1)
    for _ in range(3):
        case.routed(61, **live("NoData"))
    assert (case.candidate.step, case.state.weights) == (1, {A: 50, B: 50})
    assert case.see(600, **live("NoData")) == ["RollBack"]


def test_errors_and_absent_values_never_add_up_to_a_pass() -> None:
    """argo-rollouts #4479: with the count reached, measurements that all failed or erred are Successful."""
    case = at(Stage.EVALUATING)
    for attempt in range(1, 6):
        assert "Advance" not in case.see(1, **says("NoData", attempt=attempt))
    assert case.candidate.stage is Stage.EVALUATING


def test_no_number_is_no_verdict() -> None:
    """argo-rollouts #1466, #2101: NaN and an empty result pass or err by the form of the expression."""
    case = at(Stage.SHADOW)
    assert case.see(1, **shadowed("NoData")) == []
    assert case.see(600)[-1] == "Reject"
    assert case.state.rejected[0].reason != "ShadowHarm"


def test_blink_of_the_metric_store_does_not_end_a_healthy_candidate() -> None:
    """argo-rollouts #1905: pause and resume instead of an abort; flagger counts one hiccup as a failed check."""
    case = at(Stage.CANARY)
    case.routed(1)
    for _ in range(10):
        case.see(5, **live(sighted=False, requests=0))
        case.see(5, **live(requests=0))
    assert (case.candidate.stage, case.state.weights) == (Stage.CANARY, {A: 95, B: 5})
    assert case.candidate.blind.seconds == 50


def test_edited_steps_do_not_silently_begin_again() -> None:
    """argo-rollouts sync.go: an edit of the steps resets a running rollout to its first step."""
    case = at(Stage.CANARY)
    case.routed(1)
    case.see(61, **live())
    looser = CANARY.model_copy(update={"steps": CANARY.steps[:1]})
    assert case.routed(1, plan=plan(canary=looser)) == ["Applied"]
    assert (case.candidate.step, case.state.weights) == (1, {A: 50, B: 50})


def test_edit_that_asks_for_more_is_recorded_with_both_plans() -> None:
    """argo-rollouts sync.go: nobody can see what the rollout was measured by."""
    case = at(Stage.CANARY)
    case.see(1, plan=plan(gates=[gate("2", "0.9")]))
    record = next(item for item in case.commits if item.verdict.value == "Reconsider")
    assert {"old", "new"} <= set(record.inputs)


def test_bad_stable_revision_does_not_block_the_fix() -> None:
    """argo-rollouts #1774, #995, #1733, #3110: a stable revision without ready pods blocks the good canary."""
    case = at(Stage.EVALUATING, plan=plan(shadow=None, canary=None, approval=ApprovalPolicy()))
    assert case.see(1, workloads={B: ready()}, **says("Pass")) == ["Promote"]
    assert case.routed(1) == ["Promoted"]
    assert case.state.stable == B


def test_promotion_names_who_what_and_on_which_evidence() -> None:
    """argo-rollouts promote is an anonymous patch of status; openkruise/rollouts #352; kargo #3440."""
    case = at(Stage.AWAITING_APPROVAL)
    case.act("Approve", "eve")
    record = case.commits[-1]
    assert record.user == "eve"
    assert record.inputs["action"]["type"] == "Approve"
    assert record.inputs["evidenceDigest"] == case.candidate.evidence


def test_full_promotion_does_not_skip_what_failed_or_people() -> None:
    """argo-rollouts #2648: promote-full skips all analysis and every pause."""
    case = at(Stage.SHADOW)
    assert case.act("Promote", bypass=True) == ["Await"]
    assert case.state.weights == {A: 100}


def test_suspended_rollout_still_takes_a_new_spec_when_it_goes_on() -> None:
    """argo-rollouts #1690, #3256: a paused rollout whose spec changes stays stuck."""
    case = at(Stage.CANARY)
    case.see(1, suspended=True)
    assert case.see(1, revision=C, spec_hash=spec_hash("c")) == []
    assert case.routed(1, suspended=False)[:2] == ["Resume", "RollBack"]
    case.routed(1)
    assert case.candidate.revision == C


def test_inconclusive_holds_once_and_ends() -> None:
    """argo-rollouts #3015, #261: an inconclusive run pauses again and again, or for ever."""
    case = at(Stage.EVALUATING)
    assert case.see(1, **says("Inconclusive")) == ["Proven"]
    assert case.see(1, **says("Inconclusive")) == []
    assert case.see(600) == ["Reject"]


def test_failed_analysis_stops_the_rollout() -> None:
    """argo-rollouts #1411, #943: the rollout goes on although an analysis failed."""
    case = at(Stage.CANARY)
    case.routed(1)
    assert case.see(61, **live("Fail"))[0] == "RollBack"


def test_stable_keeps_its_size_until_the_route_has_moved() -> None:
    """argo-rollouts #1415, #2050, #3565: stable scaled to 0 under traffic."""
    for stage in (Stage.CANARY, Stage.PROMOTING, Stage.ROLLING_BACK):
        case = at(stage)
        sizes = {item.revision: item.replicas for item in desired(case.state, case.look).workloads}
        assert sizes[A] == case.look.replicas


def test_spec_that_was_taken_back_is_not_started_again_by_itself() -> None:
    """argo-cd #9570: after a rollback the automation promotes the bad version again."""
    case = at(Stage.CANARY)
    case.routed(1)
    case.see(1, **live("Fail"))
    case.routed(1)
    for _ in range(3):
        assert case.routed(3600, **healthy(A, B)) == []
    assert case.state.stable == A


def test_same_revision_can_be_tried_again_by_name() -> None:
    """flagger #862: after a rollback the same image cannot be deployed again without a dummy edit."""
    case = at(Stage.STARTING)
    broken = WorkloadView(present=True, failure=Failure("CrashLoop", "exit 1", permanent=True))
    case.see(1, workloads={A: ready(), B: broken})
    assert case.act("Retry", revision=B, seen={"workloads": {A: ready()}}) == ["Start"]
    assert case.commits[-1].user == "bob"


def test_gate_that_does_not_answer_has_an_end() -> None:
    """flagger #738: a confirmation that never comes waits for ever."""
    waiting = at(Stage.AWAITING_APPROVAL)
    assert waiting.see(3600) == ["RollBack"]
    gates = at(Stage.EVALUATING)
    assert gates.see(600) == ["Reject"]


def test_harm_while_people_are_asked_rolls_back() -> None:
    """flagger #1801: while an increase of traffic waits for its confirmation, a breach does not roll back."""
    case = at(Stage.AWAITING_APPROVAL)
    assert case.see(1, **live("Fail")) == ["RollBack"]


def test_rollback_asks_nobody() -> None:
    """flagger's rollback hook: unreachable, there is no rollback. Here nothing has to answer."""
    case = at(Stage.CANARY)
    case.routed(1)
    everything_wrong = {"blockers": (Blocker("PolicyMissing", "gone"),), "frozen": "It is Friday."}
    assert case.see(1, **everything_wrong, **live("Fail")) == ["Pause", "RollBack"]


def test_third_revision_gives_the_traffic_back_first() -> None:
    """flagger #784, #30: a new revision during the analysis restarts it in place."""
    case = at(Stage.CANARY)
    assert case.see(1, revision=C, spec_hash=spec_hash("c")) == ["RollBack"]
    case.routed(1)
    assert (case.candidate.revision, case.state.weights) == (C, {A: 100})
    assert case.state.history[0].outcome is Outcome.SUPERSEDED


def test_broken_champion_is_not_what_a_promotion_goes_back_to() -> None:
    """flagger #1931: an unready primary while promoting takes the traffic from the good canary."""
    case = at(Stage.PROMOTING)
    assert case.see(1, workloads={B: ready()}) == []
    assert case.state.weights == {B: 100}
    assert case.routed(1) == ["Promoted"]


def test_same_spec_in_other_words_starts_nothing() -> None:
    """flagger #1673, #1923: an upgrade changed every hash, and unchanged workloads got canaries."""
    case = at(Stage.PROMOTING)
    case.routed(1)
    assert case.see(1, requester="eve", replicas=3, plan=plan(gates=[])) == []


def test_what_cannot_be_read_is_not_what_has_changed() -> None:
    """flagger #989: an error while a ConfigMap was read started a canary."""
    case = at(Stage.PROMOTING)
    case.routed(1)
    assert case.see(1, undecided=True, revision="0" * 12, spec_hash=spec_hash("unreadable")) == []


def test_time_to_scale_is_not_a_failure_of_the_revision() -> None:
    """flagger #944: the progress deadline is hit during scaling, and the revision is bad for ever."""
    case = at(Stage.STARTING, replicas=1)
    case.see(1, replicas=5, workloads={A: ready(5), B: ready(3)})
    assert case.see(600) == ["Reject"]
    assert not case.state.rejected[0].quarantined


def test_full_capacity_before_all_the_traffic() -> None:
    """flagger #381, argo-rollouts #4347: all traffic goes to what has not the pods for it."""
    case = at(Stage.EVALUATING, plan=plan(shadow=None, canary=None, approval=ApprovalPolicy()))
    assert case.see(1, replicas=5, workloads={A: ready(5), B: ready(4)}, **says("Pass")) == ["Proven"]
    assert case.see(1, workloads={A: ready(5), B: ready(5)}) == ["Promote"]


@pytest.mark.parametrize("stage", [Stage.STARTING, Stage.EVALUATING, Stage.SHADOW, Stage.CANARY, Stage.PROMOTING])
def test_deadline_holds_whatever_is_waited_for(stage: Stage) -> None:
    """flagger #1247, #1578: two hours stuck with a deadline of 180 s."""
    case = at(stage)
    case.see(2 * 600, **live(sighted=False))
    case.see(2 * 600, **live(sighted=False))
    case.taken()
    assert case.state.candidate is None


def test_rolled_back_revision_is_held_until_a_named_release() -> None:
    """kargo autoPromotionHolds: the one answer of others that is kept here."""
    case = at(Stage.PROMOTING)
    case.routed(1)
    case.act("Rollback", revision=None)
    case.taken()
    assert case.state.stable == A
    other = {"revision": revision("c"), "spec_hash": spec_hash("c")}
    case.see(1, **other)
    case.see(1, revision=B, spec_hash=spec_hash("b"))
    assert case.state.candidate is None
    assert "Release" in case.act("ReleaseQuarantine", revision=B)
    assert case.candidate.revision == B


def test_manual_approval_is_no_way_around_verification() -> None:
    """kargo: an approval is a bypass of verification and soak."""
    case = at(Stage.EVALUATING)
    assert case.act("Approve", evidence_digest=spec_hash("any")) == ["Refuse"]
    assert case.candidate.stage is Stage.EVALUATING
