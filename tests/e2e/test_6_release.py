"""A better model comes through gates, canary and approval; a worse one and one that misbehaves do not."""

from __future__ import annotations

import pytest

from tests.e2e.dsl import NAME
from tests.e2e.release import GATE, Holdout, Release, canary, misbehaving
from tests.e2e.world import World

APPROVER = "olga"


@pytest.fixture(scope="module")
def made_holdout() -> dict[str, Holdout]:
    return {}


@pytest.fixture
def release(world: World, made_holdout: dict[str, Holdout]) -> Release:
    if "holdout" not in made_holdout:
        made_holdout["holdout"] = Holdout(world)
    return Release(world, made_holdout["holdout"])


def plan(**changes):
    return {"gates": [{"name": GATE}], "canary": canary(), "stageDeadlineSeconds": 600, **changes}


def test_a_better_model_is_proven_compared_approved_and_promoted(given, when, then, world, release):
    user = given.user(APPROVER)
    rollout = plan(approval={"required": True})
    release.gate()
    when.spec_is("logistic", rollout=rollout)
    assert release.approve(user)["state"] == "Done"
    first = then.serves("logistic")
    with given.traffic() as traffic:
        when.spec_is("boosted", rollout=rollout)
        release.reaches("Evaluating", first)
        release.reaches("Canary", first)
        waiting = release.reaches("AwaitingApproval", first)
        shares = {item["revision"]: item["weight"] for item in world.model(NAME)["status"]["traffic"]}
        assert shares == {first: 50, waiting["revision"]: 50}, "traffic stays as it is while people are asked"
        assert [gate["verdict"] for gate in waiting["gates"]] == ["Pass"]
        (errors,) = world.model(NAME)["status"]["analysis"]
        assert errors["verdict"] == "Pass"
        early = release.action("Approve", user, revision=waiting["revision"], evidenceDigest="sha256:" + "0" * 64)
        assert release.answered(early)["reason"] == "EvidenceChanged"
        assert release.approve(user)["state"] == "Done"
        second = then.serves("boosted")
        when.clients_have_asked(traffic, 100)
    assert not traffic.failed, f"{len(traffic.failed)} of {len(traffic.answers)} failed: {traffic.failed[:3]}"
    assert {answer.revision for answer in traffic.answers} == {first, second}
    verdicts = release.log_replays(then)
    assert verdicts[-2:] == ["Promote", "Promoted"]
    assert verdicts.count("Applied") == 2


def test_a_worse_model_fails_its_gate_and_never_gets_traffic(given, when, then, world, release):
    first = given.model("logistic")
    release.gate(metrics=[{"name": "roc_auc", "min": "0.99"}])
    with given.traffic() as traffic:
        when.spec_is("boosted", rollout=plan())
        ended = release.ends("GateFailed")
        when.clients_have_asked(traffic, 50)
    assert not traffic.failed
    assert {answer.revision for answer in traffic.answers} == {first}
    assert release.condition("SpecServed")["status"] == "False"
    assert "roc_auc" in release.condition("CandidateRejected")["message"]
    release.log_replays(then)
    when.spec_is("logistic", rollout=plan())
    then.condition("SpecServed", "True", "Serving")
    when.spec_is("boosted", rollout=plan())
    assert "quarantined" in then.condition("CandidateRejected", "True", "GateFailed") or ended


def test_a_model_that_fails_in_the_evening_is_taken_back(given, when, then, world, release):
    first = given.model("logistic")
    release.gate()
    with given.traffic() as traffic:
        when.spec_is(misbehaving(world, "fails"), rollout=plan())
        release.reaches("Canary", first)
        release.ends("CanaryHarm")
        when.clients_have_asked(traffic, 50)
    served = {answer.revision for answer in traffic.answers[-50:]}
    assert served == {first}
    assert traffic.failed, "the clients saw it too, a few times"
    assert len(traffic.failed) < len(traffic.answers) / 10
    release.log_replays(then)
