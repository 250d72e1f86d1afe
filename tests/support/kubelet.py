"""A simulation of what a bare API server lacks: Deployment controller, kubelet, garbage collector and gateway."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from penstock.controllers.model import names
from penstock.controllers.model.prober import ReachTarget, SmokeTarget
from penstock.controllers.resources import FEATURESETS, MODELS
from penstock.domain.lifecycle.observed import Probe
from penstock.kube import errors
from penstock.kube.client import KubeClient
from penstock.kube.connection import load_connection
from penstock.kube.resources import (
    DEPLOYMENTS,
    GATEWAYS,
    HTTPROUTES,
    JOBS,
    PODS,
    REPLICASETS,
    SERVICES,
    Resource,
    controller_of,
    uid_of,
)

Json = dict[str, Any]

WATCHED = (MODELS, DEPLOYMENTS, HTTPROUTES, GATEWAYS)
COLLECTED = (DEPLOYMENTS, SERVICES, HTTPROUTES, REPLICASETS, JOBS, PODS)
OWNERS = (MODELS, FEATURESETS)
CONTROLLER_NAME = "simulation.example.com/gateway"


@dataclass(frozen=True, slots=True)
class Pods:
    """What becomes of a revision's pods.

    `told`: what a container leaves behind as it ends, {"reason": …, "message": …}; `container` says which one.
    `crashed`: when the server ended by itself the last time; it runs again. `disrupted`: by no fault of its own.
    """

    ready: bool = True
    container: str = ""
    told: Mapping[str, str] = field(default_factory=dict)
    restarts: int = 0
    crashed: datetime | None = None
    disrupted: bool = False


READY = Pods()
STARTING = Pods(ready=False)


@dataclass(frozen=True, slots=True)
class Routes:
    """What the gateway says to every route; `answers` False: it does not look at them.

    A route that also shows a candidate (a preview) is taken in any case, unless `previews` is False.
    """

    answers: bool = True
    accepted: bool = True
    message: str = ""
    previews: bool = True


class Servers(Protocol):
    """What runs in the pods, if anything really does."""

    async def start(self, address: str, revision: str) -> None:
        """Run the server of a pod; it may run already."""

    async def end(self, address: str) -> None:
        """End the server of a pod that is gone."""


class Simulation:
    """Brings the objects of one namespace to what its script says, whenever something changes.

    `pods`: by revision, others become READY. `collects`: whether the children of deleted owners are deleted.
    `rolls_out`: whether Deployments are looked at; False is a Deployment controller that lags behind. `servers`: what
    runs in the pods; None: nothing does.
    """

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.pods: dict[str, Pods] = {}
        self.routes = Routes()
        self.collects = True
        self.rolls_out = True
        self.servers: Servers | None = None
        self._client = client
        self._namespace = namespace
        self._changed = asyncio.Event()
        self._said: dict[str, Json] = {}

    def poke(self) -> None:
        """Look at everything again, because the script has changed."""
        self._changed.set()

    async def run(self, kubeconfig: Path) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in WATCHED:
                group.create_task(self._watch(kind, kubeconfig))
            while True:
                await self._changed.wait()
                self._changed.clear()
                try:
                    await self._look()
                except (errors.Conflict, errors.NotFound, errors.AlreadyExists, errors.Unreachable):
                    self._changed.set()  # somebody else changed it at the same time: look at what is there now

    async def _watch(self, kind: Resource, kubeconfig: Path) -> None:
        connection = await load_connection(kubeconfig, {})
        url = connection.host + kind.path(self._namespace)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=connection.ssl)) as session:
            while True:
                async with session.get(url, params={"watch": "true"}, timeout=aiohttp.ClientTimeout()) as response:
                    async for _ in _lines(response):
                        self._changed.set()

    async def _look(self) -> None:
        # Owners last: what was made in between must not look like an orphan.
        kinds = (*reversed(COLLECTED), *OWNERS)
        seen = {kind: (await self._client.list(kind, self._namespace))[0] for kind in kinds}
        if self.collects and await self._collect(seen):
            self._changed.set()
            return
        for deployment in seen[DEPLOYMENTS] if self.rolls_out else ():
            await self._roll_out(deployment, seen[REPLICASETS], seen[PODS])
        for route in seen[HTTPROUTES]:
            await self._judge(route)

    async def _collect(self, seen: Mapping[Resource, list[Json]]) -> bool:
        """Delete what has lost its owner; whether there was any."""
        alive = {uid_of(obj) for objects in seen.values() for obj in objects}
        orphans = [
            (kind, obj)
            for kind in COLLECTED
            for obj in seen[kind]
            if (owner := controller_of(obj)) is not None and owner["uid"] not in alive
        ]
        for kind, obj in orphans:
            with contextlib.suppress(errors.NotFound, errors.Conflict):
                await self._client.delete(kind, self._namespace, obj["metadata"]["name"], uid=uid_of(obj))
            if kind is PODS and self.servers is not None:
                await self.servers.end(address_of(obj))
        return bool(orphans)

    async def _roll_out(self, deployment: Json, replicasets: list[Json], pods: list[Json]) -> None:
        meta, spec = deployment["metadata"], deployment["spec"]
        outcome = self.pods.get(meta.get("labels", {}).get(names.REVISION_LABEL, ""), READY)
        mine = {obj["metadata"]["name"]: obj for obj in replicasets if _owner(obj) == uid_of(deployment)}
        template = spec["template"]
        name = f"{meta['name']}-{_short_hash(template)}"
        current = mine.pop(name, None)
        if current is None:
            current = await self._create_replicaset(name, deployment)
        for old in mine.values():
            await self._client.delete(REPLICASETS, self._namespace, old["metadata"]["name"], uid=uid_of(old))
        count = int(spec.get("replicas", 1))
        existing = {pod["metadata"]["name"]: pod for pod in pods if _owner(pod) == uid_of(current)}
        for number in range(count):
            pod = existing.pop(f"{name}-{number}", None) or await self._create_pod(f"{name}-{number}", current)
            if self.servers is not None and outcome.ready:
                await self.servers.start(address_of(pod), pod["metadata"]["labels"][names.REVISION_LABEL])
            await self._set_status(PODS, pod, _pod_status(pod, outcome))
        for extra in existing.values():
            await self._client.delete(PODS, self._namespace, extra["metadata"]["name"], uid=uid_of(extra))
            if self.servers is not None:
                await self.servers.end(address_of(extra))
        ready = count if outcome.ready else 0
        status = {"observedGeneration": meta["generation"], "replicas": count, "updatedReplicas": count}
        await self._set_status(DEPLOYMENTS, deployment, {**status, "readyReplicas": ready, "availableReplicas": ready})

    async def _create_replicaset(self, name: str, deployment: Json) -> Json:
        template = deployment["spec"]["template"]
        body = {
            "metadata": _owned(name, self._namespace, "apps/v1", "Deployment", deployment, template),
            "spec": {
                "replicas": deployment["spec"].get("replicas", 1),
                "selector": deployment["spec"]["selector"],
                "template": template,
            },
        }
        return await self._client.create(REPLICASETS, body)

    async def _create_pod(self, name: str, replicaset: Json) -> Json:
        template = replicaset["spec"]["template"]
        metadata = _owned(name, self._namespace, "apps/v1", "ReplicaSet", replicaset, template)
        return await self._client.create(PODS, {"metadata": metadata, "spec": template["spec"]})

    async def _judge(self, route: Json) -> None:
        taken = self.routes.previews and len(route["spec"]["rules"]) > 1
        if not self.routes.answers and not taken:
            return
        verdicts = (("Accepted", self.routes.accepted or taken), ("ResolvedRefs", True))
        conditions = [
            {
                "type": kind,
                "status": str(good),
                "reason": kind if good else f"Not{kind}",
                "message": "" if good else self.routes.message,
                "observedGeneration": route["metadata"]["generation"],
                "lastTransitionTime": route["metadata"]["creationTimestamp"],
            }
            for kind, good in verdicts
        ]
        parents = [
            {"parentRef": reference, "controllerName": CONTROLLER_NAME, "conditions": conditions}
            for reference in route["spec"].get("parentRefs", [])
        ]
        await self._set_status(HTTPROUTES, route, {"parents": parents})

    async def _set_status(self, kind: Resource, obj: Json, status: Json) -> None:
        if self._said.get(uid_of(obj)) == status:
            return
        patch = {"metadata": {"uid": uid_of(obj)}, "status": status}
        await self._client.patch_merge(kind, self._namespace, obj["metadata"]["name"], patch, "status")
        self._said[uid_of(obj)] = status


class ScriptedAsker:
    """Answers the operator's questions to pods and gateway, which do not exist here.

    `smoke_answers`, `preview_answers` and `reach_answers`: by revision; a revision that is in none passes.
    """

    def __init__(self) -> None:
        self.smoke_answers: dict[str, Probe] = {}
        self.preview_answers: dict[str, Probe] = {}
        self.reach_answers: dict[str, Probe] = {}
        self.asked: list[SmokeTarget | ReachTarget] = []

    async def smoke(self, target: SmokeTarget) -> Probe:
        """Answer for a pod."""
        self.asked.append(target)
        return self.smoke_answers.get(target.revision, Probe(True, "predicted"))

    async def reach(self, target: ReachTarget) -> Probe:
        """Answer for the data plane."""
        self.asked.append(target)
        answers = self.preview_answers if target.preview else self.reach_answers
        return answers.get(target.revision, Probe(True, "5 answers in a row"))


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The chunks of a stream, of any length: only that something came matters."""
    async for chunk in response.content.iter_any():
        yield chunk


def address_of(pod: Json) -> str:
    """The address of a pod, its own: Linux answers on all of 127.0.0.0/8, so that something can really listen there."""
    digest = hashlib.sha256(pod["metadata"]["uid"].encode()).digest()
    return f"127.{digest[0] or 1}.{digest[1]}.{digest[2] % 254 + 1}"


def _pod_status(pod: Json, outcome: Pods) -> Json:
    containers = [_container(item, outcome, running=outcome.ready) for item in pod["spec"]["containers"]]
    inits = [_container(item, outcome, running=False) for item in pod["spec"].get("initContainers", [])]
    verdicts = {"Ready": outcome.ready} | ({"DisruptionTarget": True} if outcome.disrupted else {})
    conditions = [
        {"type": kind, "status": str(true), "lastTransitionTime": pod["metadata"]["creationTimestamp"]}
        for kind, true in verdicts.items()
    ]
    return {
        "phase": "Running" if outcome.ready else "Pending",
        "podIP": address_of(pod),
        "conditions": conditions,
        "initContainerStatuses": inits,
        "containerStatuses": containers,
    }


def _container(container: Json, outcome: Pods, *, running: bool) -> Json:
    status: Json = {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": running,
        "restartCount": 0,
        "state": {},
        "lastState": {},
    }
    if container["name"] == outcome.container:
        message = json.dumps(dict(outcome.told)) if outcome.told else ""
        ended = {"exitCode": 1, "reason": "Error", "message": message}
        return status | {"restartCount": outcome.restarts, "state": {"terminated": ended}}
    if running:
        status["state"] = {"running": {}}
    if running and outcome.crashed is not None:
        at = outcome.crashed.isoformat(timespec="seconds").replace("+00:00", "Z")
        ended = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": at}
        return status | {"restartCount": max(1, outcome.restarts), "lastState": {"terminated": ended}}
    return status


def _owned(name: str, namespace: str, api_version: str, kind: str, owner: Json, template: Json) -> Json:
    reference = {
        "apiVersion": api_version,
        "kind": kind,
        "name": owner["metadata"]["name"],
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }
    # Labels of the owner's own that select it for a watch are those of its template, as with the real controllers.
    labels = {**template["metadata"]["labels"], "pod-template-hash": _short_hash(template)}
    return {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": [reference]}


def _owner(obj: Json) -> str:
    owner = controller_of(obj)
    return str(owner["uid"]) if owner else ""


def _short_hash(value: Json) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]
