"""Evaluate about the stable revision: its gates are asked, the answer is written down, and nothing else follows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from penstock.api.v1alpha1.checkpoint import Checkpoint, PlannedGate, StableEvaluation
from penstock.api.v1alpha1.modelaction import ActionType
from penstock.domain.approval import Action
from penstock.domain.audit.again import differences
from penstock.domain.lifecycle import replay
from penstock.domain.lifecycle.decide import decide
from penstock.domain.lifecycle.observed import RULES_VERSION, GateFinding, LostHead
from tests.unit.domain.given import (
    NOW,
    A,
    B,
    Case,
    gate,
    healthy,
    plan,
    ready,
    routed,
    says,
    seen,
    spec_hash,
    stable,
)

SLICES = gate(name="slices")
TWO = (gate(), SLICES)
NUMBERS = ({"id": "auc", "value": "0.75", "lower": "0.74", "upper": "0.76", "verdict": "Fail"},)
REPORT = spec_hash("report")
UID = "00000001-0000-0000-0000-000000000000"


def at_rest(*, gates: Sequence[PlannedGate] = TWO, **changes: Any) -> Case:
    """Revision a serves, and the Model names gates."""
    look = seen("a", 10, created=NOW, plan=plan(gates=list(gates)), **healthy(A), **routed(A), **changes)
    case = Case(stable("a"), look, [])
    assert case.see() == []
    return case


def asked(**changes: Any) -> Case:
    """Somebody has had the gates asked about it."""
    case = at_rest(**changes)
    assert case.act("Evaluate", revision=A) == ["Noted"]
    return case


def both(first: str | None, second: str | None, **changes: Any) -> dict[str, Any]:
    """Changes to `seen`: what the two gates say."""
    one, other = says(first, **changes)["gates"], says(second, SLICES, **changes)["gates"]
    return {"gates": {**one, **other}}


def evaluation(case: Case) -> StableEvaluation:
    assert case.state.evaluation is not None
    return case.state.evaluation


def rest_of(case: Case) -> Any:
    """The state but for what was asked about the stable revision."""
    return case.state.model_copy(update={"evaluation": None, "handled": []})


def test_a_person_has_the_gates_of_now_asked() -> None:
    case = at_rest()
    before = rest_of(case)
    assert case.act("Evaluate", "cat", revision=A, reason="new rows") == ["Noted"]
    record = case.commits[-1]
    assert (record.rule, record.user) == ("Idle/EvaluateAsked", "cat")
    assert record.inputs["gates"] == ["quality", "slices"]
    assert record.inputs["bars"] == "absolute"
    assert record.message == (
        f"cat has gates quality, slices asked about the stable revision {A}, by absolute bars only: new rows"
    )
    assert (evaluation(case).revision, evaluation(case).round, evaluation(case).ended) == (A, 1, None)
    assert rest_of(case) == before
    assert case.see(1) == [], "a command is carried out once"


def test_answers_are_recorded_as_they_come_and_nothing_else_changes() -> None:
    case = asked()
    before = rest_of(case)
    found = both("Pass", None, numbers=NUMBERS, report_digest=REPORT)
    assert case.see(1, **found) == ["Proven"]
    [proof] = case.commits[-1].inputs["proofs"]
    assert (proof["verdict"], proof["evaluation"], proof["reportDigest"]) == ("Pass", 1, REPORT)
    assert proof["numbers"] == list(NUMBERS)
    assert evaluation(case).ended is None
    assert case.see(1, **found) == [], "an answer is written once"
    assert case.see(1, **both("Pass", "Inconclusive")) == ["Proven"]
    assert evaluation(case).ended == case.look.now
    assert [(item.gate, item.verdict, item.numbers) for item in evaluation(case).proofs] == [
        ("quality", "Pass", []),
        ("slices", "Inconclusive", []),
    ]
    assert case.see(1, **both("Fail", "Fail")) == [], "who is not asked answers nothing"
    assert rest_of(case) == before


def test_a_failure_is_said_and_moves_nothing() -> None:
    case = asked()
    before = rest_of(case)
    assert case.see(1, **both("Fail", "Pass")) == ["StableFailed"]
    assert case.commits[-1].message == f"The stable revision {A} fails, and keeps its traffic: gate quality: auc: Fail"
    assert rest_of(case) == before
    assert case.state.weights == {A: 100}
    assert case.state.rejected == []
    assert case.see(100_000) == []


@pytest.mark.parametrize("verdict", ["NotApplicable", "NoData", "Error"])
def test_what_says_nothing_about_it_is_an_answer_too(verdict: str) -> None:
    case = asked(gates=[gate()])
    assert case.see(1, **says(verdict)) == ["Proven"]
    assert evaluation(case).ended is not None


def test_what_has_no_answer_in_the_time_of_a_stage_is_given_up() -> None:
    case = asked()
    case.see(1, **both("Pass", None))
    assert case.see(598) == []
    assert case.see(1, **both("Pass", None)) == ["Noted"]
    assert case.commits[-1].rule == "Idle/EvaluationExpired"
    assert case.commits[-1].inputs["gates"] == ["slices"]
    assert "from gate slices (slices: auc: None)" in evaluation(case).message
    assert case.see(1, **both("Pass", "Fail")) == []


def test_what_it_waited_for_fits_into_the_record_however_long_it_is() -> None:
    case = asked()
    found = {item.name: GateFinding(item.name, spec_hash("x"), None, message="x" * 2000) for item in TWO}
    assert case.see(600, gates=found) == ["Noted"]
    assert Checkpoint.model_validate(case.state.as_json()) == case.state


def test_an_answer_that_comes_at_the_end_counts() -> None:
    case = asked()
    assert case.see(100_000, **both("Pass", "Pass")) == ["Proven"]


def test_asked_again_it_begins_anew_and_remembers_the_numbers_of_attempts() -> None:
    case = asked()
    case.see(1, **both("Pass", None, attempt=3))
    assert case.act("Evaluate", revision=A) == ["Noted"]
    assert (evaluation(case).round, [item.attempt for item in evaluation(case).proofs]) == (3, [3])
    assert case.see(1, **both("Fail", "Pass", attempt=4)) == ["StableFailed"]
    assert {(item.attempt, item.evaluation) for item in evaluation(case).proofs} == {(4, 3)}


def test_another_revision_ends_it_and_finds_no_evidence_in_it() -> None:
    case = asked()
    case.see(1, **both("Pass", None))
    other = seen("b", revision=B)
    assert case.see(1, revision=B, spec_hash=other.spec_hash) == ["Start"]
    assert case.commits[-1].inputs["givenUp"] == {"evaluation": 1, "gates": ["slices"]}
    assert evaluation(case).message == f"Given up: revision {B} is under way."
    assert case.state.proofs == []
    assert case.act("Evaluate", revision=A) == ["Refuse"]
    assert case.commits[-1].inputs["refused"] == "CandidateUnderWay"
    case.see(1, workloads={A: ready(), B: ready()}, smoke=healthy(B)["smoke"], previewed=healthy(B)["previewed"])
    assert case.act("Evaluate", revision=B) == ["Noted"], "of the candidate as ever"
    assert evaluation(case).ended is not None


def test_an_answer_is_written_down_before_another_revision_begins() -> None:
    case = asked()
    other = seen("b")
    assert case.see(1, revision=B, spec_hash=other.spec_hash, **both("Pass", "Fail")) == ["StableFailed", "Start"]


def test_without_gates_there_is_nothing_to_ask() -> None:
    case = at_rest(gates=[])
    assert case.act("Evaluate", revision=A) == ["Refuse"]
    assert case.state.evaluation is None
    assert case.commits[-1].inputs["refused"] == "NoGates"


def test_promotion_forgets_what_was_said_of_the_former_one() -> None:
    case = asked()
    case.see(1, **both("Pass", "Pass"))
    empty = plan(gates=[], shadow=None, canary=None, approval=plan().approval.model_copy(update={"required": False}))
    case.see(1, revision=B, spec_hash=seen("b").spec_hash, plan=empty)
    assert evaluation(case).revision == A
    case.see(1, **healthy(A, B))
    case.taken()
    assert (case.state.stable, case.state.evaluation) == (B, None)


def test_a_suspended_model_writes_it_down_when_it_goes_on() -> None:
    case = asked()
    assert case.see(1, suspended=True, **both("Pass", "Fail")) == []
    assert case.act("Evaluate", revision=A, seen={"suspended": True}) == ["Refuse"]
    assert case.see(10_000, suspended=False, **both("Pass", "Fail")) == ["StableFailed"]


def test_what_was_under_way_when_the_log_was_set_back_goes_on() -> None:
    case = asked()
    case.look = replace(case.look, lost=LostHead(40, spec_hash("lost")))
    commit = decide(case.state, replace(case.look, sequence=2))
    assert commit is not None
    assert (commit.verdict.value, commit.result.evaluation) == ("Restored", case.state.evaluation)


def command(revision: str) -> Action:
    """Evaluate, as an operator of before has seen it."""
    return Action(UID, "name", ActionType.EVALUATE, revision, "cat", None, None, "because", NOW)


def test_a_log_by_the_first_rules_is_replayed_by_them() -> None:
    look = replace(at_rest().look, actions=(command(A),), existing=(UID,))
    written = json.loads(json.dumps(replay.facts(look)))
    assert "rules" not in written
    old, new = (decide(stable("a"), replay.observed(written, rules)) for rules in (1, RULES_VERSION))
    assert old is not None
    assert (old.verdict.value, old.inputs["refused"]) == ("Refuse", "NoCandidate")
    assert new is not None
    assert new.verdict.value == "Noted"
    assert new == decide(stable("a"), look)


@pytest.mark.parametrize(
    ("rules", "known"), [(0, False), (1, True), (2, True), (3, False), (None, False), ("1", False)]
)
def test_which_rules_are_known(rules: Any, known: bool) -> None:
    assert replay.can_be_replayed({"rules": rules, "seen": {}}) is known


def test_a_whole_log_by_the_first_rules_comes_out_as_it_was_recorded() -> None:
    before, look = stable("a"), replace(at_rest().look, actions=(command(A),), existing=(UID,), rules=1)
    commit = decide(before, look)
    assert commit is not None
    inputs = {**commit.inputs, replay.RULES: 1, replay.SEEN: replay.facts(replace(look, rules=RULES_VERSION))}
    first: dict[str, Any] = {"sequence": 6, "inputs": {}, "rule": "x", "verdict": "y", "result": before.as_json()}
    refused = {
        "sequence": 7,
        "actor": "cat",
        "inputs": inputs,
        "rule": commit.rule,
        "verdict": commit.verdict.value,
        "result": commit.result.as_json(),
    }
    assert list(differences([first, refused])) == []
    [told] = differences([first, {**refused, "inputs": {**inputs, replay.RULES: RULES_VERSION}}])
    assert "the rule Idle/EvaluateAsked decides Noted" in told.sentence
    [told] = differences([first, {**refused, "inputs": {**inputs, replay.RULES: RULES_VERSION + 1}}])
    assert "replay it with the release that took it" in told.sentence


def test_findings_about_nobody_are_no_answer() -> None:
    found = {"quality": GateFinding("quality", spec_hash("x"), "Fail")}
    assert at_rest().see(1, gates=found) == []
