"""Slips with evidence, quarantine and what people say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.approval import rules
from penstock.domain.lifecycle import classify, evidence, people, plan
from penstock.domain.lifecycle.stages import Event
from penstock.domain.lifecycle.transitions import back, begin, clock, forward, stable, step
from penstock.domain.lifecycle.transitions import people as commands
from penstock.domain.lifecycle.transitions.step import Step
from tests.property.seeded_lifecycle_planting import Seed, after, bug, of_candidate

# --- evidence ---


@bug
def gates_are_not_needed(seed: Seed) -> None:
    """A candidate goes on without its gates."""
    seed.function(plan.missing_gates, lambda candidate: [])


@bug
def proof_of_an_older_gate_counts(seed: Seed) -> None:
    """What a gate said before it was edited counts."""
    seed.function(plan._passed, lambda proof, _: proof is not None and proof.verdict in plan.PASSING)


@bug
def inconclusive_is_a_pass(seed: Seed) -> None:
    """Nobody is asked about an inconclusive verdict."""
    seed.function(plan.PASSING, plan.PASSING | {"Inconclusive"})


@bug
def numbers_that_never_come_are_waited_for(seed: Seed) -> None:
    """A candidate whose server counts nothing is kept in front of clients."""
    old = clock.evidence_lost
    seed.function(old, lambda state, seen: old(state, replace(seen, live=replace(seen.live, unmeasurable=False))))


@bug
def no_data_is_a_pass(seed: Seed) -> None:
    """Absent evidence lets a candidate go on."""
    seed.function(plan.PASSING, plan.PASSING | {"NoData"})


@bug
def failed_gate_is_noted_only(seed: Seed) -> None:
    """A failed gate does not end a candidate."""
    seed.name(forward, "FAIL", "Failed")


@bug
def failure_of_the_stable_takes_it_out(seed: Seed) -> None:
    """What the stable revision fails is held against it."""
    seed.function(
        stable.record,
        after(
            stable.record,
            lambda state, taken: (
                replace(taken, result=taken.result.model_copy(update={"weights": {}}))
                if taken.verdict.value == "StableFailed"
                else taken
            ),
        ),
    )


@bug
def failure_of_the_stable_is_not_said(seed: Seed) -> None:
    """A gate that the stable revision fails is noted like any other."""
    seed.name(stable, "FAIL", "Failed")


@bug
def stable_is_asked_for_ever(seed: Seed) -> None:
    """A gate that never answers about the stable revision is waited for."""
    seed.cell(Event.EVALUATION_EXPIRED)


@bug
def stable_is_asked_beside_a_candidate(seed: Seed) -> None:
    """The evaluation of the stable revision goes on when another one is begun."""
    seed.name(stable, "given_up", lambda state, *_: state.evaluation)


@bug
def answer_about_the_stable_is_not_kept(seed: Seed) -> None:
    """What a gate answered about the stable revision is recorded again and again."""
    old = stable.record

    def forgets(state: Any, seen: Any) -> Any:
        taken = old(state, seen)
        if taken is None or taken.result.evaluation is None:
            return taken
        evaluation = taken.result.evaluation.model_copy(update={"proofs": [], "ended": None})
        return replace(taken, result=taken.result.model_copy(update={"evaluation": evaluation}))

    seed.function(stable.record, forgets)


@bug
def nothing_compared_is_a_pass(seed: Seed) -> None:
    """NotApplicable counts beside a stable revision."""
    seed.name(forward, "NOT_APPLICABLE", "Never")


@bug
def edited_gate_keeps_its_verdict(seed: Seed) -> None:
    """Promote trusts what a gate said before it asked for more."""
    old = evidence.verdicts

    def changed(state: Any, seen: Any) -> Any:
        found = old(state, seen)
        for proof in state.candidate.proofs if state.candidate else ():
            found[f"gate {proof.gate}"] = proof.verdict
        return found

    seed.function(old, changed)


@bug
def shadow_is_left_out(seed: Seed) -> None:
    """The plan's shadow is forgotten."""
    old = plan.stages
    seed.function(old, lambda state: [stage for stage in old(state) if stage is not Stage.SHADOW])


@bug
def canary_goes_to_its_last_step(seed: Seed) -> None:
    """The first step of a canary is its last."""
    old = forward._canary_step

    def changed(state: Any, seen: Any, index: int, *rest: Any) -> Any:
        return old(state, seen, len(state.candidate.plan.canary.steps) - 1, *rest)

    seed.function(old, changed)


def _step_is_done(change: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Seed], None]:
    def plant(seed: Seed) -> None:
        old = classify._step_is_done
        seed.function(old, lambda candidate, seen: old(*change(candidate, seen)))

    return plant


@bug
def step_lasts_no_time(seed: Seed) -> None:
    """minSeconds is forgotten."""

    def change(candidate: Any, seen: Any) -> tuple[Any, Any]:
        if candidate.applied_at is None:
            return candidate, seen
        return candidate.model_copy(update={"applied_at": candidate.applied_at - timedelta(days=1)}), seen

    _step_is_done(change)(seed)


@bug
def step_needs_no_requests(seed: Seed) -> None:
    """minRequests is forgotten."""
    _step_is_done(lambda candidate, seen: (candidate, replace(seen, live=replace(seen.live, requests=10**9))))(seed)


@bug
def step_ends_unseen(seed: Seed) -> None:
    """A step is left while nothing is measured."""

    def change(candidate: Any, seen: Any) -> tuple[Any, Any]:
        blind = candidate.blind.model_copy(update={"since": None})
        return candidate.model_copy(update={"blind": blind}), replace(seen, live=replace(seen.live, sighted=True))

    _step_is_done(change)(seed)


@bug
def last_step_needs_no_proof(seed: Seed) -> None:
    """The last step is left like any other."""

    def change(candidate: Any, seen: Any) -> tuple[Any, Any]:
        passed = tuple(replace(item, verdict="Pass") for item in seen.live.findings)
        return candidate, replace(seen, live=replace(seen.live, findings=passed))

    _step_is_done(change)(seed)


@bug
def harm_is_overlooked(seed: Seed) -> None:
    """Harm in the canary has no effect."""
    seed.cell(Event.HARM_SHOWN, Stage.CANARY)


@bug
def harm_waits_for_people(seed: Seed) -> None:
    """While people are asked, nobody looks."""
    seed.cell(Event.HARM_SHOWN, Stage.AWAITING_APPROVAL)


@bug
def crash_is_overlooked(seed: Seed) -> None:
    """Pods that end by themselves are no harm."""
    seed.cell(Event.CANDIDATE_CRASHED)


# --- quarantine ---


@bug
def harm_is_not_quarantined(seed: Seed) -> None:
    """What did harm may come back."""
    seed.name(back, "QUARANTINED_REASONS", back.QUARANTINED_REASONS - {Reason.CANARY_HARM})


@bug
def deadline_quarantines(seed: Seed) -> None:
    """What was slow once never comes back."""
    seed.name(back, "QUARANTINED_REASONS", back.QUARANTINED_REASONS | {Reason.DEADLINE_EXCEEDED})


@bug
def quarantine_ends_by_asking_again(seed: Seed) -> None:
    """The spec brings a quarantined revision back."""
    seed.name(begin, "quarantine_of", lambda state, revision: None)


@bug
def retry_of_what_is_quarantined(seed: Seed) -> None:
    """Retry does the work of ReleaseQuarantine."""
    old = rules._retry
    seed.name(
        rules,
        "RULES",
        {**rules.RULES, rules.ActionType.RETRY: lambda action, where: old(action, _unquarantined(where))},
    )


def _unquarantined(where: Any) -> Any:
    return replace(where, rejected=dict.fromkeys(where.rejected, False))


@bug
def what_is_left_is_not_quarantined(seed: Seed) -> None:
    """The revision that a person left comes back with the next edit."""
    old = begin._go_back
    seed.function(
        old, after(old, lambda state, taken: replace(taken, result=taken.result.model_copy(update={"rejected": []})))
    )


# --- people ---


@bug
def one_approval_is_enough(seed: Seed) -> None:
    """The quorum is forgotten."""
    old = commands.approve

    def changed(state: Any, seen: Any) -> Any:
        candidate = state.candidate
        approval = candidate.plan.approval.model_copy(update={"quorum": 1})
        lax = candidate.model_copy(update={"plan": candidate.plan.model_copy(update={"approval": approval})})
        taken = old(state.model_copy(update={"candidate": lax}), seen)
        return taken if taken is None else of_candidate(taken, plan=candidate.plan)

    seed.function(old, changed)


@bug
def requester_may_approve(seed: Seed) -> None:
    """Duties are not separated."""
    old = rules.objection
    seed.function(
        old, lambda vote, question, policy, *rest: old(vote, question, replace(policy, separation=False), *rest)
    )


@bug
def one_person_counts_twice(seed: Seed) -> None:
    """Whose approval counts already is forgotten."""
    old = people.standing
    seed.function(old, lambda state, seen: replace(old(state, seen), approvers=frozenset()))


@bug
def approval_of_other_evidence_counts(seed: Seed) -> None:
    """An approval is not bound to what was looked at."""
    old = rules.objection
    seed.function(
        old,
        lambda vote, question, *rest: old(vote, replace(question, evidence_digest=vote.evidence_digest), *rest),
    )


@bug
def approvals_outlive_new_evidence(seed: Seed) -> None:
    """A new result of a gate leaves the approvals as they are."""
    old = forward.record_proofs

    def change(state: Any, taken: Step) -> Step:
        was = state.candidate
        if was.stage is not Stage.AWAITING_APPROVAL or taken.result.candidate is None:
            return taken
        return of_candidate(taken, evidence=was.evidence, approvals=was.approvals, approved=was.approved)

    seed.function(old, after(old, change))


@bug
def approval_before_traffic_outlives_new_evidence(seed: Seed) -> None:
    """A new result of a gate under live traffic asks nobody."""
    seed.function(
        plan.asked_before_traffic,
        lambda candidate: (
            candidate.stage not in (Stage.SHADOW, Stage.CANARY)
            and (plan.needs_approval(candidate) and candidate.plan.approval.before.value == "Rollout")
        ),
    )


@bug
def promote_needs_no_approval(seed: Seed) -> None:
    """Promote skips the people too."""
    old = people.standing
    seed.function(old, lambda state, seen: replace(old(state, seen), unapproved=False))


@bug
def promote_needs_no_bypass(seed: Seed) -> None:
    """Promote skips missing evidence without saying so."""
    old = people.standing
    seed.function(
        old,
        lambda state, seen: replace(
            old(state, seen),
            verdicts={name: said for name, said in old(state, seen).verdicts.items() if said == "Fail"},
        ),
    )


@bug
def question_never_ends(seed: Seed) -> None:
    """Approvals do not expire."""
    seed.cell(Event.APPROVAL_EXPIRED)


@bug
def command_is_not_remembered(seed: Seed) -> None:
    """A command is carried out whenever it is seen."""
    seed.function(step.handled, lambda state, seen, action: list(state.handled))


@bug
def wrong_command_waits_for_ever(seed: Seed) -> None:
    """A command without effect is not refused."""
    seed.cell(Event.ACTION_REFUSED)


@bug
def reject_waits(seed: Seed) -> None:
    """A Reject has no effect while people are asked."""
    seed.cell(Event.REJECT_ASKED, Stage.AWAITING_APPROVAL)


@bug
def command_without_policies(seed: Seed) -> None:
    """Commands are believed although nobody's name is proven."""
    old = people.refusal_of
    seed.function(old, lambda action, state, seen: old(action, state, replace(seen, blockers=())))
