"""Properties of gates that hold for any numbers: what is missing or unsure never passes, and nothing is asked twice."""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import find, given
from hypothesis import strategies as st

from penstock.domain.gates.judge import Asked, judge
from penstock.domain.gates.runs import Attempt, Recorded, Reuse, Start, Target, Wait, decide
from penstock.domain.gates.task import (
    MESSAGE_BYTES,
    GateResult,
    GateStatus,
    LatencyResult,
    MetricResult,
    Problem,
    SliceResult,
    SlicesResult,
    decode,
    encode,
)
from penstock.domain.gates.verdict import GateVerdict, Verdict
from tests.unit.domain.gates_given import ASKED, CHAMPION, DIGEST, FIRST, REVISION, gate

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SPEC = gate(
    {"name": "roc_auc", "min": "0.7", "slices": {"by": ["carrier"], "min": "0.5", "required": True}},
    {"name": "log_loss", "versusChampion": {"maxRegression": "0.01", "absoluteMax": "0.6"}},
    latency={"p99Milliseconds": 50},
)

numbers = st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1)
counts = st.integers(0, 10**6)
problems = st.none() | st.sampled_from(Problem)
slices = st.builds(
    SliceResult,
    slice=st.text(max_size=60),
    value=numbers,
    lower=numbers,
    upper=numbers,
    n=counts,
    p=st.none() | st.floats(0, 1),
)
GOOD_SLICES = SlicesResult(count=2, worst=[SliceResult(slice="a", value=0.6, lower=0.55, upper=0.7, n=99, p=1.0)] * 2)
GOOD = [
    MetricResult(id="roc_auc", value=0.8, lower=0.75, upper=0.85, n=900, slices=GOOD_SLICES),
    MetricResult(
        id="log_loss",
        value=0.4,
        lower=0.3,
        upper=0.5,
        n=900,
        champion=0.4,
        difference=0.0,
        difference_lower=-0.01,
        difference_upper=0.005,
    ),
]


def any_metric(id: str) -> st.SearchStrategy[MetricResult]:
    return st.builds(
        MetricResult,
        id=st.just(id),
        value=numbers,
        lower=numbers,
        upper=numbers,
        n=counts,
        problem=problems,
        champion=numbers,
        difference=numbers,
        difference_lower=numbers,
        difference_upper=numbers,
        slices=st.none()
        | st.builds(
            SlicesResult,
            count=st.integers(0, 50),
            small=counts,
            worst=st.lists(slices, max_size=5),
            problem=problems,
        ),
    )


# Every part is right or anything: so that many results are wrong in one part alone, and some in none.
results = st.builds(
    GateResult,
    status=st.sampled_from(GateStatus),
    message=st.text(max_size=600),
    rows=st.just(900) | counts,
    dataset_digest=st.sampled_from([DIGEST, DIGEST, None, "sha256:" + "b" * 64]),
    failed=st.sampled_from([0, 0, 1]),
    champion_failed=st.sampled_from([0, 0, 1]),
    answered=st.sampled_from([REVISION, REVISION, None, CHAMPION]),
    champion_answered=st.sampled_from([CHAMPION, CHAMPION, None, REVISION]),
    metrics=st.just(GOOD)
    | any_metric("roc_auc").map(lambda item: [item, GOOD[1]])
    | any_metric("log_loss").map(lambda item: [GOOD[0], item])
    | st.lists(any_metric("mae"), max_size=2),
    latency=st.just(LatencyResult(n=500, p99=30, p99_lower=25, p99_upper=40))
    | st.none()
    | st.builds(LatencyResult, n=counts, p99=numbers, p99_lower=numbers, p99_upper=numbers),
)


def test_some_results_of_the_strategy_pass() -> None:
    """Else the properties below would say nothing."""
    passing = find(results, lambda result: judge(SPEC, result, ASKED).verdict is Verdict.PASS)
    assert passing.metrics


def finite(*values: float | None) -> bool:
    return all(value is not None and math.isfinite(value) for value in values)


def shown(found: MetricResult, lower: str | None, upper: str | None) -> bool:
    """Whether the interval is one, and within what is demanded."""
    if found.problem is not None or found.n == 0 or not finite(found.value, found.lower, found.upper):
        return False
    assert found.lower is not None
    assert found.upper is not None
    above = lower is None or Decimal(repr(found.lower)) >= Decimal(lower)
    return above and (upper is None or Decimal(repr(found.upper)) <= Decimal(upper))


@given(results, st.sampled_from([ASKED, FIRST]))
def test_a_pass_rests_on_every_number_it_needs(result: GateResult, asked: Asked) -> None:
    if judge(SPEC, result, asked).verdict is not Verdict.PASS:
        return
    assert result.status is GateStatus.COMPLETE
    assert result.answered == REVISION
    assert result.dataset_digest == DIGEST
    assert result.rows
    assert not result.failed
    auc = next(item for item in result.metrics if item.id == "roc_auc")
    assert shown(auc, "0.7", None)
    assert auc.slices is not None
    assert auc.slices.count
    for item in auc.slices.worst:
        assert finite(item.value, item.lower, item.upper, item.p)
        assert item.lower is not None
        assert item.lower >= 0.5
    loss = next(item for item in result.metrics if item.id == "log_loss")
    assert shown(loss, None, "0.6")
    assert result.latency is not None
    assert result.latency.p99_upper is not None
    assert result.latency.p99_upper <= 50


@given(results, st.sampled_from([ASKED, FIRST]))
def test_the_way_through_the_pods_status_makes_no_verdict_surer(result: GateResult, asked: Asked) -> None:
    text = encode(result)
    assert len(text.encode()) <= MESSAGE_BYTES
    read = decode(text)
    assert read is not None
    before, after = judge(SPEC, result, asked).verdict, judge(SPEC, read, asked).verdict
    if after in (Verdict.PASS, Verdict.FAIL):
        assert before is after


@given(
    st.lists(
        st.tuples(st.sampled_from(["SourceUnavailable", "OutOfMemory", "WrongRevision"]), st.integers(0, 4000)),
        max_size=12,
    ),
    st.sampled_from([Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.NO_DATA]),
)
def test_attempts_go_on_until_there_is_a_result_and_no_number_comes_twice(
    errors: list[tuple[str, int]], final: Verdict
) -> None:
    target, now = Target(REVISION, DIGEST, DIGEST), NOW
    last: Attempt | None = None
    numbers_used: list[int] = []
    for reason, later in [*errors, ("", 0)]:
        due = decide(target, [], last, now)
        while isinstance(due, Wait):
            assert due.until is not None
            assert due.until > now
            assert due.until - now <= timedelta(seconds=1800)
            now = due.until
            due = decide(target, [], last, now)
        assert isinstance(due, Start)
        numbers_used.append(due.attempt)
        running = Attempt(target, due.attempt, now)
        assert isinstance(decide(target, [], running, now), Wait)
        now += timedelta(seconds=later)
        verdict = GateVerdict(Verdict.ERROR, reason, "", again=True) if reason else GateVerdict(final, "x", "")
        last = Attempt(target, due.attempt, running.started, now, None, verdict)
    assert numbers_used == sorted(set(numbers_used))
    assert decide(target, [], last, now + timedelta(days=9)) == Reuse()
    recorded = Recorded(target, numbers_used[-1], final)
    assert decide(target, [recorded], None, now) == Reuse(recorded)


@given(st.dictionaries(st.sampled_from(["status", "rows", "answered", "metrics"]), st.just(None), min_size=1))
def test_a_message_with_holes_is_no_pass(holes: dict[str, Any]) -> None:
    keys = {"status": "S", "rows": "r", "answered": "a", "metrics": "m"}
    whole = GateResult(
        status=GateStatus.COMPLETE,
        rows=10,
        dataset_digest=DIGEST,
        answered=REVISION,
        metrics=[MetricResult(id="roc_auc", value=0.9, lower=0.85, upper=0.95, n=10)],
    )
    spec = gate()
    assert judge(spec, whole, FIRST).verdict is Verdict.PASS
    content = {
        key: value
        for key, value in whole.model_dump(mode="json", by_alias=True).items()
        if key not in {keys[name] for name in holes}
    }
    read = GateResult.model_validate(content) if "S" in content else None
    assert read is None or judge(spec, read, FIRST).verdict is not Verdict.PASS
