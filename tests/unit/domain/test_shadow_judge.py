"""What the counts of a shadow mean: the verdicts, how often they are wrong, and how readings add up."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.api.v1alpha1.evaluationgate import EvaluationGateSpec
from penstock.api.v1alpha1.rollout import Shadow, SideEffects
from penstock.api.v1alpha1.serving import Runtime
from penstock.domain.gates.task import Disagreement
from penstock.domain.gates.verdict import Verdict
from penstock.domain.shadow.accumulate import accumulate
from penstock.domain.shadow.agreement import AnswerRule, Measure, differ
from penstock.domain.shadow.judge import ShadowReason, judge
from penstock.domain.shadow.latency import LAST_CELL, cell_of, middle_of
from penstock.domain.shadow.plan import Expectation, ShadowPlan
from penstock.domain.shadow.support import refusal
from penstock.domain.shadow.view import Blocks, Counts, Latencies, Reading, ShadowView, Tally

START = datetime(2026, 3, 1, tzinfo=UTC)
PLAN = ShadowPlan()
HOLDOUT = Expectation(12_000, 600)  # 5 %


def counts(pairs: int, disagreements: int, **more: Any) -> Counts:
    latencies = more.pop("latencies", Latencies())
    return Counts(Tally(pairs, disagreements, **more), Blocks(), latencies)


def seen(found: Counts, min_samples: int = PLAN.min_samples) -> ShadowView:
    return accumulate(ShadowView(), Reading("one", START, START, found, 1, 1), min_samples)


@pytest.mark.parametrize(
    ("found", "verdict", "reason"),
    [
        pytest.param(counts(0, 0), Verdict.NO_DATA, ShadowReason.NOTHING_SEEN, id="nothing"),
        pytest.param(counts(0, 0, unobserved=500), Verdict.NO_DATA, ShadowReason.NOTHING_SEEN, id="nothing seen"),
        pytest.param(counts(0, 0, incomparable=9), Verdict.NO_DATA, ShadowReason.NOTHING_TO_COMPARE, id="no output"),
        pytest.param(counts(1999, 90), Verdict.INCONCLUSIVE, ShadowReason.TOO_FEW, id="one short"),
        pytest.param(counts(1999, 1999), Verdict.INCONCLUSIVE, ShadowReason.TOO_FEW, id="one short, all differ"),
        pytest.param(counts(2000, 90), Verdict.PASS, ShadowReason.AGREES, id="as expected"),
        pytest.param(counts(2000, 0), Verdict.PASS, ShadowReason.AGREES, id="less than expected"),
        pytest.param(counts(2000, 130), Verdict.INCONCLUSIVE, ShadowReason.NOT_SHOWN, id="perhaps too much"),
        pytest.param(counts(2000, 260), Verdict.FAIL, ShadowReason.DISAGREES, id="too much"),
        pytest.param(counts(1900, 90, candidate_errors=170), Verdict.FAIL, ShadowReason.DISAGREES, id="errors"),
        pytest.param(counts(2000, 90, unpaired=200), Verdict.FAIL, ShadowReason.DISAGREES, id="missing answers"),
        pytest.param(counts(2000, 90, champion_errors=900), Verdict.PASS, ShadowReason.AGREES, id="champion's errors"),
        pytest.param(counts(2000, 90, unobserved=400), Verdict.PASS, ShadowReason.AGREES, id="some not seen"),
        pytest.param(
            counts(2000, 90, unobserved=2100), Verdict.INCONCLUSIVE, ShadowReason.MOSTLY_UNOBSERVED, id="most not seen"
        ),
        pytest.param(
            counts(2000, 90, incomparable=300), Verdict.INCONCLUSIVE, ShadowReason.NOTHING_TO_COMPARE, id="no output"
        ),
    ],
)
def test_verdicts(found: Counts, verdict: Verdict, reason: ShadowReason) -> None:
    told = judge(seen(found), HOLDOUT, PLAN)
    assert (told.verdict, told.reason) == (verdict, reason)
    assert told.message.endswith(".")
    if told.n:
        assert told.excess is not None
        assert told.lower is not None
        assert told.upper is not None
        assert told.lower <= told.excess <= told.upper


def test_a_better_model_may_differ_as_the_holdout_said() -> None:
    """Without a holdout that compared them nothing is expected to differ."""
    found = seen(counts(5000, 230))
    assert judge(found, HOLDOUT, PLAN).verdict is Verdict.PASS
    told = judge(found, Expectation(), PLAN)
    assert (told.verdict, told.expected) == (Verdict.FAIL, 0.0)


def test_a_small_holdout_makes_the_verdict_less_sure() -> None:
    found = seen(counts(5000, 230))
    sure, unsure = (judge(found, Expectation(rows, 0.05 * rows), PLAN) for rows in (50_000, 500))
    assert sure.lower is not None
    assert unsure.lower is not None
    assert unsure.lower < sure.lower
    assert (sure.verdict, unsure.verdict) == (Verdict.PASS, Verdict.INCONCLUSIVE)


def test_bursts_make_the_verdict_less_sure() -> None:
    """The same 4.5 % of 2000 in 20 blocks: spread evenly, or nearly all in one of them."""
    even, burst = Blocks(), Blocks()
    for block in range(20):
        even = even.with_block(100, 4 + block % 2)
        burst = burst.with_block(100, 80 if block == 7 else block % 2 + (block == 2))
    assert even.k == burst.k == 90
    verdicts = []
    for blocks in (even, burst):
        found = replace(counts(2000, blocks.k), blocks=blocks)
        verdicts.append(judge(seen(found), HOLDOUT, PLAN))
    assert verdicts[0].burst == 1.0
    assert verdicts[1].burst > 10
    assert [item.verdict for item in verdicts] == [Verdict.PASS, Verdict.INCONCLUSIVE]


@pytest.mark.parametrize(
    ("copied", "missing", "verdict"),
    [(5000, 0, Verdict.PASS), (4900, 0, Verdict.PASS), (4000, 800, Verdict.FAIL)],
)
def test_where_a_part_is_copied_only_what_is_missing_beyond_chance_counts(
    copied: int, missing: int, verdict: Verdict
) -> None:
    plan = replace(PLAN, percent=50)
    told = judge(seen(counts(copied, copied // 20, unpaired=10_000 - copied)), HOLDOUT, plan)
    assert told.missing == missing
    assert told.verdict is verdict


def spread(milliseconds: float, count: int) -> dict[int, int]:
    """Durations that double over their quantiles, as a histogram."""
    cells: dict[int, int] = {}
    for index in range(count):
        cell = cell_of(milliseconds / 1000 * (1 + index / count))
        cells[cell] = cells.get(cell, 0) + 1
    return cells


@pytest.mark.parametrize(
    ("slower", "count", "verdict"),
    [
        pytest.param(1.0, 3000, Verdict.PASS, id="as fast"),
        pytest.param(0.5, 3000, Verdict.PASS, id="faster"),
        pytest.param(1.1, 3000, Verdict.PASS, id="a little slower"),
        pytest.param(1.3, 6000, Verdict.FAIL, id="slower"),
        pytest.param(1.23, 2000, Verdict.INCONCLUSIVE, id="perhaps too slow"),
        pytest.param(4.0, 2500, Verdict.FAIL, id="far slower"),
    ],
)
def test_latency(slower: float, count: int, verdict: Verdict) -> None:
    latencies = Latencies(spread(10, count), spread(10 * slower, count))
    found = seen(counts(count, count // 20, latencies=latencies))
    told = judge(found, HOLDOUT, replace(PLAN, max_latency_increase_percent=20))
    assert told.latency is not None
    assert told.latency.factor == pytest.approx(slower, rel=0.05)
    assert told.latency.lower <= slower
    assert told.verdict is verdict
    assert judge(found, HOLDOUT, PLAN).verdict is Verdict.PASS


def test_latency_that_nobody_measured_is_no_pass() -> None:
    told = judge(seen(counts(2000, 90)), HOLDOUT, replace(PLAN, max_latency_increase_percent=20))
    assert (told.verdict, told.reason) == (Verdict.INCONCLUSIVE, ShadowReason.MAY_BE_SLOWER)


@pytest.mark.parametrize("seconds", [0.0, 1e-6, 1e-5, 0.00123, 0.2, 7.0, 300.0])
def test_cells_of_durations(seconds: float) -> None:
    cell = cell_of(seconds)
    assert 0 <= cell <= LAST_CELL
    if seconds > 1e-5:
        assert middle_of(cell) == pytest.approx(seconds, rel=0.021)


def test_an_endless_duration_is_in_the_last_cell() -> None:
    assert cell_of(1e300) == LAST_CELL


def test_false_verdicts_are_rare_whenever_one_looks() -> None:
    """A candidate exactly at the limit is failed, or passed, by at most alpha over all its looks together."""
    plan = ShadowPlan(min_samples=1000)
    random = np.random.default_rng(4)
    sequences, looks, per_look = 150, 20, 250
    failed = passed = 0
    for _ in range(sequences):
        holdout = Expectation(20_000, int(random.binomial(20_000, 0.05)))
        view, n, k, verdicts = ShadowView(), 0, 0, set()
        for _look in range(looks):
            n, k = n + per_look, k + int(random.binomial(per_look, 0.07))
            view = accumulate(view, Reading("one", START, START, counts(n, k), 1, 1), plan.min_samples)
            verdicts.add(judge(view, holdout, plan).verdict)
        failed += Verdict.FAIL in verdicts
        passed += Verdict.PASS in verdicts
    # With alpha = 0.05 more than 15 of 150 has a chance below 1 %.
    assert failed <= 15
    assert passed <= 15


# How readings of comparators add up.

TALLIES = st.builds(Tally, *[st.integers(0, 20)] * 9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(TALLIES, st.booleans(), st.booleans()), max_size=20))
def test_restarts_and_silence_lose_and_double_nothing(steps: list[tuple[Tally, bool, bool]]) -> None:
    """Each step counts a little more; some begin with another instance, some are asked twice or not heard."""
    view, instance, counted, total = ShadowView(), 0, Tally(), Tally()
    heard = Tally()
    for index, (more, restarts, silent) in enumerate(steps):
        at = START + timedelta(seconds=index)
        if restarts:
            instance, counted, total = instance + 1, Tally(), heard
        counted, total = counted.plus(more), total.plus(more)
        if silent:
            before = view.counts
            view = accumulate(view, None, 100)
            assert (view.present, view.counts) == (False, before)
            continue
        reading = Reading(str(instance), START, at, Counts(counted), 1, 1)
        view = accumulate(accumulate(view, reading, 100), reading, 100)
        heard = total
        assert view.present
        assert view.counts.tally == total
        assert ShadowView.from_json(view.as_json()).counts == view.counts
    if view.first is not None:
        assert view.first.tally.pairs + view.first.tally.candidate_errors >= 100


def test_an_older_answer_of_the_same_comparator_changes_nothing() -> None:
    view = seen(counts(10, 1))
    late = Reading("one", START, START - timedelta(seconds=5), counts(5, 0), 1, 1)
    assert accumulate(view, late, 100) == view
    less = Reading("one", START, START + timedelta(seconds=5), counts(9, 1), 1, 1)
    assert accumulate(view, less, 100) == view


def test_a_view_is_kept_as_json_across_restarts_of_the_operator() -> None:
    latencies = Latencies(spread(1, 50), spread(2, 50))
    view = seen(replace(counts(2500, 100, latencies=latencies), blocks=Blocks(3, 2500, 100, 9, 9, 9)))
    again = ShadowView.from_json(view.as_json())
    assert again == replace(view, present=False, champion_pods=0, candidate_pods=0)
    more = Reading("one", START, START + timedelta(seconds=9), view.counts, 1, 1)
    assert accumulate(again, more, 100).counts == view.counts
    for broken in ({}, {**view.as_json(), "counts": {}}, {**view.as_json(), "first": {"tally": {"pairs": -1}}}):
        with pytest.raises(ValueError, match=r"not a shadow|not the counts|whole number"):
            ShadowView.from_json(broken)


# What differs.

DECISION = AnswerRule(Measure.DECISION)


def wide(top: int, digest: str = "aa", **more: Any) -> dict[str, Any]:
    return {"values": [0.1] * 8, "size": 20, "top": top, "digest": digest, **more}


@pytest.mark.parametrize(
    ("rule", "champion", "candidate", "expected"),
    [
        pytest.param(DECISION, {"p": [0.4, 0.6]}, {"p": [0.45, 0.55]}, False, id="same side"),
        pytest.param(DECISION, {"p": [0.4, 0.6]}, {"p": [0.55, 0.45]}, True, id="flip"),
        pytest.param(replace(DECISION, tolerance=0.2), {"p": [0.6]}, {"p": [0.45]}, False, id="flip within tolerance"),
        pytest.param(replace(DECISION, threshold=0.2), {"p": [0.3]}, {"p": [0.1]}, True, id="flip at another place"),
        pytest.param(DECISION, {"p": [0.1, 0.5, 0.4]}, {"p": [0.1, 0.4, 0.5]}, True, id="another class"),
        pytest.param(DECISION, {"p": [0.1, 0.5, 0.4]}, {"p": [0.3, 0.4, 0.3]}, False, id="the same class"),
        pytest.param(DECISION, {"p": wide(3)}, {"p": wide(3, "bb")}, False, id="the same of many classes"),
        pytest.param(DECISION, {"p": wide(3)}, {"p": wide(4)}, True, id="another of many classes"),
        pytest.param(DECISION, {"label": ["late"]}, {"label": ["late"]}, False, id="the same label"),
        pytest.param(DECISION, {"label": ["late"]}, {"label": ["on time"]}, True, id="another label"),
        pytest.param(DECISION, {"label": [1]}, {"label": [0]}, True, id="another number of a class"),
        pytest.param(
            DECISION, {"label": [1], "p": [0.4, 0.6]}, {"label": [0], "p": [0.4, 0.6]}, False, id="scores win"
        ),
        pytest.param(
            replace(DECISION, output="label"), {"label": [1], "p": [0.6]}, {"label": [0], "p": [0.6]}, True, id="named"
        ),
        pytest.param(replace(DECISION, output="x"), {"p": [0.6]}, {"p": [0.6]}, None, id="named but not there"),
        pytest.param(DECISION, {"p": [0.6]}, {"q": [0.6]}, None, id="another output"),
        pytest.param(DECISION, {"p": [0.6]}, {"p": [0.4, 0.6]}, None, id="another size"),
        pytest.param(DECISION, {}, {}, None, id="nothing"),
        pytest.param(AnswerRule(Measure.NUMBER, tolerance=2.0), {"y": [10.0]}, {"y": [11.9]}, False, id="near"),
        pytest.param(AnswerRule(Measure.NUMBER, tolerance=2.0), {"y": [10.0]}, {"y": [12.1]}, True, id="far"),
        pytest.param(AnswerRule(Measure.NUMBER, tolerance=2.0), {"y": [10]}, {"y": [13]}, True, id="far, integers"),
        pytest.param(AnswerRule(), {"y": [100.0]}, {"y": [100.9]}, False, id="a number, less than 1 % off"),
        pytest.param(AnswerRule(), {"y": [100.0]}, {"y": [102.0]}, True, id="a number, more than 1 % off"),
        pytest.param(AnswerRule(), {"y": [0.0]}, {"y": [0.0]}, False, id="both zero"),
    ],
)
def test_what_differs(
    rule: AnswerRule, champion: dict[str, Any], candidate: dict[str, Any], expected: bool | None
) -> None:
    assert differ(rule, champion, candidate) is expected
    assert AnswerRule.from_json(rule.as_json()) == rule


def gate(*metrics: str, **more: Any) -> EvaluationGateSpec:
    dataset = {"uri": "s3://bucket/holdout.parquet", "format": "Parquet", "digest": "sha256:" + "a" * 64}
    return EvaluationGateSpec.model_validate(
        {"dataset": dataset, "metrics": [{"name": name, "min": "0.5"} for name in metrics], **more}
    )


def test_live_answers_are_compared_as_those_of_the_holdout_were() -> None:
    found = Disagreement(n=1000, label_flips=30, mean_absolute_difference=0.03, p95=0.1)
    assert AnswerRule.of(gate("roc_auc", threshold="0.3", output="p"), found) == AnswerRule(
        Measure.DECISION, "p", threshold=0.3
    )
    assert Expectation.of(found, AnswerRule(Measure.DECISION)) == Expectation(1000, 30)
    numbers = AnswerRule.of(gate("mae"), found)
    assert (numbers.measure, numbers.tolerance) == (Measure.NUMBER, 0.1)
    # By the meaning of a quantile.
    assert Expectation.of(found, numbers) == Expectation(1000, 50)
    assert AnswerRule.of(gate("mae"), None).measure is Measure.AUTO
    assert AnswerRule.of(None, None) == AnswerRule()
    assert Expectation.of(None, AnswerRule()) == Expectation()


# What is refused.


@pytest.mark.parametrize(
    ("champion", "candidate", "has_gateway", "can_mirror", "told"),
    [
        (Runtime.PENSTOCK, Runtime.PENSTOCK, True, True, ""),
        (Runtime.PENSTOCK, Runtime.CUSTOM, True, True, "runtime: Custom"),
        (Runtime.CUSTOM, Runtime.PENSTOCK, True, True, "runtime: Custom"),
        (Runtime.PENSTOCK, Runtime.PENSTOCK, False, False, "needs a Gateway"),
        (Runtime.PENSTOCK, Runtime.PENSTOCK, True, False, "cannot copy requests"),
    ],
)
def test_what_cannot_be_is_refused(
    champion: Runtime, candidate: Runtime, has_gateway: bool, can_mirror: bool, told: str
) -> None:
    shadow = Shadow(side_effects=SideEffects.NONE)
    refused = refusal(shadow, champion, candidate, has_gateway=has_gateway, can_mirror=can_mirror)
    assert told in refused
    assert bool(told) == bool(refused)
    bare = refusal(Shadow(), champion, candidate, has_gateway=has_gateway, can_mirror=can_mirror)
    assert "sideEffects: None" in bare


def test_the_plan_is_what_the_owner_declared() -> None:
    declared = Shadow(percent=20, min_samples=500, max_excess_disagreement="0.05", max_latency_increase_percent=30)
    plan = ShadowPlan.of(declared)
    assert asdict(plan) | {"alpha": 0.05, "latency_quantile": 0.99} == asdict(plan)
    assert (plan.percent, plan.min_samples, plan.max_excess) == (20, 500, 0.05)
    assert plan.max_latency_increase_percent == 30
