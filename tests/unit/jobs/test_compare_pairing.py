"""Joining two tracks by id: whatever the order, repetitions and losses, each request counts once and as what it was."""

from __future__ import annotations

import random
import uuid
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.shadow.agreement import AnswerRule, Measure
from penstock.domain.shadow.marking import chance_of, is_chosen
from penstock.domain.shadow.view import Tally
from penstock.jobs.compare.pairing import Answer, Pairing
from penstock.jobs.compare.visibility import Visibility

RULE = AnswerRule(Measure.DECISION)
WINDOW = 10.0
# Fates of a request: champion's status or None, candidate's status or None, whether they differ.
FATES = st.tuples(
    st.sampled_from([None, 200, 200, 200, 400, 503]), st.sampled_from([None, 200, 200, 200, 400, 500]), st.booleans()
)


def always(_at: float, _chance: int) -> bool:
    return True


def never(_at: float, _chance: int) -> bool:
    return False


def answer(number: int, status: int, score: float = 0.9, at: float = 0.0) -> Answer:
    return Answer(f"request-{number}", status, 0.01, {"score": [score]} if status == 200 else {}, at)


def expected(fates: list[tuple[int | None, int | None, bool]]) -> Tally:
    found: Counter[str] = Counter()
    for champion, candidate, differs in fates:
        if champion is None:
            found["orphans"] += candidate is not None
        elif champion != 200:
            found["champion_errors"] += 1
        elif candidate is None:
            found["unpaired"] += 1
        elif candidate != 200:
            found["candidate_errors"] += 1
        else:
            found["pairs"] += 1
            found["disagreements"] += differs
    return Tally(**found)


@settings(max_examples=150, deadline=None)
@given(fates=st.lists(FATES, max_size=60), seed=st.integers(0, 10_000), looks=st.integers(1, 5))
def test_order_repetitions_and_losses(fates: list[tuple[int | None, int | None, bool]], seed: int, looks: int) -> None:
    chosen = random.Random(seed)
    pairing = Pairing(RULE, WINDOW)
    # The first request has both answers: before it nobody knows whether copies are made.
    fates = [(200, 200, False), *fates]
    arrivals: list[tuple[bool, Answer]] = []
    for number, (champion, candidate, differs) in enumerate(fates):
        at = float(number) / 100
        if champion is not None:
            arrivals.append((True, answer(number, champion, at=at)))
            if chosen.random() < 0.3:  # a gateway that tries again, or a page that is read again
                arrivals.append((True, answer(number, champion, at=at)))
        if candidate is not None:
            arrivals.append((False, answer(number, candidate, 0.1 if differs else 0.8, at)))
    first, rest = arrivals[:2], arrivals[2:]
    chosen.shuffle(rest)
    parts = [*first, *rest]
    for index in range(looks):
        for is_champion, item in parts[index::looks]:
            (pairing.champion if is_champion else pairing.candidate)(item)
        pairing.settle(1.0, always)
    assert pairing.counts().tally == Tally()
    pairing.settle(WINDOW + 2, always)
    assert pairing.counts().tally == expected(fates)
    for is_champion, item in parts:  # too late, or again
        (pairing.champion if is_champion else pairing.candidate)(item)
    tally = pairing.counts().tally
    pairing.settle(2 * WINDOW, always)
    assert pairing.counts().tally == tally


@settings(max_examples=50, deadline=None)
@given(statuses=st.permutations([503, 200, 500]))
def test_of_a_request_that_was_tried_again_the_good_answer_counts(statuses: list[int]) -> None:
    pairing = Pairing(RULE, WINDOW)
    for index, status in enumerate(statuses):
        pairing.champion(answer(1, status, at=index / 10))
    pairing.candidate(answer(1, 200))
    pairing.settle(20.0, always)
    assert pairing.counts().tally == Tally(pairs=1)


def test_blocks_of_time_add_up_to_what_is_judged() -> None:
    pairing = Pairing(RULE, WINDOW)
    for number in range(200):
        at = number / 5  # 40 s, in 8 blocks
        pairing.champion(answer(number, 200, at=at))
        if number % 10 != 3:
            pairing.candidate(answer(number, 500 if number % 10 == 7 else 200, 0.1 if number % 4 == 0 else 0.8, at))
    pairing.settle(200.0, always)
    counts = pairing.counts()
    tally, blocks = counts.tally, counts.blocks
    assert blocks.count == 8
    assert blocks.n == tally.pairs + tally.candidate_errors + tally.unpaired == 200
    assert blocks.k == tally.disagreements + tally.candidate_errors + tally.unpaired
    assert blocks.n_squared == 8 * 25**2
    assert blocks.k_squared >= blocks.k**2 / 8


def test_what_is_missing_while_only_a_part_is_copied_makes_no_block() -> None:
    pairing = Pairing(RULE, WINDOW, percent=50)
    for number in range(10):
        pairing.champion(answer(number, 200))
        if number % 2 == 0:
            pairing.candidate(answer(number, 200))
    pairing.settle(100.0, always)
    assert (pairing.counts().tally.unpaired, pairing.counts().blocks.n) == (5, 5)


def test_what_could_not_be_seen_is_unobserved() -> None:
    pairing = Pairing(RULE, WINDOW)
    pairing.champion(answer(1, 200))
    pairing.candidate(answer(1, 200))
    pairing.champion(answer(2, 200))
    pairing.settle(100.0, never)
    assert pairing.counts().tally == Tally(pairs=1, unobserved=1)


def test_answers_without_anything_to_compare_are_told_apart() -> None:
    pairing = Pairing(RULE, WINDOW)
    pairing.champion(Answer("a", 200, 0.01, {"score": [0.9]}, 0.0))
    pairing.candidate(Answer("a", 200, 0.01, {"other": [0.9]}, 0.0))
    pairing.settle(100.0, always)
    assert pairing.counts().tally == Tally(incomparable=1)


def test_memory_is_bounded_and_both_tracks_lose_the_same_ids() -> None:
    pairing = Pairing(RULE, WINDOW, max_pending=100)
    identifiers = [str(uuid.UUID(int=random.Random(number).getrandbits(128))) for number in range(2000)]
    for take in (pairing.champion, pairing.candidate):
        for identifier in identifiers:
            take(Answer(identifier, 200, 0.01, {"score": [0.9]}, 0.0))
    pairing.settle(100.0, always)
    tally = pairing.counts().tally
    assert 25 <= tally.pairs <= 100
    assert (tally.unpaired, tally.unobserved, tally.orphans) == (0, 0, 0)


@given(st.uuids(), st.integers(0, 19))
def test_what_a_level_keeps_every_lower_one_keeps(identifier: uuid.UUID, level: int) -> None:
    chance = chance_of(str(identifier).encode())
    assert is_chosen(chance, 0)
    assert is_chosen(chance, level) or not is_chosen(chance, level + 1)


@pytest.mark.parametrize("level", [1, 3, 6])
def test_a_level_keeps_its_part_of_the_ids(level: int) -> None:
    random_bits = random.Random(5)
    count = 40_000
    kept = sum(
        is_chosen(chance_of(str(uuid.UUID(int=random_bits.getrandbits(128), version=4)).encode()), level)
        for _ in range(count)
    )
    share = 2.0**-level
    assert abs(kept - count * share) < 5 * (count * share * (1 - share)) ** 0.5


@pytest.mark.parametrize(
    ("at", "seen"),
    [
        pytest.param(100.0, True, id="all was seen"),
        pytest.param(45.0, False, id="blind when its copy was answered"),
        pytest.param(38.0, False, id="blind while it was waited for"),
        pytest.param(59.0, False, id="blind shortly before, when the copy was sent"),
        pytest.param(61.0, True, id="blind long before"),
        pytest.param(10.0, True, id="blind long after"),
    ],
)
def test_blind_times(at: float, seen: bool) -> None:
    visibility = Visibility(WINDOW)
    visibility.blind(40.0, 45.0)
    visibility.blind(45.0, 50.0)
    assert visibility.is_visible(at, 0) is seen


def test_an_id_that_a_ring_may_have_left_out_is_not_missed() -> None:
    visibility = Visibility(WINDOW)
    visibility.level(50.0, 3)
    visibility.level(80.0, 0)
    assert not visibility.is_visible(45.0, 0b100)
    assert visibility.is_visible(45.0, 0b1000)
    assert visibility.is_visible(80.0, 0b100)
    visibility.forget(1000.0)
    assert visibility.is_visible(45.0, 0b100)
