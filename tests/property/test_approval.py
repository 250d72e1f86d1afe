"""Approvals in any number, order and repetition: nothing is approved that should not be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from penstock.api.v1alpha1.modelaction import ActionType
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.approval import Action, Approval, ApprovalPolicy, Question, Standing, count, refusal
from penstock.domain.approval.rules import WAYS_BACK

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REVISIONS = ("a" * 12, "b" * 12, "c" * 12)
DIGESTS = ("sha256:" + "1" * 64, "sha256:" + "2" * 64)
USERS = ("ann", "bob", "cat", "dan")

users = st.sampled_from(USERS)
revisions = st.sampled_from(REVISIONS)
digests = st.sampled_from(DIGESTS)
moments = st.integers(-100, 100).map(lambda seconds: NOW + timedelta(seconds=seconds))
votes = st.builds(
    Approval,
    uid=st.uuids(version=4).map(str),
    user=users,
    revision=revisions,
    evidence_digest=st.one_of(st.none(), digests),
    at=moments,
    approves=st.sampled_from([True, True, True, False]),
)
policies = st.builds(
    ApprovalPolicy,
    quorum=st.integers(1, 4),
    separation=st.booleans(),
    expires_after=st.one_of(st.none(), st.integers(1, 100)),
)
questions = st.builds(
    Question, revision=revisions, evidence_digest=digests, since=moments, requesters=st.frozensets(users, max_size=2)
)


@given(st.lists(votes, max_size=12), questions, policies, moments, st.randoms(use_true_random=False))
def test_what_is_approved_was_approved_by_enough_others_for_this_evidence(
    found: list[Approval], question: Question, policy: ApprovalPolicy, now: datetime, random: object
) -> None:
    state = count(found, question, policy, now)
    people = {item.user for item in state.valid}
    assert len(people) == len(state.valid)
    for item in state.valid:
        assert item.approves
        assert (item.revision, item.evidence_digest) == (question.revision, question.evidence_digest)
        if policy.separation:
            assert item.user not in question.requesters
            assert question.requesters
    assert state.missing == max(0, policy.quorum - len(people))
    said_no = [item for item in found if not item.approves and item.revision == question.revision]
    if state.approved:
        assert len(people) >= policy.quorum
        assert all(item.evidence_digest not in (None, question.evidence_digest) for item in said_no)
    assert not (state.approved and state.expired)
    assert len(state.valid) + len(state.refused) + len([item for item in found if not item.approves]) >= len(found)


@given(st.lists(votes, max_size=8), questions, policies, moments, st.data())
def test_order_and_repetition_do_not_matter(
    found: list[Approval], question: Question, policy: ApprovalPolicy, now: datetime, data: st.DataObject
) -> None:
    again = data.draw(st.permutations([*found, *found[:3]]))
    assert count(again, question, policy, now) == count(found, question, policy, now)


@given(st.lists(votes, max_size=8), votes, questions, policies, moments)
def test_another_yes_takes_nothing_away_and_time_takes_no_approval_back(
    found: list[Approval], another: Approval, question: Question, policy: ApprovalPolicy, now: datetime
) -> None:
    before = count(found, question, policy, now)
    if before.approved:
        assert count([*found, replace(another, approves=True)], question, policy, now).approved
        assert count(found, question, policy, now + timedelta(days=9)).approved


@given(st.lists(votes, max_size=8), questions, policies, moments, digests)
def test_other_evidence_voids_every_approval(
    found: list[Approval], question: Question, policy: ApprovalPolicy, now: datetime, digest: str
) -> None:
    changed = replace(question, evidence_digest="sha256:" + "3" * 64)
    assert count(found, changed, policy, now).valid == ()


optional = st.one_of(st.none(), revisions)
actions = st.builds(
    Action,
    uid=st.just("uid"),
    name=st.just("name"),
    type=st.sampled_from(ActionType),
    revision=revisions,
    user=users,
    evidence_digest=st.one_of(st.none(), digests),
    sequence=st.one_of(st.none(), st.integers(1, 9)),
    reason=st.just("because"),
    created=moments,
    bypass=st.booleans(),
)
standings = st.builds(
    Standing,
    model_created=moments,
    sequence=st.integers(1, 9),
    candidate=optional,
    stage=st.sampled_from(Stage),
    candidate_since=st.integers(0, 9),
    wanted=optional,
    stable=optional,
    stable_since=st.integers(0, 9),
    previous=st.lists(revisions, max_size=2, unique=True).map(tuple),
    former=st.frozensets(revisions),
    rejected=st.dictionaries(revisions, st.booleans()),
    suspended=st.booleans(),
    question=st.one_of(st.none(), questions),
    policy=policies,
    approvers=st.frozensets(users),
    unapproved=st.booleans(),
    verdicts=st.dictionaries(
        st.sampled_from(["holdout", "errors"]), st.sampled_from(["Pass", "Fail", "NoData", "Inconclusive", "Error"])
    ),
)


@given(actions, standings)
def test_what_is_carried_out_is_what_the_rules_allow(action: Action, standing: Standing) -> None:
    if refusal(action, standing) is not None:
        return
    assert not standing.suspended or action.type in WAYS_BACK
    assert action.created >= standing.model_created
    if action.type in (ActionType.APPROVE, ActionType.REJECT, ActionType.PROMOTE):
        assert action.revision == standing.candidate
    if action.type is ActionType.APPROVE:
        assert standing.question is not None
        assert action.evidence_digest == standing.question.evidence_digest
        assert not (standing.policy.separation and action.user in standing.question.requesters)
    if action.type is ActionType.PROMOTE:
        assert "Fail" not in standing.verdicts.values()
        assert not standing.unapproved
        assert action.bypass or set(standing.verdicts.values()) <= {"Pass"}
    if action.type in (ActionType.ROLLBACK, ActionType.RETRY):
        assert not standing.rejected.get(action.revision or "")


@given(actions, standings)
def test_the_answer_is_the_same_each_time_and_a_whole_sentence(action: Action, standing: Standing) -> None:
    refused = refusal(action, standing)
    assert refused == refusal(action, standing)
    assert refused is None or (refused.sentence.endswith(".") and len(refused.sentence) < 512)
