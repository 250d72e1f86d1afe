"""Another leader, who should not be: what it decides counts as much as what the operator under test decides."""

from __future__ import annotations

from penstock.api.v1alpha1.decisionrecord import Decision, seal
from penstock.controllers.model import names
from penstock.controllers.resources import DECISIONRECORDS
from penstock.kube.resources import SERVICES, Json
from tests.faults.arena import Arena
from tests.faults.proxy import Call, Mode, Reply


def decides_first(arena: Arena) -> None:
    """Make a rival write the next decision down, in other words and unheard, just before the operator does."""
    done = False

    async def plan(call: Call) -> Mode | Reply | None:
        nonlocal done
        if arena.armed and not done and call.is_write and call.plural == DECISIONRECORDS.plural:
            done = True
            await arena.client.create(DECISIONRECORDS, {**call.body, "spec": _sealed(call.body["spec"])})
        return None

    arena.proxy.plan = plan
    arena.proxy.passes = lambda heard: not (done and heard.plural == DECISIONRECORDS.plural)


def decides_unheard(arena: Arena) -> None:
    """Make a rival decide, and carry it out, just before the operator repairs a Service: no event tells of it."""
    done = False
    arena.tampered = True  # what it decides follows from nothing that was seen, and replay says so

    async def plan(call: Call) -> Mode | Reply | None:
        nonlocal done
        if arena.armed and not done and call.is_write and call.plural == SERVICES.plural:
            done = True
            await _decide(arena, call)
        return None

    arena.proxy.plan = plan
    arena.proxy.passes = lambda heard: not (done and heard.plural in (DECISIONRECORDS.plural, SERVICES.plural))


async def _decide(arena: Arena, call: Call) -> None:
    """Append a decision that leaves all as it is, and have the object that is about to be written name it."""
    last = (await arena.records())[-1]
    sequence = last["spec"]["sequence"] + 1
    spec = _sealed({**last["spec"], "sequence": sequence, "previousHash": last["spec"]["hash"]})
    name = names.record_name(arena.name, spec["modelUID"], sequence)
    metadata = {"name": name, "namespace": arena.namespace, "labels": last["metadata"]["labels"]}
    identity = {"apiVersion": DECISIONRECORDS.api_version, "kind": DECISIONRECORDS.kind}
    await arena.client.create(DECISIONRECORDS, {**identity, "metadata": metadata, "spec": spec})
    annotations = {**call.body["metadata"].get("annotations", {}), names.SEQUENCE_ANNOTATION: str(sequence)}
    kept = {key: value for key, value in call.body["metadata"].items() if key not in ("uid", "resourceVersion")}
    obj = {**call.body, "metadata": {**kept, "annotations": annotations}}
    await arena.client.apply(SERVICES, obj, field_manager="penstock")


def _sealed(spec: Json) -> Json:
    content = {key: value for key, value in spec.items() if key != "hash"} | {"actor": "somebody else"}
    return seal(Decision.model_validate(content))
