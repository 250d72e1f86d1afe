"""Slips with plans, the clock, traffic and what is wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from penstock.api.v1alpha1.modelaction import ActionType
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.lifecycle import classify, plan
from penstock.domain.lifecycle.observed import Observed
from penstock.domain.lifecycle.stages import PROTECTIVE, Event
from penstock.domain.lifecycle.transitions import back, begin, forward, restored, step
from penstock.domain.lifecycle.transitions.step import Step
from tests.property.seeded_lifecycle_planting import Seed, after, bug, of_candidate

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


@bug
def full_log_stops_nothing(seed: Seed) -> None:
    """A Model goes on however little of its log is exported."""
    seed.name(Observed, "log_blocked", property(lambda _: False))


@bug
def full_log_refuses(seed: Seed) -> None:
    """Commands are refused, one record each, while nothing is exported."""
    seed.name(classify, "WAYS_BACK", frozenset(ActionType))


@bug
def lost_decisions_change_nothing(seed: Seed) -> None:
    """The candidate goes on although nobody knows what was decided about it."""
    seed.function(restored.take_back, lambda *_: None)


@bug
def lost_quarantines_stay_lost(seed: Seed) -> None:
    """What was quarantined by lost decisions is free."""
    seed.name(restored, "_with_quarantines", lambda state, _: state)


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

    seed.function(old, after(old, change))


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
        old, after(old, lambda state, taken: replace(taken, result=taken.result.model_copy(update={"previous": []})))
    )


@bug
def anything_is_a_way_back(seed: Seed) -> None:
    """Every candidate relies on what was never proven."""
    old = begin._begin
    seed.function(old, after(old, lambda state, taken: of_candidate(taken, cites=1)))


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
