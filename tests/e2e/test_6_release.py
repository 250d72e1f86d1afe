"""A better model comes through gates, canary and approval; a worse one and one that misbehaves do not."""

from __future__ import annotations

import pytest

from hack.cluster.addons import prometheus
from hack.cluster.console import ClusterError
from tests.e2e.dsl import NAME
from tests.e2e.release import GATE, PATIENCE, SHADOW, canary, misbehaving, plan
from tests.e2e.traffic import newest_fresh

APPROVER = "olga"


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
    then.no_client_saw_an_error(traffic)
    assert {answer.revision for answer in traffic.answers} == {first, second}
    assert {answer.revision for answer in traffic.inside} == {first, second}
    assert newest_fresh(traffic.inside) == second
    verdicts = release.log_replays(then)
    assert verdicts[-2:] == ["Promote", "Promoted"]
    assert verdicts.count("Applied") == 2
    assert release.answered(release.action("Evaluate", user, revision=second, reason="again"))["state"] == "Done"
    proven = release.stable_is_evaluated()
    assert [(gate["name"], gate["verdict"]) for gate in proven["gates"]] == [(GATE, "Pass")]
    assert proven["revision"] == then.serves("boosted") == second
    assert release.log_replays(then)[-1] == "Proven"


def test_a_worse_model_fails_its_gate_and_never_gets_traffic(given, when, then, world, release):
    first = given.model("logistic")
    release.gate(metrics=[{"name": "roc_auc", "min": "0.99"}])
    with given.traffic() as traffic:
        when.spec_is("boosted", rollout=plan())
        ended = release.ends("GateFailed")
        when.clients_have_asked(traffic, 50)
    then.no_client_saw_an_error(traffic)
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
    then.clients_inside_saw_no_error(traffic)
    release.log_replays(then)


def test_an_owners_own_metric_takes_a_model_back(given, when, then, world, release):
    first = given.model("logistic")
    # Two counters that the real Prometheus has of the models' own ports: what any application could count.
    total = 'penstock_inference_requests_total{revision="$revision",role="primary"%s}'
    failed = {"events": total % ',code="500"', "total": total % "", "metricSourceRef": {"name": "prometheus"}}
    analysis = [{"name": "broken", "type": "Proportion", "margin": "0.05", **failed}]
    with given.traffic() as traffic:
        long = [{"weight": 20, "minSeconds": 600}]
        when.spec_is(misbehaving(world, "fails"), rollout={"canary": canary(long, analysis=analysis)})
        release.reaches("Canary", first)
        release.ends("CanaryHarm")
        when.clients_have_asked(traffic, 50)
    then.clients_inside_saw_no_error(traffic)
    assert {answer.revision for answer in traffic.answers[-50:]} == {first}
    assert "broken: worse than the champion" in release.condition("CandidateRejected")["message"]
    (shown,) = then.decided("RollBack")["inputs"]["analysis"]
    assert (shown["name"], shown["verdict"]) == ("broken", "Fail")
    release.log_replays(then)


def test_a_model_that_answers_otherwise_is_caught_in_the_shadow(given, when, then, world, release):
    first = given.model("logistic")
    release.gate()
    shadow = {**SHADOW, "maxExcessDisagreement": "0.05"}
    with given.traffic() as traffic:
        when.spec_is(misbehaving(world, "lies"), rollout=plan(shadow=shadow))
        caught = release.reaches("Shadow", first)
        world.wait(
            "copies are made", lambda: any("mirrorPercent" in item for item in world.model(NAME)["status"]["traffic"])
        )
        release.ends("ShadowHarm")
        when.clients_have_asked(traffic, 50)
    then.no_client_saw_an_error(traffic)
    answered = {answer.revision for answer in [*traffic.answers, *traffic.inside]}
    assert answered == {first}, "no client was answered by the candidate"
    (refused,) = [item for item in world.records(NAME)[-1]["result"]["rejected"] if item["quarantined"]]
    assert (refused["revision"], refused["reason"]) == (caught["revision"], "ShadowHarm")
    release.log_replays(then)


def test_a_good_model_passes_its_shadow(given, when, then, world, release):
    first = given.model("logistic")
    release.gate()
    with given.traffic() as traffic:
        when.spec_is("boosted", rollout={"gates": [{"name": GATE}], "shadow": SHADOW, "stageDeadlineSeconds": 600})
        release.reaches("Shadow", first)
        second = then.serves("boosted", PATIENCE)
        when.clients_have_asked(traffic, 50)
    then.no_client_saw_an_error(traffic)
    assert {answer.revision for answer in traffic.answers} == {first, second}
    release.log_replays(then)


def test_a_model_that_runs_out_of_memory_under_traffic_is_taken_back(given, when, then, world, release):
    first = given.model("logistic")
    release.gate()
    # The gateway's counters cannot tell a pod that ends from one that is taken away: the pod itself does.
    small = {"resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}}
    with given.traffic() as traffic:
        when.spec_is(misbehaving(world, "swells"), serving=small, rollout=plan())
        release.reaches("Canary", first)
        release.ends("CanaryHarm")
        when.clients_have_asked(traffic, 50)
    then.clients_inside_saw_no_error(traffic)
    assert {answer.revision for answer in traffic.answers[-50:]} == {first}
    release.log_replays(then)


def test_without_numbers_the_canary_holds_and_goes_on_when_they_are_back(given, when, then, world, release):
    first = given.model("logistic")
    with given.traffic() as traffic:
        when.spec_is("boosted", rollout={"canary": canary([{"weight": 20, "minSeconds": 5}])})
        release.reaches("Canary", first)
        prometheus.stop(world.cluster)
        try:
            then.condition("Progressing", "Unknown", "EvidenceMissing", PATIENCE)
            assert release.candidate()["stage"] == "Canary"
        finally:
            prometheus.start(world.cluster)
        then.serves("boosted", PATIENCE)
    then.no_client_saw_an_error(traffic)
    verdicts = release.log_replays(then)
    assert "RollBack" not in verdicts
    assert verdicts.count("Hold") == 1


def test_a_git_revert_during_the_canary_goes_back_at_once(given, when, then, world, release):
    first = given.model("logistic")
    slow = {"canary": canary([{"weight": 20, "minSeconds": 600}])}
    with given.traffic() as traffic:
        when.spec_is("boosted", rollout=slow)
        release.reaches("Canary", first)
        when.spec_is("logistic", rollout=slow)
        assert then.serves("logistic", PATIENCE) == first
        when.clients_have_asked(traffic, 50)
    then.no_client_saw_an_error(traffic)
    assert {answer.revision for answer in traffic.answers[-50:]} == {first}
    assert not world.records(NAME)[-1]["result"].get("rejected")
    release.log_replays(then)


def test_people_need_the_verb_and_their_own_name(given, when, then, world, release):
    user = given.user(APPROVER)
    stranger = given.user("sam", verbs=False)
    rollout = {"approval": {"required": True, "separationOfDuties": True}}
    when.spec_is("logistic", rollout=rollout, user=user, requested_by=user)
    waiting = release.reaches("AwaitingApproval")
    spec = {"revision": waiting["revision"], "evidenceDigest": waiting["evidenceDigest"]}
    with pytest.raises(ClusterError, match="may not approve"):
        release.action("Approve", stranger, **spec)
    with pytest.raises(ClusterError, match=r"spec\.user must be"):
        release.action("Approve", user, **spec, signed="olga.two")
    assert release.answered(release.action("Approve", user, **spec))["reason"] == "OwnRequest"
    other = release.action("Approve", user, revision="0" * 12, evidenceDigest=waiting["evidenceDigest"])
    assert release.answered(other)["reason"] == "WrongRevision"
    second = given.user("vera")
    assert release.approve(second)["state"] == "Done"
    then.serves("logistic", PATIENCE)
    (approval,) = [item for item in world.records(NAME) if item["actor"] == second]
    assert approval["inputs"]["evidenceDigest"] == waiting["evidenceDigest"]
    release.log_replays(then)


def test_a_rolled_back_revision_stays_away_until_it_is_released(given, when, then, world, release):
    user = given.user(APPROVER)
    first = given.model("logistic")
    when.spec_is("boosted")
    second = then.serves("boosted")
    back = release.answered(release.action("Rollback", user, reason="the desk complains"))
    assert back["state"] == "Done"
    world.wait("the first serves again", lambda: world.model(NAME)["status"]["stable"]["revision"] == first, PATIENCE)
    then.condition("SpecServed", "False", "RolledBack", PATIENCE)
    when.spec_is("boosted", card={"purpose": "touched"})
    release.answered(release.action("ReleaseQuarantine", user, revision=second, reason="it was the data"))
    when.spec_is("logistic")
    then.serves("logistic", PATIENCE)
    when.spec_is("boosted")
    assert then.serves("boosted", PATIENCE) == second
    release.log_replays(then)


def test_too_little_traffic_is_said_and_a_person_decides(given, when, then, world, release):
    user = given.user(APPROVER)
    first = given.model("logistic")
    when.spec_is("boosted", rollout={"canary": canary([{"weight": 50, "minRequests": 5000}])})
    candidate = release.reaches("Canary", first)
    said = then.condition("Progressing", "Unknown", "TooLittleTraffic", PATIENCE)
    assert "at this rate the step is done never" in said
    spec = {"revision": candidate["revision"], "reason": "nobody flies today"}
    assert release.answered(release.action("Promote", user, **spec))["reason"] == "EvidenceMissing"
    assert release.answered(release.action("Promote", user, bypass=True, **spec))["state"] == "Done"
    then.serves("boosted", PATIENCE)
    (promotion,) = [item for item in world.records(NAME) if item["actor"] == user and item["verdict"] == "Promote"]
    assert promotion["inputs"]["bypass"] == ["analysis errors"]
    release.log_replays(then)
