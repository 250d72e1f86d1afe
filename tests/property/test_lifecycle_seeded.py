"""The random walks find bugs: a fixed sample of those that `python -m tests.property.seeded_lifecycle` plants."""

import random

import pytest

from tests.property.lifecycle_walks import walk
from tests.property.seeded_lifecycle import BUGS, hunt

# Those that show within some dozens of sequences; the campaign hunts all.
QUICK = sorted(
    {
        "gates_are_not_needed",
        "no_data_is_a_pass",
        "inconclusive_is_a_pass",
        "step_lasts_no_time",
        "harm_is_overlooked",
        "crash_is_overlooked",
        "harm_is_not_quarantined",
        "deadline_quarantines",
        "what_is_left_is_not_quarantined",
        "one_approval_is_enough",
        "requester_may_approve",
        "one_person_counts_twice",
        "promote_needs_no_approval",
        "promote_needs_no_bypass",
        "question_never_ends",
        "command_is_not_remembered",
        "reject_waits",
        "command_without_policies",
        "stricter_plan_waits",
        "looser_plan_holds_at_once",
        "deadline_is_forgotten",
        "freeze_is_forgotten",
        "suspension_stops_nothing",
        "weights_do_not_add_up",
        "promotion_is_not_seen",
        "old_revision_is_not_kept",
        "anything_is_a_way_back",
        "unknown_is_wanted",
        "failure_of_the_stable_takes_it_out",
        "failure_of_the_stable_is_not_said",
        "stable_is_asked_for_ever",
        "stable_is_asked_beside_a_candidate",
        "answer_about_the_stable_is_not_kept",
    }
)
SAMPLE = random.Random(4).sample(QUICK, 12)


@pytest.mark.parametrize("bug", SAMPLE)
def test_planted_bug_is_caught(bug: str) -> None:
    found = hunt(bug, 300)
    assert found.rule, f"{bug} was not seen in {found.sequences} sequences"
    assert not found.rule.startswith("raises")


def test_nothing_stays_planted() -> None:
    hunt("weights_do_not_add_up", 300)
    assert not walk(1).broken


def test_there_are_enough() -> None:
    assert len(BUGS) >= 25
    assert set(QUICK) <= BUGS.keys()
