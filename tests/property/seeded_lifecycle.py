"""Slips that could be made in the state machine, planted one at a time to see whether the random walks find them.

python -m tests.property.seeded_lifecycle [--limit SEQUENCES] [BUG ...]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.approval import rules
from penstock.domain.lifecycle import classify, evidence, people, plan
from penstock.domain.lifecycle.matrix import MATRIX
from penstock.domain.lifecycle.stages import PROTECTIVE, Event
from penstock.domain.lifecycle.transitions import back, begin, clock, forward, step
from penstock.domain.lifecycle.transitions import people as commands
from penstock.domain.lifecycle.transitions.step import Step, ignore
from tests.property.lifecycle_walks import walk

_MODULES = (rules, classify, evidence, people, plan, back, begin, clock, forward, step, commands)
LIMIT = 4000
"""Sequences after which a bug counts as not found."""


class Seed:
    """Puts things in the place of others, and back."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def name(self, owner: Any, name: str, value: Any) -> None:
        """Give a name of a module another value. Raises AttributeError if the source has no such part now."""
        old = getattr(owner, name)
        self._undo.append(lambda: setattr(owner, name, old))
        setattr(owner, name, value)

    def function(self, old: Any, new: Any) -> None:
        """Put a function in the place of another wherever that is used."""
        found = [(owner, name) for owner in _MODULES for name, value in vars(owner).items() if value is old]
        cells = [(row, event) for row in MATRIX.values() for event, cell in row.items() if cell is old]
        if not found and not cells:
            raise AttributeError(f"nobody uses {old}")
        for owner, name in found:
            self.name(owner, name, new)
        for row, event in cells:
            self._cell(row, event, new)

    def cell(self, event: Event, *stages: Stage | None) -> None:
        """Ignore an event, in some stages or in all."""
        for stage in stages or MATRIX:
            self._cell(MATRIX[stage], event, ignore)

    def _cell(self, row: Any, event: Event, new: Any) -> None:
        old = row[event]
        self._undo.append(lambda: row.__setitem__(event, old))
        row[event] = new

    def end(self) -> None:
        """Put everything back."""
        while self._undo:
            self._undo.pop()()


BUGS: dict[str, Callable[[Seed], None]] = {}


def bug(plant: Callable[[Seed], None]) -> Callable[[Seed], None]:
    """Register a bug by the name of the function that plants it."""
    BUGS[plant.__name__] = plant
    return plant


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant a bug for the time of a block."""
    seed = Seed()
    try:
        BUGS[name](seed)
        yield
    finally:
        seed.end()


@dataclass(frozen=True, slots=True)
class Hunt:
    """What became of a bug: the sequences it took, and the rule it broke (empty: not found)."""

    bug: str
    sequences: int
    rule: str


def hunt(name: str, limit: int = LIMIT) -> Hunt:
    """Walk until the bug shows."""
    with planted(name):
        for seed in range(limit):
            found = walk(seed)
            if found.broken:
                return Hunt(name, seed + 1, found.broken)
    return Hunt(name, limit, "")


def _after(old: Any, change: Callable[..., Any]) -> Any:
    """A transition whose step is changed afterwards; `change` takes the state before and the step."""

    def changed(state: Any, seen: Any, *rest: Any, **named: Any) -> Any:
        found = old(state, seen, *rest, **named)
        return found if found is None else change(state, found)

    return changed


def _of_candidate(taken: Step, **changes: Any) -> Step:
    candidate = taken.result.candidate
    if candidate is None:
        return taken
    return replace(taken, result=taken.result.model_copy(update={"candidate": candidate.model_copy(update=changes)}))


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
def no_data_is_a_pass(seed: Seed) -> None:
    """Absent evidence lets a candidate go on."""
    seed.function(plan.PASSING, plan.PASSING | {"NoData"})


@bug
def failed_gate_is_noted_only(seed: Seed) -> None:
    """A failed gate does not end a candidate."""
    seed.name(forward, "FAIL", "Failed")


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
        old, _after(old, lambda state, taken: replace(taken, result=taken.result.model_copy(update={"rejected": []})))
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
        return taken if taken is None else _of_candidate(taken, plan=candidate.plan)

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
        return _of_candidate(taken, evidence=was.evidence, approvals=was.approvals, approved=was.approved)

    seed.function(old, _after(old, change))


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


# --- plans ---


@bug
def stricter_plan_waits(seed: Seed) -> None:
    """An edit that asks for more waits for the next revision."""
    seed.cell(Event.PLAN_TIGHTENED)


@bug
def looser_plan_holds_at_once(seed: Seed) -> None:
    """Any edit of the plan holds for the candidate under way."""
    seed.function(plan.merged, lambda old, new, unproven: new)


# --- the clock ---


@bug
def clock_runs_while_suspended(seed: Seed) -> None:
    """Time in which nothing could go on counts."""
    seed.cell(Event.SUSPENDED)


@bug
def blindness_has_no_end(seed: Seed) -> None:
    """Without a source there is no deadline."""
    old = classify.deadline_of

    def changed(state: Any, seen: Any) -> Any:
        blind = state.candidate is not None and state.candidate.blind.since is not None
        return None if blind else old(state, seen)

    seed.function(old, changed)


@bug
def deadline_is_forgotten(seed: Seed) -> None:
    """A stage may last for ever."""
    seed.cell(Event.DEADLINE)


@bug
def freeze_is_forgotten(seed: Seed) -> None:
    """A candidate gets more traffic in a freeze."""
    old = step.held_up
    seed.function(old, lambda state, seen, weight: old(state, replace(seen, frozen=""), weight))


@bug
def suspension_stops_nothing(seed: Seed) -> None:
    """A suspended Model goes on."""
    seed.function(PROTECTIVE, frozenset(Event))


# --- traffic ---


@bug
def capacity_is_not_asked_for(seed: Seed) -> None:
    """A candidate gets traffic whatever its pods."""
    seed.function(step.has_capacity, lambda state, seen, weight: True)


@bug
def lost_pods_keep_their_traffic(seed: Seed) -> None:
    """A candidate that is not ready keeps its share."""
    seed.cell(Event.CANDIDATE_LOST)


@bug
def hold_ends_by_itself(seed: Seed) -> None:
    """Held traffic returns before the pods do."""
    seed.name(back, "held_up", lambda state, seen, weight: False)


@bug
def share_after_a_hold_is_the_last_step_s(seed: Seed) -> None:
    """After a hold the candidate gets the share of the last step."""
    seed.function(
        back._weight_of,
        lambda state: state.candidate.plan.canary.steps[-1].weight if state.candidate.plan.canary else 100,
    )


@bug
def refused_route_keeps_its_traffic(seed: Seed) -> None:
    """A route that the gateway refuses stays as it is."""
    seed.cell(Event.ROUTE_REFUSED)


@bug
def weights_do_not_add_up(seed: Seed) -> None:
    """The stable revision keeps all in the canary."""
    old = forward._canary_step

    def change(state: Any, taken: Step) -> Step:
        weights = {**taken.result.weights, state.stable: 100}
        return replace(taken, result=taken.result.model_copy(update={"weights": weights}))

    seed.function(old, _after(old, change))


@bug
def promotion_is_not_seen(seed: Seed) -> None:
    """A route counts as applied when it is accepted."""
    seed.function(
        classify.serves_alone, lambda seen, which: seen.route.accepted and dict(seen.route.weights) == {which: 100}
    )


@bug
def third_revision_takes_over_at_once(seed: Seed) -> None:
    """A candidate with traffic is replaced before the champion has that back."""
    seed.function(back.replace, begin.begin_candidate)


@bug
def old_revision_is_not_kept(seed: Seed) -> None:
    """After a promotion nothing is left to go back to."""
    old = forward.complete
    seed.function(
        old, _after(old, lambda state, taken: replace(taken, result=taken.result.model_copy(update={"previous": []})))
    )


@bug
def anything_is_a_way_back(seed: Seed) -> None:
    """Every candidate relies on what was never proven."""
    old = begin._begin
    seed.function(old, _after(old, lambda state, taken: _of_candidate(taken, cites=1)))


@bug
def fallback_stays_out(seed: Seed) -> None:
    """While a candidate is under way nobody stands in for the stable revision."""
    seed.cell(Event.STABLE_LOST, Stage.STARTING, Stage.EVALUATING, Stage.SHADOW, Stage.AWAITING_APPROVAL)


@bug
def fallback_stays_in(seed: Seed) -> None:
    """The stable revision does not take over again."""
    seed.cell(Event.STABLE_BACK)


@bug
def fallback_is_forgotten_by_a_rejection(seed: Seed) -> None:
    """The end of a candidate sends the traffic to a stable revision without pods."""
    seed.name(back, "champion", lambda state, seen: {state.stable: 100} if state.stable else {})


# --- what is wanted ---


@bug
def unknown_is_wanted(seed: Seed) -> None:
    """What cannot be told yet is asked for."""
    old = classify._of_the_model
    seed.function(old, lambda state, seen: old(state, replace(seen, undecided=False)))


@bug
def broken_way_back_is_tried_for_ever(seed: Seed) -> None:
    """Harm after promotion begins the same way back at every look."""
    old = begin.roll_back_stable

    def changed(state: Any, seen: Any) -> Any:
        free = [item for item in state.rejected if item.revision != state.stable]
        return old(state.model_copy(update={"rejected": free}), seen)

    seed.function(old, changed)


@bug
def smoke_is_not_asked_for(seed: Seed) -> None:
    """A prediction that was not answered yet is a good one."""
    old = classify._of_pods

    def changed(state: Any, candidate: Any, seen: Any) -> Any:
        answered = {name: replace(said, passed=said.passed is not False) for name, said in seen.smoke.items()}
        return old(state, candidate, replace(seen, smoke=answered))

    seed.function(old, changed)


def main() -> int:
    """Hunt all bugs, or those that are named; 1 if one gets away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bug", nargs="*", choices=[[], *BUGS])
    parser.add_argument("--limit", type=int, default=LIMIT)
    arguments = parser.parse_args()
    began = time.monotonic()
    hunts = []
    for name in arguments.bug or BUGS:
        found = hunt(name, arguments.limit)
        hunts.append(found)
        print(f"{name:48} {found.sequences:6} {found.rule or 'MISSED'}", flush=True)
    missed = [found.bug for found in hunts if not found.rule]
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"bugs": len(hunts), "caught": len(hunts) - len(missed), "missed": missed, "s": seconds}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
