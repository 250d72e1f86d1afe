"""The floor: the operator's writes for a Model in Starting, repeated for other Models by a bare client."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.controller.bare import BareClient, in_flight
from penstock.controllers.model import names
from penstock.controllers.resources import DECISIONRECORDS, MODELREVISIONS, MODELS
from penstock.kube.ownership import applied_fields
from penstock.kube.resources import DEPLOYMENTS, SERVICES, Json, Resource, uid_of

IN_FLIGHT = 32
_KINDS = (MODELREVISIONS, DECISIONRECORDS, SERVICES, DEPLOYMENTS)


@dataclass(frozen=True, slots=True)
class Payloads:
    """What the operator wrote for one Model, as text in which the Model's names can be replaced."""

    model: Json
    children: list[tuple[Resource, Json]]

    def of(self, other: Json) -> list[tuple[Resource, Json]]:
        """The same writes for another Model of the same shape, in the operator's order."""
        text = orjson.dumps([obj for _, obj in self.children]).decode()
        mine, its = self.model["metadata"], other["metadata"]
        for old, new in (
            (uid_of(self.model), uid_of(other)),
            (names.uid8(uid_of(self.model)), names.uid8(uid_of(other))),
            (mine["name"], its["name"]),
            (f'"namespace":"{mine["namespace"]}"', f'"namespace":"{its["namespace"]}"'),
        ):
            text = text.replace(old, new)
        return [(kind, obj) for (kind, _), obj in zip(self.children, orjson.loads(text), strict=True)]


async def payloads(client: BareClient, namespace: str, name: str) -> Payloads:
    """Read back what the operator wrote for a Model that is in Starting."""
    found = []
    for kind in _KINDS:
        listed = orjson.loads(
            await client.send("GET", f"{kind.path(namespace)}?labelSelector={names.MODEL_LABEL}={name}")
        )
        for item in listed["items"]:
            obj = {"apiVersion": kind.api_version, "kind": kind.kind, **item}
            found.append((kind, _intent(kind, obj)))
    model = orjson.loads(await client.send("GET", MODELS.path(namespace, name)))
    metadata = {key: model["metadata"][key] for key in ("name", "namespace", "uid")}
    status = {"apiVersion": model["apiVersion"], "kind": "Model", "metadata": metadata, "status": model["status"]}
    return Payloads(model, [*found, (MODELS, status)])


@dataclass(frozen=True, slots=True)
class Floor:
    """What a bare client reaches, and the CPU time it takes for its requests: as many as the operator makes."""

    models_per_second: float
    cpu_ms_per_model: float


async def measure(admin: Path, operator: Path, pattern: Payloads, models: list[Json]) -> Floor:
    """Write everything for the Models, from a process of its own, as the operator is one.

    `admin`, `operator`: kubeconfigs of who makes the Models, and of who makes the rest.
    """
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return await loop.run_in_executor(pool, _in_this_process, admin, operator, pattern, models)


def _in_this_process(admin: Path, operator: Path, pattern: Payloads, models: list[Json]) -> Floor:
    return asyncio.run(_measure(admin, operator, pattern, models))


async def _measure(admin: Path, operator: Path, pattern: Payloads, models: list[Json]) -> Floor:
    async with BareClient(admin) as owner, BareClient(operator) as client:

        async def write(model: Json) -> None:
            stored = await owner.create(MODELS, model)
            for kind, obj in pattern.of(stored):
                if kind == MODELS:  # not the same object: it came from another process
                    await client.apply(kind, obj, "penstock-status", "status")
                elif kind in (MODELREVISIONS, DECISIONRECORDS):
                    await client.send("POST", kind.path(obj["metadata"]["namespace"]), obj)
                else:
                    await client.apply(kind, obj, "penstock")

        started, cpu = time.monotonic(), time.process_time()
        await in_flight(IN_FLIGHT, models, write)
        took, cpu = time.monotonic() - started, time.process_time() - cpu
        return Floor(len(models) / took, cpu / len(models) * 1000)


async def clear(cleaner: BareClient, namespaces: list[str]) -> None:
    """Delete what was written, so that an operator started afterwards does not find it."""
    for kind in (MODELS, *_KINDS):
        for namespace in namespaces:
            await cleaner.send("DELETE", kind.path(namespace))


def _intent(kind: Resource, obj: Json) -> Json:
    """What was sent for an object: of applied ones the owned fields, of created ones all but what the server adds."""
    meta = obj["metadata"]
    owned = applied_fields(obj, "penstock")
    if owned is None:
        kept = {key: meta[key] for key in ("name", "namespace", "labels", "annotations") if key in meta}
        return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": kept, "spec": obj["spec"]}
    sent = _owned(obj, owned)
    sent["metadata"] = {
        **sent["metadata"],
        "name": meta["name"],
        "namespace": meta["namespace"],
        "resourceVersion": "1",
    }
    return {"apiVersion": kind.api_version, "kind": kind.kind, **sent}


def _owned(value: Any, owned: Json) -> Any:
    """The part of a value that a fieldsV1 tree names."""
    parts = {key: tree for key, tree in owned.items() if key != "."}
    if not parts:
        return value
    if isinstance(value, dict):
        return {key[2:]: _owned(value[key[2:]], tree) for key, tree in parts.items()}
    items = []
    for key, tree in parts.items():
        keys = orjson.loads(key[2:])
        item = next(item for item in value if all(item.get(name) == wanted for name, wanted in keys.items()))
        items.append(_owned(item, tree))
    return items
