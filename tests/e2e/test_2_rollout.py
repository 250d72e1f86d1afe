"""A second revision takes over, or is refused, while clients go on asking."""

from dataclasses import replace

import pytest

from tests.e2e.dsl import NAME
from tests.e2e.test_1_deploy import WRONG_DIGEST, tagged
from tests.e2e.world import condition_of

PORT = 8080


def test_a_second_revision_takes_over_and_the_first_comes_back_fast(given, when, then, world):
    first = given.model("logistic")
    old_pods = then.pods(first)
    with given.traffic() as traffic:
        when.spec_is("boosted")
        second = then.serves("boosted")
        when.clients_have_asked(traffic, 100)
        assert then.pods(first) == old_pods, "the old revision is kept warm"
        then.predictions_equal("boosted")
        new_pods = then.pods(second)

        when.spec_is("logistic")
        assert then.serves("logistic") == first
        when.clients_have_asked(traffic, 100)
    assert then.pods(first) == old_pods, "the way back starts no pod"
    assert then.pods(second) == new_pods
    assert {answer.revision for answer in traffic.answers} == {first, second}
    then.traffic_was_clean(traffic)
    assert then.log_is_whole() == ["Start", "Promote", "Promoted"] * 3


def test_the_old_revision_goes_when_its_window_ends(given, when, then, world):
    first = given.model("logistic", rollout={"rollbackWindowSeconds": 0})
    with given.traffic() as traffic:
        when.spec_is("boosted", rollout={"rollbackWindowSeconds": 0})
        then.serves("boosted")
        for kind in ("Pod", "Deployment", "Service"):
            world.wait(f"no {kind} is left", lambda kind=kind: not world.children(kind, NAME, first))
        when.clients_have_asked(traffic, 50)
    then.traffic_was_clean(traffic)

    answers = list(traffic.answers)
    early, late = answers[0], answers[-1]
    for forged in (
        replace(late, status=503),
        replace(late, revision=early.revision, probability=early.probability, row=early.row),
        replace(early, revision=late.revision, probability=late.probability, row=late.row),
        replace(late, probability=late.probability + 1e-3),
    ):
        traffic.answers = [*answers, forged]
        with pytest.raises(AssertionError):
            then.traffic_was_clean(traffic)


def test_a_larger_model_grows_before_it_takes_over(given, when, then, world):
    first = given.model("logistic", serving={"replicas": 2})
    with given.traffic() as traffic:
        when.spec_is("boosted", serving={"replicas": 2})
        promote = then.decided("Promote", revision=first)
        second = then.serves("boosted")
    assert promote["inputs"]["ready"] == promote["inputs"]["required"] == 2
    assert len(then.pods(second)) == 2
    then.traffic_was_clean(traffic)


def crashing(world):
    custom = {"image": world.images["busybox"], "port": PORT, "args": ["/bin/sh", "-c", "echo out of cheese; exit 3"]}
    return {"runtime": "Custom", "custom": custom}


def bad_bytes(world):
    return {"artifact": {**world.flights.artifacts["boosted"], "uri": tagged(world), "digest": WRONG_DIGEST}}


def bad_image(world):
    return {"artifact": "boosted", "serving": crashing(world)}


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [(bad_bytes, "DigestMismatch", WRONG_DIGEST), (bad_image, "CrashLoop", "exited with 3")],
    ids=["wrong digest", "crashing image"],
)
def test_a_bad_second_revision_is_refused_and_nobody_notices(given, when, then, world, spec, reason, says):
    first = given.model("logistic")
    pods = then.pods(first)
    assert list(pods.values()) == [0]
    with given.traffic() as traffic:
        when.spec_is(**spec(world))
        message = then.condition("CandidateRejected", "True", reason)
        then.condition("Progressing", "False", reason)
        then.condition("SpecServed", "False", reason)
        then.condition("Ready", "True", "Serving")
        when.clients_have_asked(traffic, 50)
    assert says in message
    assert then.pods(first) == pods
    assert {answer.revision for answer in traffic.answers} == {first}
    then.traffic_was_clean(traffic)
    assert then.log_is_whole() == ["Start", "Promote", "Promoted", "Start", "Reject"]
    assert {weight for record in world.records(NAME) for weight in record["result"]["weights"]} == {first}
    assert not condition_of(world.model(NAME), "Stalled")


def test_a_refused_revision_can_be_corrected(given, when, then, world):
    given.model("logistic")
    with given.traffic() as traffic:
        when.spec_is(**bad_image(world))
        then.condition("CandidateRejected", "True", "CrashLoop")
        when.spec_is("boosted")
        then.serves("boosted")
    assert not condition_of(world.model(NAME), "CandidateRejected")
    then.traffic_was_clean(traffic)
