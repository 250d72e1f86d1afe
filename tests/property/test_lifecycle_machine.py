"""Random events and faults against the state machine: what must never happen, never happens.

`lifecycle_world` is what can be seen, `lifecycle_moves` what can happen, `lifecycle_never` what is judged. Hypothesis
looks for short sequences that break a rule; the random walks are lighter and go on where it stops
(`make property-campaign`).
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.property.lifecycle_moves import ALL_MOVES, Move, goes_well
from tests.property.lifecycle_walks import begin, comes_to_an_end, walk
from tests.property.lifecycle_world import PLANS, World

SAMPLE = range(400)


class Rollouts(RuleBasedStateMachine):
    """A Model, its cluster, its people, and the log."""

    @initialize(plan=st.sampled_from(PLANS), beside=st.booleans())
    def begin(self, plan: dict[str, Any], beside: bool) -> None:
        """Make a Model with one of several plans, new or with a revision that serves."""
        self.world = begin(plan, beside=beside)

    @rule(move=st.sampled_from(list(dict.fromkeys(ALL_MOVES))), looks=st.booleans(), data=st.data())
    def something_happens(self, move: Move, looks: bool, data: st.DataObject) -> None:
        """One of all moves; the operator may or may not look before the next."""
        move(self.world, lambda options: data.draw(st.sampled_from(list(options))))
        if looks:
            self.world.decide()

    @rule(looks=st.integers(1, 4), data=st.data())
    def all_goes_well(self, looks: int, data: st.DataObject) -> None:
        """The candidate comes forward, so that late stages are reached."""
        for _ in range(looks):
            goes_well(self.world, lambda options: data.draw(st.sampled_from(list(options))))
            self.world.decide()


Rollouts.TestCase.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
TestRollouts = Rollouts.TestCase


@pytest.mark.parametrize("part", range(4))
def test_random_walks_break_no_rule(part: int) -> None:
    broken = [found for seed in SAMPLE[part::4] if (found := walk(seed)).broken]
    assert not broken, f"seed {broken[0].seed}: {broken[0].detail}"


def test_a_candidate_with_every_stage_comes_to_its_end() -> None:
    world = World(rollout=dict(PLANS[2]))
    comes_to_an_end(world, random.Random(1).choice)
    assert world.state is not None
    assert world.state.stable is not None
