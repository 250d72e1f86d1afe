"""A Model from nothing to serving, and from one revision to the next."""

from __future__ import annotations

from typing import Any

from penstock.controllers.model import names
from penstock.kube.resources import DEPLOYMENTS, HTTPROUTES, SERVICES
from tests.controller.world import ADDRESS, World, digest, spec_of
from tests.support.kubelet import STARTING, Routes

FIRST = ["Idle/WantedChanged Start", "Starting/CandidateReady Promote", "Promoting/RouteApplied Promoted"]
# Each step of a first deployment is one write; more than this means that something is written twice.
MOST_WRITES = 16


def backends(route: dict[str, Any] | None) -> dict[str, int]:
    """The weights of an HTTPRoute by backend."""
    assert route is not None
    return {item["name"]: item["weight"] for item in route["spec"]["rules"][0]["backendRefs"]}


async def test_first_revision_is_deployed_step_by_step(world: World) -> None:
    world.operator()
    revision = await world.serving()
    assert await world.verdicts() == FIRST
    await world.log_is_sound()

    status = await world.status()
    records = await world.records()
    assert (status["sequence"], status["head"]) == (3, records[-1]["spec"]["hash"])
    assert status["url"] == f"http://{ADDRESS}:80/{world.namespace}/flight"
    assert status["traffic"] == [{"revision": revision, "role": "Stable", "weight": 100}]
    assert status["stable"] == {"revision": revision, "digest": digest("a"), "replicas": 1, "readyReplicas": 1}
    assert {item["type"]: item["status"] for item in status["conditions"]} == {
        "Ready": "True",
        "Progressing": "False",
        "SpecServed": "True",
    }
    assert backends(await world.get(HTTPROUTES, "flight")) == {f"flight-{revision}": 100}

    writes = [call for call in world.writes() if call.sequence]
    assert [(call.resource, call.name, call.sequence) for call in writes] == [
        ("modelrevisions", names.revision_name("flight", (await world.model())["metadata"]["uid"], revision), 1),
        ("services", f"flight-{revision}", 1),
        ("deployments", f"flight-{revision}", 1),
        ("services", "flight", 1),
        ("httproutes", "flight", 2),
    ]
    assert len(world.writes()) <= MOST_WRITES, [str(call) for call in world.writes()]
    assert [str(call) for call in world.calls() if call.code >= 400 and call.resource != "leases"] == []


async def test_second_revision_takes_over_in_the_safe_order(world: World) -> None:
    world.operator()
    old = await world.serving()
    old_deployment = await world.get(DEPLOYMENTS, f"flight-{old}")
    before = len(world.writes())
    new = await world.edit(artifact={"digest": digest("b")})
    await world.serves(new)
    await world.log_is_sound()

    children = [(call.resource, call.name) for call in world.writes()[before:] if call.sequence][1:]
    assert set(children[:2]) == {("services", f"flight-{new}"), ("deployments", f"flight-{new}")}
    assert children[2:] == [
        ("httproutes", "flight"),  # the gateway is shown the candidate
        ("httproutes", "flight"),  # the traffic moves
        ("services", "flight"),
    ]
    assert await world.verdicts() == FIRST * 2
    assert backends(await world.get(HTTPROUTES, "flight")) == {f"flight-{new}": 100}
    service = await world.get(SERVICES, "flight")
    assert service is not None
    assert service["spec"]["selector"][names.REVISION_LABEL] == new
    kept = await world.get(DEPLOYMENTS, f"flight-{old}")
    assert kept is not None
    assert old_deployment is not None
    assert kept["metadata"]["generation"] == old_deployment["metadata"]["generation"]
    assert [(item["revision"], item["outcome"]) for item in (await world.status())["history"]] == [
        (new, "Stable"),
        (old, "Stable"),
    ]


async def test_nothing_is_routed_to_pods_that_are_not_ready(world: World) -> None:
    world.operator()
    old = await world.serving()
    new = await world.edit_to_come("b", STARTING)
    await world.reaches("Starting")
    await world.still()
    assert backends(await world.get(HTTPROUTES, "flight")) == {f"flight-{old}": 100}
    world.set_pods(new)
    await world.serves(new)


async def test_stable_pointer_waits_for_the_gateway(world: World) -> None:
    world.operator()
    old = await world.serving()
    world.set_routes(Routes(accepted=False, message="no listener takes it"))
    await world.edit(artifact={"digest": digest("b")})
    await world.waits_for("no listener takes it")
    status = await world.status()
    assert status["stable"]["revision"] == old
    service = await world.get(SERVICES, "flight")
    assert service is not None
    assert service["spec"]["selector"][names.REVISION_LABEL] == old


async def test_without_a_gateway_the_service_is_the_route(world: World) -> None:
    world.operator(gateway=False)
    await world.serving()
    new = await world.edit(artifact={"digest": digest("b")})
    await world.serves(new)
    await world.log_is_sound()
    assert await world.verdicts() == FIRST * 2
    assert await world.names(HTTPROUTES) == set()
    service = await world.get(SERVICES, "flight")
    assert service is not None
    assert service["spec"]["selector"] == names.selector("flight", new)
    status = await world.status()
    assert "url" not in status
    assert status["traffic"] == [{"revision": new, "role": "Stable", "weight": 100}]


async def test_without_a_gateway_hostnames_are_refused(world: World) -> None:
    world.operator(gateway=False)
    await world.deploy(spec_of(route={"hostnames": ["delay.example.com"]}))
    await world.says("Stalled", "True", "RoutingUnsupported")
    assert await world.names(SERVICES) == set()
    revision = await world.edit(route=None)
    await world.serves(revision)
