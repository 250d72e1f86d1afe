"""One leader, no writes without need, and the same end wherever the operator dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.controllers.model import names
from penstock.controllers.resources import DECISIONRECORDS
from penstock.kube.resources import DEPLOYMENTS, EVENTS, HTTPROUTES, LEASES, SERVICES, Resource
from tests.controller.replica import Operator
from tests.controller.test_model_deploy import FIRST, backends
from tests.controller.world import World, digest

Json = dict[str, Any]


async def test_converged_model_costs_no_write_not_even_after_a_restart(world: World) -> None:
    operator = world.operator()
    await world.serving()
    await world.serves(await world.edit(artifact={"digest": digest("b")}))
    await world.still()
    assert [str(call) for call in await world.quiet()] == []
    await operator.stop()
    world.operator()
    assert [str(call) for call in await world.quiet()] == []


async def test_standby_does_nothing_until_the_leader_ends(world: World) -> None:
    leader = world.operator()
    await world.serving()
    world.operator()

    def asked() -> list[str]:
        return [call.resource for call in world.calls() if call.agent.endswith("/2")]

    async def stands_by() -> bool:
        return len(asked()) > 1

    await world.until(stands_by, "the second replica has asked for the lease twice")
    await world.serves(await world.edit(artifact={"digest": digest("b")}))
    assert set(asked()) == {"leases"}
    await leader.stop()
    await world.serves(await world.edit(artifact={"digest": digest("c")}))
    assert {"decisionrecords", "deployments", "httproutes"} <= set(asked())
    await world.log_is_sound()


async def survive(world: World, dies_after: Callable[[Resource, Json], bool], revision: str) -> int:
    """Start the operator again each time it has died, until the revision is stable; how often it died."""

    async def settled() -> bool:
        status = await world.status()
        return status.get("stable", {}).get("revision") == revision and "candidate" not in status

    deaths = 0
    while not await settled():
        operator = world.operator(dies_after=dies_after)

        async def over(operator: Operator = operator) -> bool:
            return operator.is_dead or await settled()

        await world.until(over, f"the operator dies or revision {revision} is stable")
        await operator.stop()
        deaths += operator.is_dead
        await world.free_lease()
    return deaths


async def test_death_after_any_decision_changes_nothing(world: World) -> None:
    def dies_after(kind: Resource, _: Json) -> bool:
        return kind is DECISIONRECORDS

    old = await world.deploy()
    assert await survive(world, dies_after, old) == 3
    new = await world.edit(artifact={"digest": digest("b")})
    assert await survive(world, dies_after, new) == 3
    await as_if_nothing_had_happened(world, old, new)


async def test_death_after_any_write_changes_nothing(world: World) -> None:
    def dies_after(kind: Resource, _: Json) -> bool:
        return kind not in (LEASES, EVENTS)

    old = await world.deploy()
    assert await survive(world, dies_after, old) >= 8
    new = await world.edit(artifact={"digest": digest("b")})
    assert await survive(world, dies_after, new) >= 8
    await as_if_nothing_had_happened(world, old, new)


async def as_if_nothing_had_happened(world: World, old: str, new: str) -> None:
    """Check the end of two revisions in a row."""
    world.operator()
    await world.still()
    assert await world.verdicts() == FIRST * 2
    await world.log_is_sound()
    assert await world.names(DEPLOYMENTS) == {f"flight-{old}", f"flight-{new}"}
    assert await world.names(SERVICES) == {"flight", f"flight-{old}", f"flight-{new}"}
    assert backends(await world.get(HTTPROUTES, "flight")) == {f"flight-{new}": 100}
    service = await world.get(SERVICES, "flight")
    assert service is not None
    assert service["spec"]["selector"] == names.selector("flight", new)
    await world.says("Ready", "True", "Serving")
