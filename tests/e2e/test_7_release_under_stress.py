"""A release goes on, or back, whatever happens around it: kills, pauses, edits, forgery, a slow model, a broken one."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from tests.e2e.audit import OPERATOR
from tests.e2e.conduct import WINDY
from tests.e2e.dsl import NAME
from tests.e2e.release import ERRORS, PATIENCE, SHADOW, STEPS, canary, misbehaving, plan
from tests.e2e.traffic import PER_SECOND, Traffic, newest_fresh
from tests.e2e.world import SECURE, Json, World, condition_of, dump

APPROVER = "olga"
FREEZE = {"freeze": [{"schedule": "* * * * *", "durationSeconds": 3600}]}
# What the model server gets in the scenarios about memory, and a wind that no flight had.
SMALL = {"resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}}
STORM = 2000.0
# A step that does not end while a test looks at it.
LONG = [{"weight": 20, "minSeconds": 600}]
# A release with every stage, from its start to its end, as its decisions.
FULL_WAY = [
    "Start",
    "Advance",  # to Evaluating
    "Advance",  # to Shadow
    "Advance",  # to Canary
    "Applied",
    "Advance",  # to the next step
    "Applied",
    "Await",
    "Promote",
    "Promoted",
]


def shares(world: World) -> dict[str, int]:
    """Who gets how many of 100 requests, by the Model's status."""
    return {item["revision"]: item["weight"] for item in world.model(NAME)["status"]["traffic"]}


def verdicts(world: World) -> list[str]:
    """What was decided since the first revision served."""
    return [record["verdict"] for record in world.records(NAME)][3:]


def jobs(world: World) -> list[Json]:
    """The Jobs of gates that are there."""
    return world.api.list("batch/v1", "Job", world.namespace)


def test_a_model_that_is_slow_in_the_evening_is_taken_back(given, when, then, world, release):
    first = given.model("logistic")
    release.gate()
    latency = {"name": "latency", "type": "Latency", "maxIncreasePercent": 50}
    with given.traffic() as traffic:
        when.spec_is(misbehaving(world, "dawdles"), rollout=plan(canary=canary(LONG, analysis=[ERRORS, latency])))
        release.reaches("Canary", first)
        release.ends("CanaryHarm")
        when.clients_have_asked(traffic, 50)
    then.clients_inside_saw_no_error(traffic)
    assert {answer.revision for answer in traffic.answers[-50:]} == {first}
    assert "latency: worse than the champion" in release.condition("CandidateRejected")["message"]
    shown = then.decided("RollBack")["inputs"]["analysis"]
    assert {item["name"]: item["verdict"] for item in shown}["latency"] == "Fail"
    release.log_replays(then)


def test_a_release_survives_the_operator_in_every_stage(given, when, then, world, release, operator):
    user = given.user(APPROVER)
    first = given.model("logistic")
    release.gate()
    steps = [{**step, "minSeconds": 5} for step in STEPS]
    with given.traffic() as traffic:
        rollout = plan(shadow=SHADOW, canary=canary(steps), approval={"required": True})
        when.spec_is("boosted", rollout=rollout)
        # A container that ends twice waits before it starts again, so pods are taken in turn with processes.
        for stage, how in {
            "Evaluating": "killed",
            "Shadow": "deleted",
            "Canary": "killed",
            "AwaitingApproval": "deleted",
        }.items():
            release.reaches(stage, first)
            former = operator.holder()
            with operator.dies(how):
                pass
            assert release.candidate()["stage"] == stage
            operator.leads_again(after=former)
        assert release.approve(user)["state"] == "Done"
        second = then.serves("boosted")
        when.clients_have_asked(traffic, PER_SECOND)
    then.no_client_saw_an_error(traffic)
    assert {answer.revision for answer in traffic.answers} == {first, second}
    assert release.log_replays(then)[3:] == FULL_WAY
    began = [
        event["regarding"]["name"] for event in then.events("SuccessfulCreate") if event["regarding"]["kind"] == "Job"
    ]
    assert len(began) == 2, f"one Job of the gate and one of the shadow, not {began}"


def test_what_is_forged_is_refused_and_what_is_wiped_is_rebuilt(given, when, then, world, release, operator):
    user = given.user("mallory")
    first = given.model("logistic")
    release.gate()
    with given.traffic() as traffic:
        when.spec_is("boosted", rollout=plan(canary=canary([{"weight": 20, "minSeconds": 20}])))
        job = world.wait("the gate's Job exists", lambda: jobs(world))[0]["metadata"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["name"], "uid": job["uid"], "controller": True}
        forged = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "forged", "labels": job["labels"], "ownerReferences": [owner]},
            "spec": {"containers": [{"name": "evaluate", "image": "example.com/forged", "securityContext": SECURE}]},
        }
        said = then.refused("create", "-f", "-", user=user, input=dump(forged))
        assert "come from the Job controller alone" in said
        second = release.reaches("Canary", first)["revision"]
        world.wait("it gets its share", lambda: shares(world) == {first: 80, second: 20})
        before = world.model(NAME)["status"]
        wipe = ("patch", "model", NAME, "--subresource=status", "--type=merge", "--patch", '{"status": null}')
        assert "written by the operator alone" in then.refused(*wipe, user=user)
        former = operator.holder()
        with operator.dies("deleted"):
            pass
        # As the operator, which cannot read a status apart from its Model as kubectl does: an administrator can.
        world.kubectl(f"--as={OPERATOR}", "--as-group=system:masters", *wipe)
        assert "stable" not in world.model(NAME)["status"]
        operator.leads_again(after=former)
        release.reaches("Canary", first)
        after = world.model(NAME)["status"]
        for field in ("wanted", "url", "history", "traffic"):
            assert after[field] == before[field], field
        assert shares(world) == {first: 80, second: 20}
        assert then.serves("boosted") == second
        when.clients_have_asked(traffic, PER_SECOND)
    then.no_client_saw_an_error(traffic)
    assert "Start" not in release.log_replays(then)[4:], "nothing was begun again"


def test_a_pause_holds_a_release_in_every_stage(given, when, then, world, release):
    user = given.user(APPROVER)
    first = given.model("logistic")
    release.gate()
    rollout = plan(shadow=SHADOW, canary=canary(), approval={"required": True})
    suspended, frozen = {"rollout": rollout, "suspend": True}, {"rollout": rollout | FREEZE}

    def evaluated() -> bool:
        return [condition_of(job, "Complete").get("status") for job in jobs(world)] == ["True"]

    def compared() -> bool:
        return int(world.model(NAME)["status"].get("shadow", {}).get("pairs", 0)) >= SHADOW["minSamples"]

    def asked() -> bool:
        shown = world.model(NAME)["status"].get("analysis", [])
        return bool(shown) and int(shown[0]["n"]) >= STEPS[0]["minRequests"]

    def approval() -> Json:
        waiting = release.candidate()
        spec = {"revision": waiting["revision"], "evidenceDigest": waiting["evidenceDigest"]}
        return dict(release.answered(release.action("Approve", user, **spec)))

    def held(stage: str, because: str, seconds: int = 1) -> None:
        """The candidate stays in its stage and step."""
        then.condition("Progressing", "Unknown", because)
        step = release.candidate().get("step")
        when.clients_have_asked(traffic, seconds * PER_SECOND)
        now = release.candidate()
        assert (now["stage"], now.get("step")) == (stage, step)

    with given.traffic() as traffic:
        when.spec_is("boosted", rollout=rollout)
        release.reaches("Evaluating", first)
        when.spec_is("boosted", **suspended)
        world.wait("the gate has answered", evaluated)
        held("Evaluating", "Suspended")  # a freeze holds up traffic alone, and a shadow is none
        when.spec_is("boosted", rollout=rollout)
        for stage, ripe in {"Shadow": compared, "Canary": asked}.items():
            release.reaches(stage, first)
            when.spec_is("boosted", **suspended)
            held(stage, "Suspended", seconds=10)
            when.spec_is("boosted", **frozen)
            world.wait(f"{stage} could be left", ripe)
            held(stage, "Frozen")
            when.spec_is("boosted", rollout=rollout)
        release.reaches("AwaitingApproval", first)
        when.spec_is("boosted", **suspended)
        then.condition("Progressing", "Unknown", "Suspended")
        assert approval()["reason"] == "Suspended"
        when.spec_is("boosted", **frozen)
        then.condition("Progressing", "Unknown", "Frozen")
        assert approval()["state"] == "Done"
        held("AwaitingApproval", "Frozen")
        when.spec_is("boosted", rollout=rollout)
        then.serves("boosted")
    then.no_client_saw_an_error(traffic)
    found = release.log_replays(then)
    assert found.count("Pause") == found.count("Resume") == 4
    for former, record in pairwise(world.records(NAME)):
        if "pausedSince" in record["result"].get("candidate", {}):
            assert record["result"]["weights"] == former["result"]["weights"], "a pause moves no traffic"


def test_edits_under_way_ask_anew_and_a_third_model_waits_for_the_champion(given, when, then, world, release):
    first = given.model("logistic")
    release.gate()

    def asked_anew(auc: str, times: int) -> Json:
        """The gate asks for more; returns the decision that begins with it again."""
        release.gate(metrics=[{"name": "roc_auc", "min": auc}])
        world.wait("it is begun again", lambda: verdicts(world).count("Reconsider") == times)
        return next(record for record in reversed(world.records(NAME)) if record["verdict"] == "Reconsider")

    with given.traffic() as traffic:
        when.spec_is(misbehaving(world, "lies"), rollout=plan(canary=canary(LONG)))
        release.reaches("Evaluating", first)
        edited = asked_anew("0.82", times=1)
        assert edited["inputs"]["old"]["gates"] != edited["inputs"]["new"]["gates"]
        second = release.reaches("Canary", first)["revision"]
        world.wait("it gets its share", lambda: shares(world) == {first: 80, second: 20})
        edited = asked_anew("0.85", times=2)
        assert edited["result"]["weights"] == {first: 100}
        release.reaches("Canary", first)
        world.wait("it gets its share", lambda: shares(world) == {first: 80, second: 20})
        when.spec_is("boosted", rollout=plan())
        third = then.serves("boosted", PATIENCE)
        when.clients_have_asked(traffic, PER_SECOND)
    then.no_client_saw_an_error(traffic)
    records = world.records(NAME)
    assert all(set(record["result"]["weights"]) != {second, third} for record in records)
    back = next(record for record in records if record["verdict"] == "RollBack")
    assert (back["inputs"]["reason"], back["result"]["weights"]) == ("Superseded", {first: 100})
    assert not records[-1]["result"].get("rejected")
    asked = [proof["specHash"] for record in records for proof in record["inputs"].get("proofs", [])]
    assert len(asked) >= 3
    assert len(set(asked)) == 2, "the edited gate answered for both, the first form of it for nobody"
    release.log_replays(then)


def test_a_champion_that_fails_requests_keeps_no_healthy_candidate_out(given, when, then, world, release):
    broken = misbehaving(world, "fails", on=WINDY)
    first = given.model(broken)
    release.gate()
    with given.traffic() as traffic:
        when.spec_is("boosted", rollout=plan())
        release.reaches("Canary", first)
        then.serves("boosted", PATIENCE)
        when.clients_have_asked(traffic, PER_SECOND)
    assert traffic.failed, "the champion is broken indeed"
    assert all(answer.status == 200 for answer in traffic.answers[-PER_SECOND:])
    promoted = then.decided("Promote", revision=first)
    (errors,) = promoted["inputs"]["analysis"]
    assert (errors["verdict"], errors["champion_broken"]) == ("Pass", True)
    release.log_replays(then)


@pytest.fixture
def node(world: World):
    """The one node; whatever a test does to it, it takes pods again afterwards."""
    name = world.api.list("v1", "Node")[0]["metadata"]["name"]
    yield name
    world.kubectl("uncordon", name)


def test_a_champion_without_pods_pushes_no_candidate(given, when, then, world, release, node):
    first = given.model("logistic")
    steps = [{"weight": 20, "minSeconds": 45}]
    with given.traffic() as traffic:
        when.spec_is("boosted", rollout={"canary": canary(steps), "stageDeadlineSeconds": 600})
        second = release.reaches("Canary", first)["revision"]
        world.wait("it gets its share", lambda: shares(world) == {first: 80, second: 20})
        world.kubectl("cordon", node)
        for pod in world.children("Pod", NAME, first):
            when.deleted("pod", pod["metadata"]["name"])
        then.condition("Ready", "False", "Unavailable")
        then.condition("Progressing", "Unknown", "EvidenceMissing")
        assert shares(world) == {first: 80, second: 20}, "the candidate gets no more for it"
        world.kubectl("uncordon", node)
        then.condition("Ready", "True", "Serving")
        then.serves("boosted", PATIENCE)
        when.clients_have_asked(traffic, PER_SECOND)
    assert {answer.status for answer in traffic.failed} == {503}, "the champion's share is refused meanwhile"
    assert all(answer.status == 200 for answer in traffic.answers[-PER_SECOND:])
    found = release.log_replays(then)
    assert "RollBack" not in found
    assert found.count("Hold") == found.count("Release") == 1


def test_a_fallback_stands_in_for_a_champion_that_crashes_again_and_again(given, when, then, world, release):
    first = given.model("logistic", serving=SMALL)
    fragile = misbehaving(world, "swells", on=(WINDY[0], STORM))
    spec = {"serving": SMALL, "fallback": {"revision": first}}
    # Without a window for the way back, or harm to the new champion would end its time for good.
    second = given.model(fragile, **spec, rollout={"rollbackWindowSeconds": 0})
    rollout = {"canary": canary(LONG), "rollbackWindowSeconds": 0, "stageDeadlineSeconds": 600}

    def decisions(verdict: str) -> int:
        return [record["verdict"] for record in world.records(NAME)].count(verdict)

    def ready() -> Json:
        return condition_of(world.model(NAME), "Ready")

    def degraded() -> str:
        return str(condition_of(world.model(NAME), "Degraded").get("reason", ""))

    with given.traffic() as traffic:
        when.spec_is("boosted", **spec, rollout=rollout)
        third = release.reaches("Canary", second)["revision"]
        world.wait("it gets its share", lambda: shares(world) == {second: 80, third: 20})
        storm = Traffic(traffic.url, NAME, [stormy(world.flights.bodies[0])], per_second=5)
        with storm.flowing():
            said = then.condition("Degraded", "True", "FailedOver")
            assert second in said
            world.wait("it crashes again", lambda: decisions("Failover") >= 2)
            world.wait("status says why", lambda: "exited with 137" in ready()["message"])
            assert ready()["reason"] == "Unavailable"
            world.wait("the fallback answers everybody", lambda: answered_by(traffic) == {first})
            assert (degraded(), shares(world)) == ("FailedOver", {first: 100})
            assert "Fallback" in {item["role"] for item in world.model(NAME)["status"]["traffic"]}
        world.wait("the champion serves again", lambda: shares(world) == {second: 80, third: 20}, PATIENCE)
        world.wait("that is over", lambda: not degraded())
        then.condition("Ready", "True", "Serving")
        candidate = release.candidate()
        assert (candidate["revision"], candidate["stage"], candidate["step"]) == (third, "Canary", "1/1")
        when.spec_is(fragile, **spec, rollout=rollout)
        assert then.serves(fragile) == second
        world.wait("it answers everybody", lambda: answered_by(traffic) == {second})
        when.clients_have_asked(traffic, 2 * PER_SECOND)
    assert {answer.revision for answer in traffic.inside if answer.status == 200} == {first, second}
    assert newest_fresh(traffic.inside) == second
    found = release.log_replays(then)
    assert found.count("Failover") == found.count("Failback") >= 2
    most = max(record["result"]["weights"].get(third, 0) for record in world.records(NAME))
    assert most == 20, "the candidate gets no more for it"


def stormy(body: bytes) -> bytes:
    """The same flight in a wind that the fragile model does not stand."""
    request = json.loads(body)
    (wind,) = [tensor for tensor in request["inputs"] if tensor["name"] == WINDY[0]]
    wind["data"] = [STORM]
    return json.dumps(request).encode()


def answered_by(traffic: Traffic) -> set[str]:
    """Who gave the last second's answers; failures count as nobody's."""
    return {answer.revision for answer in traffic.answers[-PER_SECOND:]}
