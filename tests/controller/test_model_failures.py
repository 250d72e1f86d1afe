"""What a Model does when something is in its way: bad artifacts, lost time, missing and foreign objects."""

from __future__ import annotations

from datetime import timedelta

from penstock.controllers.model import names
from penstock.controllers.resources import MODELREVISIONS, MODELS
from penstock.domain.lifecycle.observed import Probe
from penstock.kube.resources import DEPLOYMENTS, GATEWAYS, HTTPROUTES, SERVICES
from tests.controller.world import GATEWAY, World, digest, revision_of, spec_of
from tests.support.kubelet import STARTING, Pods, Routes

MISMATCH = Pods(
    ready=False,
    container="fetch",
    told={"reason": "DigestMismatch", "message": "the manifest has another digest"},
)


async def traffic(world: World) -> dict[str, int]:
    """The weights of the live route, by backend."""
    route = await world.get(HTTPROUTES, "flight")
    return {item["name"]: item["weight"] for item in route["spec"]["rules"][0]["backendRefs"]} if route else {}


async def test_wrong_bytes_are_refused_and_quarantined(world: World) -> None:
    world.operator()
    old = await world.serving()
    new = await world.edit_to_come("b", MISMATCH)
    rejected = await world.says("CandidateRejected", "True", "DigestMismatch")
    assert "the manifest has another digest" in rejected["message"]
    assert (await world.condition("SpecServed"))["status"] == "False"
    assert (await world.condition("Ready"))["status"] == "True"

    async def tidied() -> bool:
        return await world.names(DEPLOYMENTS) == {f"flight-{old}"}

    await world.until(tidied, "the refused revision's pods are gone")
    assert await traffic(world) == {f"flight-{old}": 100}
    assert (await world.verdicts())[3:] == ["Idle/WantedChanged Start", "Starting/CandidateFailed Reject"]

    await world.edit(artifact={"digest": digest("a")})
    await world.says("SpecServed", "True", "Serving")
    await world.edit(artifact={"digest": digest("b")})
    await world.says("SpecServed", "False", "DigestMismatch")
    assert (await world.verdicts())[5:] == ["Idle/WantedStable Noted", "Idle/WantedChanged Reject"]
    assert await world.names(DEPLOYMENTS) == {f"flight-{old}"}, f"{new} is quarantined: it must not be started again"
    await world.log_is_sound()


async def test_first_revision_with_wrong_bytes_says_so_and_recovers_with_a_right_digest(world: World) -> None:
    world.set_pods(revision_of(spec_of("b")), MISMATCH)
    world.operator()
    await world.deploy(spec_of("b"))
    stalled = await world.says("Stalled", "True", "DigestMismatch")
    assert "the manifest has another digest" in stalled["message"]
    assert await traffic(world) == {}
    right = await world.edit(artifact={"digest": digest("a")})
    await world.serves(right)
    await world.says("Ready", "True", "Serving")
    assert await world.condition("Stalled") == {}


async def test_failed_smoke_prediction_keeps_the_old_revision(world: World) -> None:
    world.operator()
    old = await world.serving()
    world.asker.smoke_answers[revision_of(spec_of("b"))] = Probe(False, "output 'y' is not a finite number")
    await world.edit(artifact={"digest": digest("b")})
    rejected = await world.says("CandidateRejected", "True", "SmokeFailed")
    assert "not a finite number" in rejected["message"]
    assert await traffic(world) == {f"flight-{old}": 100}


async def test_deadline_gives_up_on_pods_that_never_come_up(world: World) -> None:
    world.operator()
    old = await world.serving(spec_of(rollout={"stageDeadlineSeconds": 30}))
    await world.edit_to_come("b", STARTING)
    await world.reaches("Starting")
    world.later = timedelta(seconds=31)
    world.wake()
    rejected = await world.says("CandidateRejected", "True", "DeadlineExceeded")
    assert "0 of 1 pods were ready" in rejected["message"]
    assert (await world.status())["stable"]["revision"] == old
    assert (await world.records())[-1]["spec"]["result"]["rejected"][0].get("quarantined", False) is False


async def test_gateway_that_does_not_know_the_candidate_keeps_the_traffic_away(world: World) -> None:
    world.operator()
    old = await world.serving()
    spec = (await world.model())["spec"]
    unknown = revision_of(spec | {"artifact": spec["artifact"] | {"digest": digest("b")}})
    world.asker.preview_answers[unknown] = Probe(None, "answers 503")
    assert await world.edit(artifact={"digest": digest("b")}) == unknown
    await world.waits_for("The gateway does not know it yet: answers 503")
    assert await traffic(world) == {f"flight-{old}": 100}
    world.asker.preview_answers.clear()
    await world.serves(unknown)
    assert await traffic(world) == {f"flight-{unknown}": 100}


async def test_refused_route_goes_back_at_once_and_is_given_up_in_the_end(world: World) -> None:
    world.operator()
    old = await world.serving()
    world.set_routes(Routes(accepted=False, message="no listener takes it"))
    await world.edit(artifact={"digest": digest("b")})
    await world.reaches("RollingBack")
    assert await traffic(world) == {f"flight-{old}": 100}
    promoted_and_refused = ["Starting/CandidateReady Promote", "Promoting/RouteRefused Retry"]
    last = ["Starting/CandidateReady Promote", "Promoting/RouteRefused RollBack"]
    assert (await world.verdicts())[4:] == [*promoted_and_refused * 2, *last]
    world.set_routes(Routes())
    rejected = await world.says("CandidateRejected", "True", "RouteNotAccepted")
    assert "no listener takes it" in rejected["message"]
    await world.serves(old)
    await world.log_is_sound()


async def test_unanswered_route_is_rolled_back_after_the_deadline(world: World) -> None:
    world.operator()
    old = await world.serving(spec_of(rollout={"stageDeadlineSeconds": 30}))
    world.set_routes(Routes(answers=False))
    new = await world.edit(artifact={"digest": digest("b")})

    async def moved() -> bool:
        return await traffic(world) == {f"flight-{new}": 100}

    await world.until(moved, "the route names the new revision")
    world.later = timedelta(seconds=31)
    world.wake()
    await world.reaches("RollingBack")
    assert await traffic(world) == {f"flight-{old}": 100}
    world.set_routes(Routes())
    await world.says("CandidateRejected", "True", "DeadlineExceeded")
    await world.serves(old)
    await world.log_is_sound()


async def test_missing_gateway_is_waited_for(world: World) -> None:
    await world.client.delete(GATEWAYS, world.namespace, GATEWAY)
    world.operator()
    revision = await world.deploy()
    await world.says("Ready", "False", "GatewayMissing")
    assert await world.condition("Stalled") == {}
    assert await world.names(DEPLOYMENTS) == set()
    await world.create_gateway()
    await world.serves(revision)
    assert (await world.verdicts())[:2] == ["Idle/WantedChanged Wait", "Pending/Unblocked Start"]


async def test_foreign_service_of_the_same_name_is_left_alone(world: World) -> None:
    ports = [{"port": 81}]
    foreign = await world.client.create(
        SERVICES, {"metadata": {"name": "flight", "namespace": world.namespace}, "spec": {"ports": ports}}
    )
    world.operator()
    revision = await world.deploy()
    conflict = await world.says("Conflict", "True", "Conflict")
    assert "Service flight" in conflict["message"]
    kept = await world.get(SERVICES, "flight")
    assert kept is not None
    assert kept["metadata"]["resourceVersion"] == foreign["metadata"]["resourceVersion"]
    await world.client.delete(SERVICES, world.namespace, "flight")
    await world.serves(revision)

    async def settled() -> bool:
        return await world.condition("Conflict") == {}

    await world.until(settled, "the conflict is not shown any more")
    service = await world.get(SERVICES, "flight")
    assert service is not None
    assert service["spec"]["selector"] == names.selector("flight", revision)


async def test_model_made_again_under_the_same_name_waits_for_the_old_ones_children(world: World) -> None:
    world.operator()
    revision = await world.serving()
    old_deployment = await world.get(DEPLOYMENTS, f"flight-{revision}")
    assert old_deployment is not None
    world.simulation.collects = False
    await world.client.delete(MODELS, world.namespace, "flight")
    await world.deploy()
    await world.says("Ready", "False", "PreviousTerminating")
    kept = await world.get(DEPLOYMENTS, f"flight-{revision}")
    assert kept is not None
    assert kept["metadata"]["ownerReferences"] == old_deployment["metadata"]["ownerReferences"]
    world.simulation.collects = True
    world.simulation.poke()
    await world.serves(revision)
    fresh = await world.get(DEPLOYMENTS, f"flight-{revision}")
    assert fresh is not None
    assert fresh["metadata"]["uid"] != old_deployment["metadata"]["uid"]


async def test_deleted_revision_is_written_down_again_while_the_model_asks_for_it(world: World) -> None:
    world.operator()
    revision = await world.serving()
    (name,) = await world.names(MODELREVISIONS)
    before, running = await world.get(MODELREVISIONS, name), await world.get(DEPLOYMENTS, f"flight-{revision}")
    assert before is not None
    assert running is not None
    await world.client.delete(MODELREVISIONS, world.namespace, name)

    async def there_again() -> bool:
        again = await world.get(MODELREVISIONS, name)
        return again is not None and again["metadata"]["uid"] != before["metadata"]["uid"]

    await world.until(there_again, "the ModelRevision is there again")
    again, still = await world.get(MODELREVISIONS, name), await world.get(DEPLOYMENTS, f"flight-{revision}")
    assert again is not None
    assert still is not None
    assert again["spec"] == before["spec"]
    assert still["metadata"]["generation"] == running["metadata"]["generation"]


async def test_deleted_revision_that_nobody_asks_for_is_reported_and_keeps_its_traffic(world: World) -> None:
    world.operator()
    old = await world.serving()
    (name,) = await world.names(MODELREVISIONS)
    new = await world.edit_to_come("b", STARTING)
    await world.reaches("Starting")
    await world.client.delete(MODELREVISIONS, world.namespace, name)
    stalled = await world.says("Stalled", "True", "StateLost")
    assert name in stalled["message"]
    assert await traffic(world) == {f"flight-{old}": 100}
    assert f"flight-{old}" in await world.names(DEPLOYMENTS)
    assert (await world.status())["stable"]["revision"] == old
    world.set_pods(new)
    await world.serves(new)
    assert await traffic(world) == {f"flight-{new}": 100}
    await world.log_is_sound()


async def test_a_revision_of_which_nothing_is_left_is_reported_and_its_route_stays(world: World) -> None:
    world.operator()
    old = await world.serving()
    (name,) = await world.names(MODELREVISIONS)
    new = await world.edit_to_come("b", STARTING)
    await world.reaches("Starting")
    await world.client.delete(MODELREVISIONS, world.namespace, name)
    await world.client.delete(DEPLOYMENTS, world.namespace, f"flight-{old}")
    stalled = await world.says("Stalled", "True", "StateLost")
    assert name in stalled["message"]
    await world.says("Ready", "False", "Unavailable")
    assert await traffic(world) == {f"flight-{old}": 100}
    world.set_pods(new)
    await world.serves(new)
    assert await traffic(world) == {f"flight-{new}": 100}
    await world.log_is_sound()
