"""Plays Deployment controller, kubelet, gateway and model servers, as fast as it can, in a process of its own.

One HTTP server is every pod and the gateway: all pods have its address. It answers each Model as the revision that
the Model's pods, or through the gateway its HTTPRoute, say.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import time
from pathlib import Path

import orjson
from aiohttp import web

from bench.controller.bare import MERGE, BareClient
from penstock.controllers.model import names
from penstock.controllers.model.smoke import DIGEST_HEADER, REVISION_HEADER
from penstock.kube.resources import DEPLOYMENTS, HTTPROUTES, PODS, REPLICASETS, Json, Resource, uid_of

POD_ADDRESS = "127.77.0.1"
WORKERS = 16
_METADATA = {
    "name": "bench",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
}
_PREDICTION = {"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [0.5]}]}


class Servers:
    """What the pods and the gateway answer, by Model: names of Models must be unique in the cluster."""

    def __init__(self) -> None:
        self.pods: dict[str, tuple[str, str]] = {}
        self.digests: dict[str, str] = {}
        self.routes: dict[tuple[str, str], str] = {}

    def application(self) -> web.Application:
        """The HTTP server."""
        app = web.Application()
        app.router.add_get("/v2/models/{model}", self._metadata)
        app.router.add_post("/v2/models/{model}/infer", self._infer)
        app.router.add_get("/{namespace}/{model}/v2/models/{again}/ready", self._ready)
        return app

    async def _metadata(self, request: web.Request) -> web.Response:
        return self._from_pod(request, _METADATA)

    async def _infer(self, request: web.Request) -> web.Response:
        return self._from_pod(request, _PREDICTION)

    def _from_pod(self, request: web.Request, body: Json) -> web.Response:
        found = self.pods.get(request.match_info["model"])
        return _answer(*found, body) if found else web.Response(status=404)

    async def _ready(self, request: web.Request) -> web.Response:
        revision = self.routes.get((request.match_info["namespace"], request.match_info["model"]))
        return _answer(revision, self.digests[revision], {}) if revision else web.Response(status=404)


class Simulation:
    """Rolls out each generation of each Deployment and accepts each generation of each route."""

    def __init__(self, client: BareClient, servers: Servers) -> None:
        self._client = client
        self._servers = servers
        self._seen: dict[str, int] = {}
        self._queue: asyncio.Queue[tuple[Resource, Json]] = asyncio.Queue()

    async def run(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in (DEPLOYMENTS, HTTPROUTES):
                group.create_task(self._watch(kind))
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _watch(self, kind: Resource) -> None:
        found = await self._client.list(kind)
        for obj in found["items"]:
            self._queue.put_nowait((kind, obj))
        async for event in self._client.watch(kind, found["metadata"]["resourceVersion"]):
            if event["type"] in ("ADDED", "MODIFIED"):
                self._queue.put_nowait((kind, event["object"]))

    async def _work(self) -> None:
        while True:
            kind, obj = await self._queue.get()
            generation = obj["metadata"]["generation"]
            if self._seen.get(uid_of(obj), 0) >= generation:
                continue
            self._seen[uid_of(obj)] = generation
            await (self._roll_out(obj) if kind is DEPLOYMENTS else self._accept(obj))

    async def _roll_out(self, deployment: Json) -> None:
        meta, template = deployment["metadata"], deployment["spec"]["template"]
        revision = meta["labels"][names.REVISION_LABEL]
        digest = template["metadata"]["annotations"][names.DIGEST_ANNOTATION]
        self._servers.pods[meta["labels"][names.MODEL_LABEL]] = (revision, digest)
        self._servers.digests[revision] = digest
        short = hashlib.sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).hexdigest()[:10]
        await self._start_pod(deployment, f"{meta['name']}-{short}", short)
        count = deployment["spec"]["replicas"]
        ready = {"replicas": count, "readyReplicas": count, "updatedReplicas": count, "availableReplicas": count}
        await self._set_status(DEPLOYMENTS, deployment, {"observedGeneration": meta["generation"], **ready})

    async def _start_pod(self, deployment: Json, name: str, short: str) -> None:
        """One ready pod stands for all replicas: the operator asks only one."""
        template, namespace = deployment["spec"]["template"], deployment["metadata"]["namespace"]
        labels = {**template["metadata"]["labels"], "pod-template-hash": short}
        spec = {"replicas": deployment["spec"]["replicas"], "selector": deployment["spec"]["selector"]}
        owner = _owner("apps/v1", "Deployment", deployment)
        metadata = {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": [owner]}
        with contextlib.suppress(AlreadyThere):
            replicaset = await self._create(REPLICASETS, {"metadata": metadata, "spec": {**spec, "template": template}})
            metadata = {**metadata, "ownerReferences": [_owner("apps/v1", "ReplicaSet", replicaset)]}
            pod = await self._create(PODS, {"metadata": metadata, "spec": template["spec"]})
            condition = {"type": "Ready", "status": "True", "lastTransitionTime": _now()}
            status = {"phase": "Running", "podIP": POD_ADDRESS, "podIPs": [{"ip": POD_ADDRESS}]}
            await self._set_status(PODS, pod, {**status, "conditions": [condition]})

    async def _accept(self, route: Json) -> None:
        meta = route["metadata"]
        backends = route["spec"]["rules"][0]["backendRefs"]
        self._servers.routes[meta["namespace"], meta["name"]] = backends[0]["name"].removeprefix(f"{meta['name']}-")
        conditions = [
            {
                "type": kind,
                "status": "True",
                "reason": kind,
                "message": "",
                "observedGeneration": meta["generation"],
                "lastTransitionTime": _now(),
            }
            for kind in ("Accepted", "ResolvedRefs")
        ]
        parents = [
            {"parentRef": reference, "controllerName": "bench.example.com/gateway", "conditions": conditions}
            for reference in route["spec"]["parentRefs"]
        ]
        await self._set_status(HTTPROUTES, route, {"parents": parents})

    async def _create(self, kind: Resource, obj: Json) -> Json:
        try:
            return await self._client.create(kind, obj)
        except RuntimeError as error:
            if "already exists" in str(error):
                raise AlreadyThere from error
            raise

    async def _set_status(self, kind: Resource, obj: Json, status: Json) -> None:
        path = kind.path(obj["metadata"]["namespace"], obj["metadata"]["name"], "status")
        await self._client.send("PATCH", path, {"status": status}, MERGE)


class AlreadyThere(Exception):
    """Scaling keeps the ReplicaSet and its pod."""


def _owner(api_version: str, kind: str, owner: Json) -> Json:
    name = owner["metadata"]["name"]
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid_of(owner), "controller": True}


def _answer(revision: str, digest: str, body: Json) -> web.Response:
    headers = {REVISION_HEADER: revision, DIGEST_HEADER: digest, "Content-Type": "application/json"}
    return web.Response(body=orjson.dumps(body), headers=headers)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


async def main(kubeconfig: Path) -> None:
    """Serve and simulate until killed."""
    servers = Servers()
    runner = web.AppRunner(servers.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, POD_ADDRESS, names.REVISION_PORT).start()
    print("ready", flush=True)
    async with BareClient(kubeconfig) as client:
        await Simulation(client, servers).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kubeconfig", type=Path)
    asyncio.run(main(parser.parse_args().kubeconfig))
