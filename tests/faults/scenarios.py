"""What is done to a Model while the operator suffers: each a preparation without faults, then the act."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from penstock.controllers.resources import DECISIONRECORDS, MODELS
from penstock.kube.resources import HTTPROUTES, SERVICES, uid_of, version_of
from tests.controller.world import digest, revision_of, spec_of
from tests.faults.arena import Arena
from tests.faults.oracles import weights
from tests.faults.proxy import Call
from tests.support.kubelet import READY, STARTING, Routes

# A person who deletes Services leaves the route without them, and what was deleted comes back in any order.
BY_HAND = frozenset({"services_outlive_traffic", "traffic_is_whole_and_served"})
Step = Callable[[Arena], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`refused_smoke`: the revisions whose smoke prediction fails, with the sentence they get.

    `waived`: names of oracles that what a person does here breaks. `repeatable`: whether every run
    takes the same course, so that runs with faults can be compared.
    """

    name: str
    prepare: Step
    act: Step
    refused_smoke: Mapping[str, str] = field(default_factory=dict)
    waived: frozenset[str] = frozenset()
    repeatable: bool = True


async def nothing(_: Arena) -> None:
    """Begin with an empty namespace."""


async def first_revision(arena: Arena) -> None:
    """A Model from nothing to serving."""
    await arena.rests(await arena.deploy())


async def first_revision_kept_shortly(arena: Arena) -> None:
    """As `first_revision`, but what was stable is given up two seconds after its successor is."""
    await arena.rests(await arena.deploy(spec_of(rollout={"rollbackWindowSeconds": 2})))


async def second_revision(arena: Arena) -> None:
    """Another artifact takes over."""
    await arena.rests(await arena.edit(artifact={"digest": digest("b")}))


async def second_revision_alone(arena: Arena) -> None:
    """Another artifact takes over, and the first one's pods are given up."""
    old = (await arena.status())["stable"]["revision"]
    await second_revision(arena)
    await arena.has_no_pods(old)


async def candidate_lost(arena: Arena) -> None:
    """The candidate's pods end by themselves when it has just been given the traffic."""
    stable = (await arena.status())["stable"]["revision"]

    def fall_silent(call: Call) -> None:
        if call.plural == DECISIONRECORDS.plural and call.is_write and call.body["spec"]["verdict"] == "Promote":
            arena.set_routes(Routes(answers=False))

    arena.proxy.on_call = fall_silent
    lost = await arena.edit(artifact={"digest": digest("b")})

    async def moved() -> bool:
        route = arena.history.now().get((HTTPROUTES, arena.name))
        return route is not None and weights(route) == {lost: 100}

    await arena.until(moved, "the route names the candidate")
    # Later than the operator's clock, however wrong that is set.
    arena.set_pods(lost, replace(READY, crashed=datetime.now(UTC) + timedelta(hours=1)))
    await arena.decides("RollBack")
    arena.proxy.on_call = lambda _: None
    arena.set_routes(Routes())
    await arena.serves(stable)
    await arena.shows_ending(lost, "Rejected")
    await arena.has_no_pods(lost)


async def candidate_refused(arena: Arena) -> None:
    """The candidate's smoke prediction fails."""
    refused = await arena.edit(artifact={"digest": digest("bad")})
    await arena.shows_ending(refused, "Rejected")
    await arena.has_no_pods(refused)


async def candidate_superseded(arena: Arena) -> None:
    """The spec changes while a candidate is starting."""
    dropped = await arena.edit_to_come("b", STARTING)
    await arena.reaches("Starting")
    await arena.rests(await arena.edit(artifact={"digest": digest("c")}))
    await arena.has_no_pods(dropped)


async def model_made_again(arena: Arena) -> None:
    """A Model is deleted, and made again under the same name before its children are gone."""
    arena.simulation.collects = False
    await arena.client.delete(MODELS, arena.namespace, arena.name)
    revision = await arena.deploy()
    await arena.says("Ready", "False", "PreviousTerminating")
    arena.simulation.collects = True
    arena.simulation.poke()
    await arena.rests(revision)


async def children_deleted(arena: Arena) -> None:
    """A person deletes the route, the Model's Service and the pods' Service."""
    before = arena.history.now()
    gone = [key for key in before if key[0] in (HTTPROUTES, SERVICES) and key[1].startswith(arena.name)]
    for kind, name in gone:
        await arena.client.delete(kind, arena.namespace, name)

    async def restored() -> bool:
        now = arena.history.now()
        return all(uid_of(now.get(key, {})) not in ("", uid_of(before[key])) for key in gone)

    await arena.until(restored, "what was deleted is there again")


async def children_edited(arena: Arena) -> None:
    """A person points the Model's Service elsewhere."""
    spec = {"spec": {"selector": {"app": "other"}}}
    edited = await arena.client.patch_merge(SERVICES, arena.namespace, arena.name, spec)

    async def repaired() -> bool:
        now = arena.history.now()[SERVICES, arena.name]
        return int(version_of(now)) > int(version_of(edited)) and "app" not in now["spec"]["selector"]

    await arena.until(repaired, "the Service is as it was")


async def model_touched(arena: Arena) -> None:
    """The spec is edited without asking for another revision."""
    await arena.edit(rollout={"stageDeadlineSeconds": 700})

    async def noticed() -> bool:
        model = await arena.model()
        return bool(model["status"]["observedGeneration"] == model["metadata"]["generation"])

    await arena.until(noticed, "the edit is noticed")


async def name_is_taken(arena: Arena) -> None:
    """Somebody else's Service has the name that the Model's Service needs, for a time."""
    metadata = {"name": arena.name, "namespace": arena.namespace}
    await arena.client.create(SERVICES, {"metadata": metadata, "spec": {"ports": [{"name": "other", "port": 81}]}})
    revision = await arena.deploy()
    await arena.says("Conflict", "True", "Conflict")
    await arena.client.delete(SERVICES, arena.namespace, arena.name)
    await arena.rests(revision)

    async def settled() -> bool:
        return await arena.condition("Conflict") == {}

    await arena.until(settled, "the conflict is over")


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("first", nothing, first_revision),
        Scenario("switch", first_revision, second_revision),
        Scenario("retire", first_revision_kept_shortly, second_revision_alone),
        Scenario("rollback", first_revision, candidate_lost),
        Scenario(
            "refused",
            first_revision,
            candidate_refused,
            {revision_of(spec_of("bad")): "output 'y' is not a finite number"},
        ),
        Scenario("superseded", first_revision, candidate_superseded),
        Scenario("again", first_revision, model_made_again),
        Scenario("deleted", first_revision, children_deleted, waived=BY_HAND),
        Scenario("edited", first_revision, children_edited),
        Scenario("touched", first_revision, model_touched),
        Scenario("taken", nothing, name_is_taken, repeatable=False),
    )
}
