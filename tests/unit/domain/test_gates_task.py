"""What an evaluation Job is asked and how its answer survives the way through a pod's status."""

import json
import math
from decimal import Decimal

import pytest

from penstock.api.v1alpha1.evaluationgate import FairnessName, MetricName
from penstock.domain.gates.judge import judge
from penstock.domain.gates.task import (
    MESSAGE_BYTES,
    SHOWN_SLICES,
    FairnessResult,
    GateResult,
    GateStatus,
    LatencyResult,
    SlicesResult,
    decode,
    encode,
    error,
    seed_of,
)
from penstock.domain.gates.verdict import Verdict
from tests.unit.domain.gates_given import ASKED, CHAMPION, DIGEST, REVISION, gate, metric, result, slice_of


def largest() -> GateResult:
    """As much as the CRD lets a gate ask: twelve metrics with slices, twelve differences, latency, long names."""
    slices = SlicesResult(
        count=4000,
        small=900,
        worst=[slice_of(0.123456789, 0.987654321, 0.0123456789, f"{'c' * 128}={'v' * 120}{i}") for i in range(5)],
    )
    metrics = [
        metric(
            0.1234567891,
            0.9876543219,
            id=f"average_precision.{'i' * 18}{number:02}",
            n=99_999_999,
            champion=0.12345678912,
            difference=-0.0012345678912,
            difference_lower=-0.0012345678912,
            difference_upper=0.0012345678912,
            p=0.0123456789,
            slices=slices,
        )
        for number in range(12)
    ]
    fairness = [
        FairnessResult(
            name=name, column="p" * 40 + str(column), value=0.123456789, lower=0.1234567, upper=0.2, groups=90, n=10**8
        )
        for name in FairnessName
        for column in range(4)
    ]
    return result(
        *metrics,
        message="m" * 600,
        rows=99_999_999,
        fairness=fairness,
        latency=LatencyResult(n=1000, p50=1.23456789, p95=2.3456789, p99=3.456789, p99_lower=3.1, p99_upper=4.2),
        report_digest=DIGEST,
    )


def test_the_answer_comes_back_as_it_was() -> None:
    sent = result(metric(0.71, 0.74, champion=0.7, slices=SlicesResult(count=1, worst=[slice_of(0.5, 0.6, 0.01)])))
    assert decode(encode(sent)) == sent


def test_what_people_read_goes_before_what_decides() -> None:
    """Twelve requirements keep their numbers and the two slices that decide."""
    full = largest()
    some = full.model_copy(update={"metrics": full.metrics[:6], "fairness": full.fairness[:3]})
    text = encode(some)
    assert len(text.encode()) <= MESSAGE_BYTES
    read = decode(text)
    assert read is not None
    assert [item.id for item in read.metrics] == [item.id for item in some.metrics]
    assert all(item.slices is not None and 2 <= len(item.slices.worst) < SHOWN_SLICES for item in read.metrics)


def test_the_largest_answer_fits_and_never_passes_for_what_it_lost() -> None:
    text = encode(largest())
    assert len(text.encode()) <= MESSAGE_BYTES
    read = decode(text)
    assert read is not None
    spec = gate(
        *(
            {
                "name": MetricName.AVERAGE_PRECISION.value,
                "id": f"{'i' * 18}{number:02}",
                "min": "0.1",
                "slices": {"by": ["c"], "min": "0.1"},
            }
            for number in range(12)
        )
    )
    said = judge(spec, read, ASKED)
    assert said.verdict in (Verdict.ERROR, Verdict.NO_DATA)
    assert "ResultTooLarge" in (said.reason, *(item.reason for item in said.requirements))


@pytest.mark.parametrize("text", ["", "null", "[]", '{"S":"Pass"}', '{"S":"Complete","V":2}', "Complete", "x" * 5000])
def test_anything_else_is_no_answer(text: str) -> None:
    assert decode(text) is None


def test_a_bound_is_rounded_outwards() -> None:
    sent = result(metric(0.71999999999, 0.72000000001, value=0.72))
    read = decode(encode(sent))
    assert read is not None
    [item] = read.metrics
    assert item.lower is not None
    assert item.upper is not None
    assert item.lower < 0.72 < item.upper
    assert Decimal(repr(item.lower)) <= Decimal("0.71999999999")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_arrives_as_none(number: float) -> None:
    text = encode(result(metric(number, 0.9, value=number)))
    assert json.loads(text)["m"][0]["v"] is None
    read = decode(text)
    assert read is not None
    assert read.metrics[0].value is None
    assert judge(gate(), read, ASKED).reason == "MetricNotFinite"


def test_an_error_has_a_sentence_that_fits() -> None:
    answer = error("SourceNotFound", "s" * 5000, rows=3)
    assert (answer.status, len(answer.message), answer.rows) == (GateStatus.ERROR, 600, 3)
    read = decode(encode(answer))
    assert read is not None
    assert (read.status, read.reason) == (GateStatus.ERROR, "SourceNotFound")


def test_the_seed_follows_revision_gate_and_data_alone() -> None:
    seed = seed_of(REVISION, DIGEST, DIGEST)
    assert seed == seed_of(REVISION, DIGEST, DIGEST)
    assert 0 <= seed < 2**63
    others = {
        seed_of(CHAMPION, DIGEST, DIGEST),
        seed_of(REVISION, "sha256:" + "c" * 64, DIGEST),
        seed_of(REVISION, DIGEST, "s3://bucket/a.csv"),
    }
    assert len(others | {seed}) == 4
