"""A Model from nothing to serving, and from one revision to the next."""

from __future__ import annotations

from penstock.domain.audit import broken_link
from tests.controller.world import World

FIRST = ["Idle/WantedThird Start", "Starting/CandidateReady Promote", "Promoting/RouteApplied Promoted"]


async def test_first_deploy(world: World) -> None:
    world.operator()
    await world.serving()
    assert await world.verdicts() == FIRST
    records = await world.records()
    assert broken_link([record["spec"] for record in records]) is None
    for c in world.calls():
        print(c)
