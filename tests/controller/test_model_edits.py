"""Edits that change no answer: size, placement and pauses."""

from __future__ import annotations

from typing import Any

from penstock.kube.resources import DEPLOYMENTS
from tests.controller.world import World, digest, revision_of, spec_of
from tests.support.kubelet import STARTING, Routes

Json = dict[str, Any]


async def deployment(world: World, revision: str) -> Json:
    """The Deployment of a revision."""
    found = await world.get(DEPLOYMENTS, f"flight-{revision}")
    assert found is not None
    return found


def memory(obj: Json) -> str:
    """What a Deployment asks for its server."""
    asked: str = obj["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["memory"]
    return asked


def resources(amount: str) -> Json:
    """A change of the spec to so much memory."""
    return {"serving": {"resources": {"requests": {"memory": amount}, "limits": {"memory": amount}}}}


async def test_size_is_changed_without_a_new_revision(world: World) -> None:
    world.operator()
    revision = await world.serving()
    records = await world.records()
    assert await world.edit(serving={"replicas": 3, **resources("512Mi")["serving"]}) == revision

    async def resized() -> bool:
        return (await world.status())["stable"].get("readyReplicas") == 3

    await world.until(resized, "three pods are ready")
    live = await deployment(world, revision)
    assert (live["spec"]["replicas"], memory(live)) == (3, "512Mi")
    assert await world.records() == records
    await world.still()


async def test_resources_of_stable_wait_for_the_end_of_a_rollout(world: World) -> None:
    world.operator()
    old = await world.serving(spec_of(**resources("512Mi")))
    before = await deployment(world, old)
    new = await world.edit_to_come("b", STARTING)
    await world.reaches("Starting")
    await world.edit(**resources("768Mi"))

    async def candidate_resized() -> bool:
        return memory(await deployment(world, new)) == "768Mi"

    await world.until(candidate_resized, "the candidate gets the new size")
    assert (await deployment(world, old))["metadata"]["generation"] == before["metadata"]["generation"]
    world.set_pods(new)
    await world.serves(new)
    await world.edit(**resources("1Gi"))

    async def stable_resized() -> bool:
        return memory(await deployment(world, new)) == "1Gi"

    await world.until(stable_resized, "the new stable revision gets the new size")
    warm = await deployment(world, old)
    assert (memory(warm), warm["metadata"]["generation"]) == ("512Mi", before["metadata"]["generation"])


async def test_dropped_candidate_lets_the_deferred_size_through(world: World) -> None:
    world.operator()
    old = await world.serving(spec_of(**resources("512Mi")))
    await world.edit_to_come("b", STARTING)
    await world.reaches("Starting")
    await world.edit(**resources("768Mi"))
    assert memory(await deployment(world, old)) == "512Mi"
    await world.edit(artifact={"digest": digest("a")})
    await world.serves(old)

    async def resized() -> bool:
        return memory(await deployment(world, old)) == "768Mi"

    await world.until(resized, "stable gets the size it had to wait for")
    assert (await world.verdicts())[-1] == "Starting/WantedStable Supersede"


async def test_suspended_rollout_stands_still_and_goes_on(world: World) -> None:
    world.operator()
    old = await world.serving()
    new = await world.edit_to_come("b", STARTING)
    await world.reaches("Starting")
    await world.edit(suspend=True)
    await world.says("Progressing", "Unknown", "Suspended")
    world.set_pods(new)

    async def ready() -> bool:
        return (await world.status())["candidate"].get("readyReplicas") == 1

    await world.until(ready, "the suspended candidate's pod is ready")
    await world.still()
    assert (await world.status())["stable"]["revision"] == old
    await world.edit(suspend=False)
    await world.serves(new)
    assert (await world.verdicts())[3:] == [
        "Idle/WantedChanged Start",
        "Starting/Suspended Pause",
        "Starting/Resumed Resume",
        "Starting/CandidateReady Promote",
        "Promoting/RouteApplied Promoted",
    ]
    await world.log_is_sound()


async def test_suspended_first_revision_is_not_started(world: World) -> None:
    world.operator()
    await world.deploy(spec_of(suspend=True))
    await world.says("Ready", "Unknown", "Suspended")
    assert await world.records() == []
    assert await world.names(DEPLOYMENTS) == set()
    await world.edit(suspend=False)
    await world.serves(revision_of(spec_of()))


async def test_resized_pods_count_as_ready_before_the_deployment_controller_has_looked(world: World) -> None:
    world.operator()
    revision = await world.serving()
    world.simulation.rolls_out = False
    await world.edit(serving={"replicas": 3})

    async def applied() -> bool:
        return (await deployment(world, revision))["spec"]["replicas"] == 3

    await world.until(applied, "the Deployment is asked for three pods")
    await world.quiet(1)
    assert (await world.condition("Ready"))["status"] == "True"
    assert (await world.status())["stable"]["readyReplicas"] == 1


async def test_edit_of_replicas_while_the_traffic_moves_is_no_lost_candidate(world: World) -> None:
    world.operator()
    await world.serving()
    world.set_routes(Routes(answers=False))
    new = await world.edit(artifact={"digest": digest("b")})
    await world.reaches("Promoting")
    world.simulation.rolls_out = False
    await world.edit(serving={"replicas": 2})

    async def applied() -> bool:
        return (await deployment(world, new))["spec"]["replicas"] == 2

    await world.until(applied, "the candidate is asked for two pods")
    await world.quiet(1)
    world.simulation.rolls_out = True
    world.set_routes(Routes())
    await world.serves(new)
    assert "RollBack" not in " ".join(await world.verdicts())
