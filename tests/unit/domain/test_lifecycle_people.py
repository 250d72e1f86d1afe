"""What people's commands do in each stage: approvals, promotion, rejection, another round, release, and refusals."""

from __future__ import annotations

import pytest

from penstock.api.v1alpha1.modelaction import ActionType
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.api.v1alpha1.rollout import ApprovalPolicy, Before
from penstock.domain.lifecycle.observed import Blocker, Failure, WorkloadView
from tests.unit.domain.given import (
    APPROVAL,
    A,
    B,
    Case,
    at,
    gate,
    healthy,
    live,
    plan,
    ready,
    revision,
    says,
    spec_hash,
)

UNDER_WAY = [
    Stage.PENDING,
    Stage.STARTING,
    Stage.EVALUATING,
    Stage.SHADOW,
    Stage.CANARY,
    Stage.AWAITING_APPROVAL,
    Stage.PROMOTING,
]
ROLLOUT = APPROVAL.model_copy(update={"before": Before.ROLLOUT})
TWO = APPROVAL.model_copy(update={"quorum": 2, "separation_of_duties": True})


def refused(case: Case) -> str:
    """Why the last command was refused."""
    return str(case.commits[-1].inputs["refused"])


def test_people_are_asked_about_a_snapshot_of_the_evidence() -> None:
    case = at(Stage.AWAITING_APPROVAL)
    record = case.commits[-1]
    assert record.inputs["evidenceDigest"] == case.candidate.evidence
    assert record.inputs["evidence"]["plan"] == plan().as_json()
    assert [item["name"] for item in record.inputs["evidence"]["gates"]] == ["quality"]
    assert [item["name"] for item in record.inputs["evidence"]["analysis"]] == ["errors"]


def test_later_samples_do_not_change_what_people_were_asked() -> None:
    case = at(Stage.AWAITING_APPROVAL)
    digest = case.candidate.evidence
    case.see(60, **live("Inconclusive", requests=5000))
    assert case.candidate.evidence == digest


def test_quorum_of_different_people() -> None:
    case = at(Stage.AWAITING_APPROVAL, plan=plan(approval=TWO))
    assert case.act("Approve", "bob") == ["Approve"]
    assert case.act("Approve", "bob") == ["Refuse"]
    assert refused(case) == "AlreadyApproved"
    assert case.act("Approve", "ann") == ["Refuse"], "who asked for it does not count"
    assert refused(case) == "OwnRequest"
    assert case.act("Approve", "eve") == ["Promote"]
    assert [item.user for item in case.candidate.approvals] == ["bob", "eve"]
    assert case.commits[-1].user == "eve"


def test_nobody_on_record_as_requester_means_nobody_can_be_told_apart() -> None:
    case = at(Stage.AWAITING_APPROVAL, plan=plan(approval=TWO), requester="")
    assert case.act("Approve") == ["Refuse"]
    assert refused(case) == "RequesterUnknown"


def test_approval_names_the_evidence() -> None:
    case = at(Stage.AWAITING_APPROVAL)
    assert case.act("Approve", evidence_digest=spec_hash("other")) == ["Refuse"]
    assert refused(case) == "EvidenceChanged"


def test_new_evidence_voids_approvals() -> None:
    case = at(Stage.AWAITING_APPROVAL, plan=plan(approval=TWO))
    case.act("Approve", "bob")
    old = case.candidate.evidence
    case.act("Evaluate", "eve")
    assert case.see(1, **says("Pass", attempt=2)) == ["Await"]
    assert (case.candidate.approvals, case.candidate.approved) == ([], False)
    assert case.candidate.evidence != old
    assert case.act("Approve", "eve", evidence_digest=old) == ["Refuse"]


def test_approval_expires_and_does_not_quarantine() -> None:
    case = at(Stage.AWAITING_APPROVAL)
    assert case.see(3599) == []
    assert case.see(1) == ["RollBack"]
    case.routed(1)
    assert (case.state.rejected[0].reason, case.state.rejected[0].quarantined) == ("NotApproved", False)


def test_approval_given_in_a_long_freeze_is_in_time() -> None:
    case = at(Stage.AWAITING_APPROVAL)
    case.see(10, frozen="It is Friday.")
    case.see(90_000)
    assert case.act("Approve") == ["Approve"], "the clock stands, and the traffic waits for the end of the freeze"
    assert case.see(1, frozen="") == ["Resume", "Promote"]


def test_before_the_rollout_people_are_asked_before_any_traffic() -> None:
    case = at(Stage.AWAITING_APPROVAL, plan=plan(approval=ROLLOUT))
    assert case.state.weights == {A: 100}
    assert case.act("Approve") == ["Advance"]
    assert case.candidate.stage is Stage.SHADOW


@pytest.mark.parametrize("stage", UNDER_WAY)
def test_reject_ends_a_candidate_in_every_stage(stage: Stage) -> None:
    case = at(stage)
    traffic = case.state.weights.get(B, 0) > 0
    assert case.act("Reject") == (["RollBack"] if traffic else ["Reject"])
    case.routed(1)
    assert (case.state.candidate, case.state.weights) == (None, {A: 100})
    assert (case.state.rejected[0].reason, case.state.rejected[0].quarantined) == ("Rejected", True)


@pytest.mark.parametrize("stage", UNDER_WAY)
def test_reject_works_while_suspended(stage: Stage) -> None:
    case = at(stage)
    case.see(1, suspended=True)
    case.act("Reject")
    case.routed(1)
    assert case.state.candidate is None


@pytest.mark.parametrize("kind", ["Approve", "Promote", "Evaluate", "Retry", "ReleaseQuarantine"])
@pytest.mark.parametrize("stage", UNDER_WAY)
def test_suspended_refuses_what_is_no_way_back(stage: Stage, kind: str) -> None:
    case = at(stage)
    case.see(1, suspended=True)
    before = case.state.candidate
    assert case.act(kind) == ["Refuse"]
    assert refused(case) == "Suspended"
    assert case.state.candidate == before


@pytest.mark.parametrize("kind", ["Approve", "Reject", "Promote", "Evaluate", "Retry", "ReleaseQuarantine", "Rollback"])
def test_without_admission_policies_nobody_is_believed(kind: str) -> None:
    case = at(Stage.AWAITING_APPROVAL)
    assert case.act(kind, seen={"blockers": (Blocker("PolicyMissing", "gone"),)}) == ["Refuse"]
    assert refused(case) == "PolicyMissing"


def test_promote_skips_soak_and_waiting_but_not_people() -> None:
    case = at(Stage.CANARY)
    case.routed(1)
    assert case.act("Promote", seen=live("Pass", requests=0)) == ["Await"]
    assert case.candidate.stage is Stage.AWAITING_APPROVAL
    assert case.act("Promote", seen=live("Pass")) == ["Refuse"]
    assert refused(case) == "ApprovalNeeded"
    assert not case.candidate.bypassed


def test_promote_without_evidence_needs_a_bypass_that_is_recorded() -> None:
    case = at(Stage.EVALUATING, plan=plan(approval=ApprovalPolicy()))
    assert case.act("Promote") == ["Refuse"]
    assert refused(case) == "EvidenceMissing"
    assert case.act("Promote", bypass=True) == ["Promote"]
    assert (case.candidate.bypassed, case.state.weights) == (True, {B: 100})
    assert case.commits[-1].inputs["bypass"] == ["analysis errors", "gate quality", "shadow"]
    assert case.commits[-1].user == "bob"


def test_promote_never_skips_a_verdict_against_it() -> None:
    case = at(Stage.CANARY, plan=plan(approval=ApprovalPolicy()))
    case.routed(1)
    assert case.act("Promote", bypass=True, seen=live("Fail"))[0] == "RollBack"


def test_promote_waits_for_the_end_of_a_freeze() -> None:
    case = at(Stage.CANARY, plan=plan(approval=ApprovalPolicy()))
    case.routed(1)
    frozen = {**live("Pass", requests=0), "frozen": "It is Friday."}
    assert case.act("Promote", seen=frozen) == ["Pause"]
    waiting = case.look.actions
    assert case.see(1, frozen="", actions=waiting, **live("Pass", requests=0)) == ["Resume", "Promote"]


@pytest.mark.parametrize("stage", [Stage.PENDING, Stage.STARTING])
def test_what_does_not_run_yet_is_neither_promoted_nor_evaluated(stage: Stage) -> None:
    case = at(stage)
    assert case.act("Promote", bypass=True) == ["Refuse"]
    assert refused(case) == "TooEarly"
    assert case.act("Evaluate") == ["Refuse"]


def test_beside_a_candidate_evaluate_is_about_that_one_only() -> None:
    case = at(Stage.CANARY)
    assert case.act("Evaluate", revision=A) == ["Refuse"]
    assert refused(case) == "CandidateUnderWay"


def rejected(reason: str) -> Case:
    """Revision b, refused while it started."""
    case = at(Stage.STARTING)
    broken = WorkloadView(present=True, failure=Failure(reason, "broken", permanent=True))
    assert case.see(1, workloads={A: ready(), B: broken}) == ["Reject"]
    case.look = at(Stage.STARTING).look
    return case


def test_retry_tries_a_rejected_revision_again() -> None:
    case = rejected("CrashLoop")
    assert case.see(1) == [], "it does not come back by itself"
    assert case.act("Retry", revision=B) == ["Start"]
    assert (case.candidate.revision, case.candidate.attempt, case.candidate.plan) == (B, 2, plan())
    assert case.candidate.requesters == ["ann", "bob"], "who has it tried again asked for it too"


def test_retry_does_not_lift_a_quarantine() -> None:
    case = rejected("DigestMismatch")
    assert case.act("Retry", revision=B) == ["Refuse"]
    assert refused(case) == "Quarantined"


def test_release_lifts_a_quarantine_and_admits_the_revision_again() -> None:
    case = rejected("DigestMismatch")
    assert case.act("ReleaseQuarantine", revision=B) == ["Release"]
    assert case.candidate.revision == B
    assert case.candidate.stage is Stage.STARTING
    assert case.state.rejected == []
    assert case.commits[-1].user == "bob"


def test_release_of_what_is_not_asked_for_any_more_starts_nothing() -> None:
    case = rejected("DigestMismatch")
    case.see(1, revision=A, spec_hash=spec_hash("a"))
    assert case.act("ReleaseQuarantine", revision=B) == ["Release"]
    assert (case.state.candidate, case.state.rejected[0].quarantined) == (None, False)
    assert case.see(1, revision=B, spec_hash=spec_hash("b")) == ["Start"]


@pytest.mark.parametrize("kind", ["Retry", "ReleaseQuarantine", "Approve", "Promote", "Evaluate", "Reject"])
def test_command_about_nothing_is_refused_and_kept(kind: str) -> None:
    case = at(Stage.PROMOTING)
    case.routed(1)
    assert case.act(kind, revision=revision("x"), evidence_digest=spec_hash("x") if kind == "Approve" else None) == [
        "Refuse"
    ]
    assert case.commits[-1].user == "bob"


def test_command_is_carried_out_once() -> None:
    case = at(Stage.CANARY)
    case.act("Evaluate")
    waiting = case.look.actions
    assert case.see(1, actions=waiting) == []
    assert case.candidate.evaluation == 2


def test_ways_back_come_before_older_commands() -> None:
    case = at(Stage.CANARY)
    case.routed(1)
    case.act("Evaluate", seen={"suspended": False})
    first, second = case.look.actions[0], case.look.actions[0]
    evaluate = first.__class__(**{**_fields(first), "uid": "0000000a-0000-0000-0000-000000000000"})
    reject = second.__class__(
        **{**_fields(second), "uid": "0000000b-0000-0000-0000-000000000000", "type": ActionType.REJECT, "reason": "no"}
    )
    assert case.see(1, actions=(evaluate, reject), existing=(evaluate.uid, reject.uid))[0] == "RollBack"


def _fields(action: object) -> dict:
    return {name: getattr(action, name) for name in action.__slots__}


def test_command_from_before_the_candidate_began_again_is_stale() -> None:
    case = at(Stage.AWAITING_APPROVAL)
    assert case.act("Reject", sequence=1) == ["RollBack"], "it began with the first decision here"
    late = at(Stage.AWAITING_APPROVAL)
    late.state = late.state.model_copy(update={"candidate": late.candidate.model_copy(update={"entered": 5})})
    assert late.act("Reject", sequence=4) == ["Refuse"]
    assert refused(late) == "Stale"


def test_approved_candidate_waits_for_pods_without_losing_its_approval() -> None:
    case = at(Stage.AWAITING_APPROVAL)
    assert case.act("Approve", seen={"workloads": {A: ready()}}) == ["Hold", "Approve"]
    assert case.candidate.approved
    assert "Promote" in case.routed(1, **{key: value for key, value in healthy(A, B).items() if key == "workloads"})


def test_plan_that_asks_for_more_voids_approvals() -> None:
    case = at(Stage.AWAITING_APPROVAL, plan=plan(approval=TWO))
    case.act("Approve", "bob")
    case.see(1, plan=plan(approval=TWO, gates=[gate("2", "0.9")]))
    assert (case.candidate.approvals, case.candidate.evidence) == ([], None)
