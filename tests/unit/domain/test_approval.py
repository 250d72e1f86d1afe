"""Which command is refused and why, whose word counts, and what an approval is bound to."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from penstock.api.v1alpha1.modelaction import ActionType
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.approval import (
    Action,
    Approval,
    ApprovalPolicy,
    EvidenceSnapshot,
    GateEvidence,
    LiveEvidence,
    Question,
    Refusal,
    Standing,
    count,
    evidence_digest,
    refusal,
    rollback_target,
)
from penstock.domain.approval.rules import RULES
from tests.contract.manifests import action as manifest

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
A, B, C, D = "a" * 12, "b" * 12, "c" * 12, "d" * 12
EVIDENCE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
QUESTION = Question(B, EVIDENCE, since=NOW)
DOCS = Path(__file__).parents[3] / "docs"

# Revision B is under way since decision 5, A serves since decision 3, C served before, D was rejected.
UNDER_WAY = Standing(
    model_created=NOW - timedelta(days=1),
    sequence=9,
    candidate=B,
    stage=Stage.CANARY,
    candidate_since=5,
    wanted=B,
    stable=A,
    stable_since=3,
    previous=(C,),
    former=frozenset({A, C}),
    rejected={D: False},
)
AT_REST = replace(UNDER_WAY, candidate=None, stage=None, wanted=D)
AWAITING = replace(UNDER_WAY, stage=Stage.AWAITING_APPROVAL, question=QUESTION, unapproved=True)


def command(kind: str, revision: str | None = B, **changes: Any) -> Action:
    """A command of ann's."""
    digest = EVIDENCE if kind == "Approve" else None
    base = Action("uid", "name", ActionType(kind), revision, "ann", digest, None, "because", NOW)
    return replace(base, **changes)


ACCEPTED = [
    (command("Approve"), AWAITING),
    (command("Approve", created=NOW - timedelta(hours=1)), AWAITING),
    (command("Approve", sequence=5), AWAITING),
    (command("Reject"), UNDER_WAY),
    (command("Reject"), replace(UNDER_WAY, suspended=True)),
    (command("Reject"), replace(UNDER_WAY, stage=Stage.PENDING)),
    (command("Reject"), replace(UNDER_WAY, stage=Stage.PROMOTING)),
    (command("Reject", evidence_digest=EVIDENCE), AWAITING),
    (command("Promote"), UNDER_WAY),
    (command("Promote"), replace(UNDER_WAY, verdicts={"holdout": "Pass", "versus": "NotApplicable"})),
    (command("Promote", bypass=True), replace(UNDER_WAY, verdicts={"errors": "NoData", "fair": "Inconclusive"})),
    (command("Evaluate"), UNDER_WAY),
    (command("Evaluate", A), replace(AT_REST, gates=("holdout",))),
    (command("Evaluate", A, sequence=3), replace(AT_REST, gates=("holdout",))),
    (command("Retry", D), AT_REST),
    (command("Rollback", C), UNDER_WAY),
    (command("Rollback", None), UNDER_WAY),
    (command("Rollback", None), replace(AT_REST, suspended=True)),
    (command("Rollback", None, sequence=3), AT_REST),
    (command("Rollback", C), replace(AT_REST, previous=())),
    (command("Rollback", C), replace(UNDER_WAY, candidate=C, stage=Stage.ROLLING_BACK)),
    (command("ReleaseQuarantine", D), replace(AT_REST, rejected={D: True})),
]


@pytest.mark.parametrize(("action", "standing"), ACCEPTED)
def test_carried_out(action: Action, standing: Standing) -> None:
    assert refusal(action, standing) is None


REFUSED = [
    ("FormerModel", command("Reject", created=NOW - timedelta(days=2)), UNDER_WAY),
    ("UnknownSequence", command("Reject", sequence=10), UNDER_WAY),
    ("Suspended", command("Promote"), replace(UNDER_WAY, suspended=True)),
    ("Suspended", command("Approve"), replace(AWAITING, suspended=True)),
    ("Suspended", command("ReleaseQuarantine", D), replace(AT_REST, rejected={D: True}, suspended=True)),
    *(("NoCandidate", command(kind), AT_REST) for kind in ("Approve", "Reject", "Promote", "Evaluate")),
    *(("WrongRevision", command(kind, C), AWAITING) for kind in ("Approve", "Reject", "Promote", "Evaluate")),
    *(("Stale", command(kind, sequence=4), AWAITING) for kind in ("Approve", "Reject", "Promote", "Evaluate")),
    *(
        ("GoingBack", command(kind), replace(UNDER_WAY, stage=Stage.ROLLING_BACK))
        for kind in ("Approve", "Reject", "Promote", "Evaluate")
    ),
    ("CandidateUnderWay", command("Evaluate", A), UNDER_WAY),
    ("WrongRevision", command("Evaluate", A), replace(UNDER_WAY, evaluates_stable=False)),
    ("NoCandidate", command("Evaluate", A), replace(AT_REST, gates=("holdout",), evaluates_stable=False)),
    ("NoCandidate", command("Evaluate", C), replace(AT_REST, gates=("holdout",))),
    ("NoGates", command("Evaluate", A), AT_REST),
    ("Stale", command("Evaluate", A, sequence=2), replace(AT_REST, gates=("holdout",))),
    ("NotAwaitingApproval", command("Approve"), UNDER_WAY),
    ("EvidenceChanged", command("Approve", evidence_digest=OTHER), AWAITING),
    ("EvidenceChanged", command("Reject", evidence_digest=OTHER), AWAITING),
    ("EvidenceChanged", command("Reject", evidence_digest=EVIDENCE), UNDER_WAY),
    (
        "OwnRequest",
        command("Approve"),
        replace(
            AWAITING, question=replace(QUESTION, requesters=frozenset({"ann"})), policy=ApprovalPolicy(separation=True)
        ),
    ),
    ("RequesterUnknown", command("Approve"), replace(AWAITING, policy=ApprovalPolicy(separation=True))),
    (
        "Expired",
        command("Approve", created=NOW + timedelta(seconds=60)),
        replace(AWAITING, policy=ApprovalPolicy(expires_after=60)),
    ),
    ("AlreadyApproved", command("Approve"), replace(AWAITING, approvers=frozenset({"ann"}))),
    ("ApprovalNeeded", command("Promote"), AWAITING),
    ("ApprovalNeeded", command("Promote", bypass=True), AWAITING),
    ("EvidenceFailed", command("Promote", bypass=True), replace(UNDER_WAY, verdicts={"holdout": "Fail"})),
    *(
        ("EvidenceMissing", command("Promote"), replace(UNDER_WAY, verdicts={"holdout": verdict}))
        for verdict in ("NoData", "Inconclusive", "Error", "Pending", "SomethingNew")
    ),
    *(
        ("TooEarly", command(kind), replace(UNDER_WAY, stage=stage))
        for kind in ("Promote", "Evaluate")
        for stage in (Stage.PENDING, Stage.STARTING)
    ),
    *(("TooLate", command(kind), replace(UNDER_WAY, stage=Stage.PROMOTING)) for kind in ("Promote", "Evaluate")),
    ("NotRejected", command("Retry", C), AT_REST),
    ("Quarantined", command("Retry", D), replace(AT_REST, rejected={D: True})),
    ("NotWanted", command("Retry", D), replace(AT_REST, wanted=A)),
    ("CandidateUnderWay", command("Retry", D), replace(UNDER_WAY, wanted=D)),
    ("NoPrevious", command("Rollback", None), replace(AT_REST, previous=())),
    ("AlreadyStable", command("Rollback", A), UNDER_WAY),
    ("NeverStable", command("Rollback", D), UNDER_WAY),
    ("Quarantined", command("Rollback", None), replace(AT_REST, rejected={C: True})),
    ("CandidateUnderWay", command("Rollback", C), replace(UNDER_WAY, candidate=C)),
    ("Stale", command("Rollback", None, sequence=2), AT_REST),
    ("NotQuarantined", command("ReleaseQuarantine", D), AT_REST),
    ("NotQuarantined", command("ReleaseQuarantine", C), AT_REST),
]


@pytest.mark.parametrize(("reason", "action", "standing"), REFUSED)
def test_refused(reason: str, action: Action, standing: Standing) -> None:
    refused = refusal(action, standing)
    assert refused is not None
    assert refused.reason == reason
    assert re.fullmatch(r"[A-Za-z].*\.", refused.sentence)


@pytest.mark.parametrize("kind", ActionType)
def test_nothing_counts_without_policies_or_model(kind: ActionType) -> None:
    action = command(kind)
    found = refusal(action, AWAITING, "ValidatingAdmissionPolicy penstock-actions is missing")
    assert found is not None
    assert found.reason is Refusal.POLICY_MISSING
    assert "penstock-actions is missing" in found.sentence
    gone = refusal(action, None)
    assert gone is not None
    assert gone.reason is Refusal.MODEL_MISSING


def test_every_action_has_a_rule_and_every_refusal_a_case_and_a_line() -> None:
    assert set(RULES) == set(ActionType)
    assert {reason for reason, *_ in REFUSED} | {"PolicyMissing", "ModelMissing"} == set(Refusal)
    page = (DOCS / "actions.md").read_text()
    assert [reason for reason in Refusal if f"`{reason.value}`" not in page] == []
    assert [kind for kind in ActionType if f"| `{kind.value}` | `{kind.value.lower()}` |" not in page] == []


def test_a_rollback_goes_to_what_is_named_or_to_the_newest_former_one() -> None:
    standing = replace(AT_REST, previous=(C, D))
    assert rollback_target(command("Rollback", D), standing) == D
    assert rollback_target(command("Rollback", None), standing) == C
    assert rollback_target(command("Rollback", None), replace(standing, previous=())) is None


def approval(user: str, after: float = 0, **changes: Any) -> Approval:
    """A yes of a user, so many seconds after the question was asked."""
    base = Approval(f"uid-{user}-{after}", user, B, EVIDENCE, NOW + timedelta(seconds=after))
    return replace(base, **changes)


def rejection(user: str, after: float = 0, **changes: Any) -> Approval:
    return approval(user, after, approves=False, evidence_digest=None, **changes)


def test_different_people_count_once_each() -> None:
    votes = [approval("ann"), approval("ann", 5), approval("bob", 9)]
    state = count(votes, QUESTION, ApprovalPolicy(quorum=3), NOW)
    assert [item.user for item in state.valid] == ["ann", "bob"]
    assert (state.missing, state.approved, state.expired) == (1, False, False)
    assert {uid: item.reason for uid, item in state.refused.items()} == {"uid-ann-5": "AlreadyApproved"}
    assert count([*votes, approval("cat")], QUESTION, ApprovalPolicy(quorum=3), NOW).approved


def test_an_approval_is_for_this_revision_and_this_evidence() -> None:
    votes = [approval("ann", revision=A), approval("bob", evidence_digest=OTHER), approval("cat", evidence_digest=None)]
    state = count(votes, QUESTION, ApprovalPolicy(), NOW)
    assert (state.valid, state.missing) == ((), 1)
    assert [item.reason for item in state.refused.values()] == ["WrongRevision", "EvidenceChanged", "EvidenceChanged"]


def test_who_asked_for_it_does_not_count_where_duties_are_separated() -> None:
    question = replace(QUESTION, requesters=frozenset({"ann", "bob"}))
    votes = [approval("ann"), approval("bob"), approval("cat")]
    separated = count(votes, question, ApprovalPolicy(separation=True), NOW)
    assert [item.user for item in separated.valid] == ["cat"]
    assert {item.reason for item in separated.refused.values()} == {Refusal.OWN_REQUEST}
    together = count(votes, question, ApprovalPolicy(), NOW)
    assert [item.user for item in together.valid] == ["ann", "bob", "cat"]


def test_one_rejection_ends_it_whoever_it_is_from_and_whenever() -> None:
    question = replace(QUESTION, requesters=frozenset({"bob"}))
    policy = ApprovalPolicy(quorum=2, separation=True, expires_after=60)
    votes = [approval("ann"), approval("cat"), rejection("bob", 99)]
    state = count(votes, question, policy, NOW + timedelta(seconds=100))
    assert (state.missing, state.approved, state.expired) == (0, False, False)
    assert state.rejected_by == rejection("bob", 99)
    elsewhere = count([approval("ann"), rejection("bob", revision=A)], QUESTION, ApprovalPolicy(), NOW)
    assert elsewhere.approved
    assert elsewhere.rejected_by is None


def test_it_expires_unless_enough_people_approved_in_time() -> None:
    policy, late = ApprovalPolicy(quorum=2, expires_after=60), NOW + timedelta(seconds=60)
    votes = [approval("ann", 1), approval("bob", 59)]
    assert not count(votes[:1], QUESTION, policy, late - timedelta(seconds=1)).expired
    assert count(votes[:1], QUESTION, policy, late).expired
    in_time = count(votes, QUESTION, policy, late)
    assert (in_time.approved, in_time.expired) == (True, False)
    too_late = count([votes[0], approval("bob", 60)], QUESTION, policy, late)
    assert (too_late.approved, too_late.expired) == (False, True)
    assert too_late.refused["uid-bob-60"].sentence == (
        f"Revision {B} could be approved until 2026-03-01 12:01:00 UTC only."
    )
    assert not count([], QUESTION, ApprovalPolicy(), NOW + timedelta(days=999)).expired


def test_a_vote_is_an_approval_or_a_rejection() -> None:
    signed = Action.of(
        {**manifest(), "metadata": {"name": "x", "uid": "u", "creationTimestamp": "2026-03-01T12:00:00Z"}}
    )
    vote = Approval.of(signed)
    assert (vote.uid, vote.user, vote.revision, vote.at, vote.approves) == ("u", "ann", "0123456789ab", NOW, True)
    assert vote.evidence_digest == signed.evidence_digest
    assert not Approval.of(command("Reject")).approves
    with pytest.raises(ValueError, match="is no vote"):
        Approval.of(command("Promote"))
    with pytest.raises(ValueError, match="has no creationTimestamp"):
        Action.of(manifest())


SNAPSHOT = EvidenceSnapshot(
    model="flight-delay",
    model_uid="0f1e2d3c-0000-4000-8000-000000000001",
    revision=B,
    plan={"gates": ["holdout"], "canary": None},
    policy_version="1",
    gates=(
        GateEvidence(name="holdout", spec_hash=EVIDENCE, dataset_digest=OTHER, verdict="Pass", numbers={"auc": "0.7"}),
        GateEvidence(name="fairness", spec_hash=OTHER, verdict="Pass"),
    ),
    analysis=(LiveEvidence(name="errors", verdict="Pass", n=900, window_end=NOW, numbers={"upper": "0.001"}),),
)


def test_evidence_digest_is_what_anybody_computes() -> None:
    written = json.loads(json.dumps(SNAPSHOT.as_json()))
    digest = "sha256:" + hashlib.sha256(rfc8785.dumps(written)).hexdigest()
    assert evidence_digest(SNAPSHOT) == evidence_digest(written) == digest
    assert evidence_digest(EvidenceSnapshot.model_validate(written)) == digest


def test_the_order_of_gates_is_no_evidence() -> None:
    turned = EvidenceSnapshot.model_validate(SNAPSHOT.model_dump() | {"gates": list(reversed(SNAPSHOT.gates))})
    assert evidence_digest(turned) == evidence_digest(SNAPSHOT)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_uid": "another"},
        {"revision": A},
        {"plan": {"gates": ["holdout"], "canary": {}}},
        {"policy_version": "2"},
        {"gates": ()},
        {"gates": (SNAPSHOT.gates[1].model_copy(update={"spec_hash": OTHER}), SNAPSHOT.gates[0])},
        {"gates": (SNAPSHOT.gates[1].model_copy(update={"dataset_digest": EVIDENCE}), SNAPSHOT.gates[0])},
        {"gates": (SNAPSHOT.gates[1].model_copy(update={"numbers": {"auc": "0.71"}}), SNAPSHOT.gates[0])},
        {"shadow": LiveEvidence(name="shadow", verdict="Pass", n=1, window_end=NOW)},
        {"analysis": (SNAPSHOT.analysis[0].model_copy(update={"n": 901}),)},
        {"analysis": (SNAPSHOT.analysis[0].model_copy(update={"window_end": NOW + timedelta(seconds=1)}),)},
    ],
    ids=str,
)
def test_every_part_of_the_evidence_changes_its_digest(changes: dict[str, Any]) -> None:
    assert evidence_digest(SNAPSHOT.model_copy(update=changes)) != evidence_digest(SNAPSHOT)


def test_numbers_that_json_cannot_hold_are_no_evidence() -> None:
    wrong = SNAPSHOT.gates[0].model_copy(update={"numbers": {"auc": float("nan")}})
    with pytest.raises(rfc8785.CanonicalizationError):
        evidence_digest(SNAPSHOT.model_copy(update={"gates": (wrong,)}))
