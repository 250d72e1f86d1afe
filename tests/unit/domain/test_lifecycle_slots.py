"""How many rollouts may be under way at once."""

from __future__ import annotations

import pytest

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.lifecycle import slots
from tests.unit.domain.given import A, B, healthy, routed, seen, settle, stable

CROWDED = "2 rollouts are under way, as many as maxRollouts of the operator allows"


@pytest.mark.parametrize(
    ("stage", "takes"),
    [
        (Stage.PENDING, False),
        (Stage.STARTING, True),
        (Stage.EVALUATING, True),
        (Stage.SHADOW, True),
        (Stage.CANARY, True),
        (Stage.AWAITING_APPROVAL, False),
        (Stage.PROMOTING, True),
        (Stage.ROLLING_BACK, False),
    ],
)
def test_what_changes_traffic_takes_a_slot(stage: Stage, takes: bool) -> None:
    state, _ = settle(stable("a"), seen("b", 10, **healthy(A), **routed(A)))
    assert state is not None
    assert state.candidate is not None
    under_way = state.model_copy(update={"candidate": state.candidate.model_copy(update={"stage": stage})})
    assert slots.takes_slot(under_way) is takes
    assert slots.is_moving(under_way) is (stage is not Stage.PENDING)
    first = under_way.model_copy(update={"stable": None})
    assert not slots.takes_slot(first), "a first revision changes nothing"
    assert not slots.is_moving(first), "and harms nobody"
    assert not slots.is_moving(stable("a"))


def test_a_slot_is_free_below_the_limit_only() -> None:
    assert slots.sentence(stable("a"), taken=1, most=2) == ""
    assert slots.sentence(stable("a"), taken=2, most=2) == CROWDED
    assert slots.sentence(stable("a"), taken=99, most=0) == "", "0 is any number"
    assert slots.sentence(Checkpoint(), taken=99, most=2) == "", "a first revision needs none"


def test_a_crowded_cluster_keeps_a_candidate_pending() -> None:
    state, verdicts = settle(stable("a"), seen("b", 10, crowded=CROWDED, **healthy(A), **routed(A)))
    assert verdicts == ["Wait"]
    assert state is not None
    assert state.candidate is not None
    assert state.candidate.stage is Stage.PENDING
    state, verdicts = settle(state, seen("b", 9999, **healthy(A), **routed(A)))
    assert verdicts == ["Start"]


def test_a_way_back_waits_for_no_slot() -> None:
    state = stable("a")
    state, _ = settle(state, seen("b", 10, **healthy(A), **routed(A)))
    state, _ = settle(state, seen("b", 20, **healthy(A, B), **routed(A)))
    state, _ = settle(state, seen("b", 21, **healthy(A, B), **routed(B)))
    assert state is not None
    assert state.stable == B
    state, verdicts = settle(state, seen("a", 30, crowded=CROWDED, **healthy(B), **routed(B)))
    assert verdicts == ["Start"]
