"""What the operator makes of the archiver's word: it stops where too little is exported, and says what was lost."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from penstock.cli import main
from penstock.controllers.resources import MODELACTIONS
from penstock.domain.audit.retention import BLOCKED_ABOVE
from penstock.kube.resources import CONFIG_MAPS, HTTPROUTES
from tests.controller.world import World, digest, revision_of
from tests.unit.domain.given import spec_hash

Json = dict[str, Any]

BOARD = "penstock-exported"
LOST = 500


async def board(world: World, exported: Json) -> None:
    """Say how far the log of the Model is outside, as the archiver does."""
    uid = (await world.model())["metadata"]["uid"]
    await world.client.patch_merge(CONFIG_MAPS, world.namespace, BOARD, {"data": {uid: json.dumps(exported)}})


async def exporting(world: World) -> None:
    """Start an operator beside an archiver, which has not said anything yet."""
    metadata = {"name": BOARD, "namespace": world.namespace}
    await world.client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    world.config = {"exportedConfigMap": BOARD}
    world.operator()


async def set_back(world: World, *quarantined: str) -> Json:
    """Tell of decisions that the log does not have, and wait for the record about them."""
    entry = {"reason": "CanaryHarm", "message": "5 % errors", "quarantined": True, "at": "2026-01-01T00:00:00Z"}
    entries = [{**entry, "revision": revision} for revision in quarantined]
    await board(world, {"sequence": LOST, "hash": spec_hash("lost"), "quarantines": entries})

    async def said() -> bool:
        return (await world.status()).get("sequence", 0) > LOST

    await world.until(said, "status shows a number that was not used before")
    found: Json = next(obj["spec"] for obj in await world.records() if obj["spec"]["verdict"] == "Restored")
    return found


async def audited(world: World, *command: str) -> int:
    """The exit status of a command that looks at the logs of the namespace."""
    options = [*command, "-n", world.namespace, "--kubeconfig", str(world.server.kubeconfig)]
    return await asyncio.to_thread(main.main, options)


async def test_lost_decisions_are_named_and_their_numbers_not_used_again(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await exporting(world)
    first = await world.serving()
    before = (await world.records())[-1]["spec"]
    model = await world.model()
    bad = revision_of(model["spec"] | {"artifact": model["spec"]["artifact"] | {"digest": digest("b")}})

    restored = await set_back(world, bad)

    assert (restored["sequence"], restored["previousHash"]) == (LOST + 1, before["hash"])
    assert restored["inputs"]["heads"] == {
        "found": {"sequence": before["sequence"], "hash": before["hash"]},
        "lost": {"sequence": LOST, "hash": spec_hash("lost")},
    }
    assert restored["inputs"]["knownBy"] == "export"
    assert await world.edit(artifact={"digest": digest("b")}) == bad
    await world.says("CandidateRejected", "True", "CanaryHarm")
    third = await world.edit(artifact={"digest": digest("c")})
    await world.serves(third)
    assert first in {item["revision"] for item in (await world.status())["history"]}
    assert await audited(world, "audit", "verify") == 0, capsys.readouterr().out
    assert await audited(world, "replay") == 0, capsys.readouterr().out


async def test_a_full_log_stops_all_but_the_way_back(world: World) -> None:
    await exporting(world)
    first = await world.serving()
    second = await world.edit(artifact={"digest": digest("b")})
    await world.serves(second)
    await set_back(world)
    for operator in world.operators:
        await operator.stop()
    await board(world, {"sequence": LOST - BLOCKED_ABOVE, "hash": spec_hash("exported")})
    world.operator()  # looks at it before it decides

    third = await world.edit(artifact={"digest": digest("c")})

    said = await world.says("Progressing", "Unknown", "LogExportBlocked")
    assert f"{BLOCKED_ABOVE + 1} are only in the cluster, at most {BLOCKED_ABOVE} may be" in said["message"]
    sequence = (await world.status())["sequence"]
    await world.still()
    assert (await world.status())["sequence"] == sequence

    command = {"modelRef": {"name": world.name}, "action": "Rollback", "revision": first, "user": "ann"}
    body = {
        "apiVersion": MODELACTIONS.api_version,
        "kind": MODELACTIONS.kind,
        "metadata": {"name": "back", "namespace": world.namespace},
        "spec": {**command, "reason": "it answers nonsense"},
    }
    await world.client.create(MODELACTIONS, body)
    await world.serves(first)
    assert (await world.get(HTTPROUTES, world.name) or {})["metadata"]["annotations"]["penstock.dev/sequence"]

    newest = (await world.records())[-1]["spec"]
    await board(world, {key: newest[key] for key in ("sequence", "hash")})

    async def resumed() -> bool:
        return (await world.condition("Progressing")).get("reason") != "LogExportBlocked"

    await world.until(resumed, "what waits goes on")
    assert third not in (await world.status())["stable"]["revision"]


async def test_nothing_is_blocked_without_an_archiver(world: World) -> None:
    await exporting(world)
    await world.serving()
    await set_back(world)
    for operator in world.operators:
        await operator.stop()
    world.config = {}
    world.operator()
    await world.serves(await world.edit(artifact={"digest": digest("b")}))


async def test_a_word_that_cannot_be_read_counts_as_nothing_exported(world: World) -> None:
    await exporting(world)
    await world.serving()
    await set_back(world)
    for operator in world.operators:
        await operator.stop()
    await board(world, {})
    world.operator()
    await world.edit(artifact={"digest": digest("b")})
    await world.says("Progressing", "Unknown", "LogExportBlocked")
