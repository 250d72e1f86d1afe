"""A namespace, the operator's own entry point running against it, and a simulation of everything below."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest

from hack.cluster.apiserver import ApiServer
from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.model import ModelSpec
from penstock.controllers.config import OperatorConfig
from penstock.controllers.model import names
from penstock.controllers.resources import DECISIONRECORDS, EVALUATIONGATES, MODELACTIONS, MODELREVISIONS, MODELS
from penstock.domain import revision as hashing
from penstock.domain.audit import broken_link
from penstock.domain.lifecycle.replay import replay
from penstock.kube import errors
from penstock.kube.client import KubeClient
from penstock.kube.resources import (
    DEPLOYMENTS,
    EVENTS,
    GATEWAYS,
    HTTPROUTES,
    JOBS,
    LEASES,
    PODS,
    REPLICASETS,
    SERVICES,
    Resource,
)
from tests.controller.replica import WRITES, DiesAfter, Operator, Rival, Settings
from tests.support.cluster import Cluster
from tests.support.kubelet import READY, Pods, Routes, ScriptedAsker, Simulation

Json = dict[str, Any]

DEADLINE = 20.0
IMAGE = f"registry.example.com/penstock/runtime@sha256:{'ab' * 32}"
GATEWAY = "public"
ADDRESS = "192.0.2.10"
OPERATOR = "penstock-operator"
OURS = (
    *(MODELS, HTTPROUTES, DEPLOYMENTS, SERVICES, REPLICASETS, PODS, MODELREVISIONS, DECISIONRECORDS, GATEWAYS),
    *(EVALUATIONGATES, MODELACTIONS, JOBS),
)


class Slips(logging.Handler):
    """Collects the exceptions of the operator that only a mistake in its code raises: retries would hide them."""

    KINDS = (TypeError, AttributeError, LookupError, NameError, AssertionError)

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note a record if it tells of such an exception."""
        if record.exc_info and isinstance(record.exc_info[1], self.KINDS):
            self.seen.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the operator, from the API server's audit log. `version`: of the object as it was stored."""

    agent: str
    verb: str
    resource: str
    name: str
    code: int
    sent: Json
    version: int

    @property
    def is_write(self) -> bool:
        """Whether it stored something, or was meant to. Leases and Events are not the Model's."""
        return self.verb in WRITES and self.resource not in ("leases", "events")

    @property
    def sequence(self) -> int:
        """The number of the decision that it names; 0 if it names none."""
        return names.sequence_of(self.sent) if self.sent.get("metadata") else 0

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}/{self.name} {self.code}"


def digest(content: str) -> str:
    """The digest of an artifact with that content."""
    return "sha256:" + hashlib.sha256(content.encode()).hexdigest()


def spec_of(content: str = "a", **changes: Any) -> Json:
    """The spec of a Model that serves an artifact with that content."""
    artifact = {"uri": "oci://registry.example.com/models/flight:1", "digest": digest(content), "format": "ONNX"}
    return {"artifact": artifact, **changes}


def revision_of(spec: Json) -> str:
    """The revision that a spec asks for."""
    return hashing.revision_name(hashing.spec_hash(ModelSpec.model_validate(spec)))


@dataclass
class World:
    """What a test of the Model controller has at hand. Use it as an asynchronous context manager.

    `tampered`: the test itself rewrites or deletes records, so that the log cannot be whole at the end.
    `config`: more of the operator's configuration.
    """

    server: ApiServer
    cluster: Cluster
    namespace: str
    name: str = "flight"
    asker: ScriptedAsker = field(default_factory=ScriptedAsker)
    later: timedelta = timedelta()
    operators: list[Operator] = field(default_factory=list)
    tampered: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        self.client = await KubeClient.connect(kubeconfig=self.server.kubeconfig, user_agent="test")
        self.simulation = Simulation(self.client, self.namespace)
        self._simulating = asyncio.create_task(self.simulation.run(self.server.kubeconfig))
        self._calls: list[Call] = []
        self._slips = Slips()
        logging.getLogger("penstock").addHandler(self._slips)
        self._audit_read = self.server.audit_log.stat().st_size
        return self

    async def __aexit__(self, *_: object) -> None:
        for operator in self.operators:
            await operator.stop()
        logging.getLogger("penstock").removeHandler(self._slips)
        self._simulating.cancel()
        await asyncio.wait([self._simulating])
        logs: dict[str, list[Json]] = {}
        for record in await self.records():
            logs.setdefault(record["spec"]["modelUID"], []).append(record["spec"])
        for kind in OURS:  # the next test's operator looks at every namespace
            self.cluster.request("DELETE", kind.path(self.namespace), propagationPolicy="Background")
        await self.client.close()
        assert self._slips.seen == []
        if not self.tampered:
            # Whatever happened: every log is whole, and each decision follows from what it says was seen.
            wrong = [broken for log in logs.values() if (broken := broken_link(log))]
            wrong += [str(difference) for log in logs.values() for difference in replay(log)]
            assert wrong == [], f"{self.namespace}: {wrong}"

    # --- given ---

    def clock(self) -> datetime:
        """The operator's clock: `later` than the real one."""
        return datetime.now(UTC) + self.later

    def operator(
        self, *, gateway: bool = True, dies_after: DiesAfter = lambda *_: False, rival: Rival = lambda *_: None
    ) -> Operator:
        """Start a replica of the operator, by its entry point."""
        default: Json = {"namespace": self.namespace, "name": GATEWAY} if gateway else {}
        config = {"runtimeImage": IMAGE, "jobsImage": IMAGE, "gateway": default, **self.config}
        settings = Settings(
            kubeconfig=self.server.kubeconfig,
            namespace=self.namespace,
            config=OperatorConfig.model_validate(config),
            asker=self.asker,
            clock=self.clock,
            agent=f"{OPERATOR}/{len(self.operators) + 1}",
            dies_after=dies_after,
            rival=rival,
        )
        started = Operator(settings)
        self.operators.append(started)
        return started

    async def create_gateway(self) -> None:
        """Make the operator's Gateway, which has an address at once."""
        listener = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
        body = {
            "metadata": {"name": GATEWAY, "namespace": self.namespace},
            "spec": {"gatewayClassName": "simulation", "listeners": [listener]},
        }
        await self.client.create(GATEWAYS, {"apiVersion": GATEWAYS.api_version, "kind": GATEWAYS.kind, **body})
        status = {"addresses": [{"type": "IPAddress", "value": ADDRESS}]}
        await self.client.patch_merge(GATEWAYS, self.namespace, GATEWAY, {"status": status}, "status")

    async def deploy(self, spec: Json | None = None) -> str:
        """Create the Model and return the revision that its spec asks for."""
        spec = spec or spec_of()
        metadata = {"name": self.name, "namespace": self.namespace}
        await self.client.create(
            MODELS, {"apiVersion": API_VERSION, "kind": MODELS.kind, "metadata": metadata, "spec": spec}
        )
        return revision_of(spec)

    async def edit(self, **changes: Any) -> str:
        """Merge changes into the Model's spec and return the revision that it asks for then."""
        stored = await self.client.patch_merge(MODELS, self.namespace, self.name, {"spec": changes})
        return revision_of(stored["spec"])

    async def edit_to_come(self, content: str, pods: Pods) -> str:
        """Ask for the revision with that content, whose pods become what `pods` says."""
        model = await self.model()
        changed = model["spec"] | {"artifact": model["spec"]["artifact"] | {"digest": digest(content)}}
        self.set_pods(revision_of(changed), pods)
        return await self.edit(artifact={"digest": digest(content)})

    def set_pods(self, revision: str, pods: Pods = READY) -> None:
        """Say what becomes of a revision's pods."""
        self.simulation.pods[revision] = pods
        self.simulation.poke()

    def set_routes(self, routes: Routes) -> None:
        """Say what the gateway answers."""
        self.simulation.routes = routes
        self.simulation.poke()

    async def serving(self, spec: Json | None = None) -> str:
        """Create the Model and wait until it serves."""
        revision = await self.deploy(spec)
        await self.serves(revision)
        return revision

    # --- then ---

    async def model(self) -> Json:
        """The Model as it is stored."""
        return await self.client.get(MODELS, self.namespace, self.name)

    async def status(self) -> Json:
        """The Model's status."""
        found: Json = (await self.model()).get("status", {})
        return found

    async def condition(self, kind: str) -> Json:
        """A condition of the Model; empty if there is none of that type."""
        return next((item for item in (await self.status()).get("conditions", []) if item["type"] == kind), {})

    async def get(self, kind: Resource, name: str) -> Json | None:
        """An object of the namespace, or None."""
        try:
            return await self.client.get(kind, self.namespace, name)
        except errors.NotFound:
            return None

    async def names(self, kind: Resource) -> set[str]:
        """The names of all objects of a kind."""
        return {obj["metadata"]["name"] for obj in (await self.client.list(kind, self.namespace))[0]}

    async def records(self) -> list[Json]:
        """The DecisionRecords of the namespace, the oldest first."""
        objects, _ = await self.client.list(DECISIONRECORDS, self.namespace)
        return sorted(objects, key=lambda obj: int(obj["spec"]["sequence"]))

    async def verdicts(self) -> list[str]:
        """Rule and verdict of each record."""
        return [f"{obj['spec']['rule']} {obj['spec']['verdict']}" for obj in await self.records()]

    async def serves(self, revision: str) -> None:
        """Wait until that revision is stable, nothing is under way, and status says so."""

        async def settled() -> bool:
            status = await self.status()
            return status.get("stable", {}).get("revision") == revision and "candidate" not in status

        await self.until(settled, f"revision {revision} is stable")

    async def reaches(self, stage: str) -> None:
        """Wait until the candidate is in that stage."""

        async def there() -> bool:
            found: str = (await self.status()).get("candidate", {}).get("stage", "")
            return found == stage

        await self.until(there, f"the candidate is {stage}")

    async def waits_for(self, words: str) -> None:
        """Wait until status says that the candidate waits for something in these words."""

        async def explained() -> bool:
            said: str = (await self.status()).get("candidate", {}).get("waitingFor", "")
            return words in said

        await self.until(explained, f"the candidate waits for: {words}")

    async def says(self, kind: str, status: str, reason: str) -> Json:
        """Wait for a condition with that status and reason, and return it."""

        async def said() -> bool:
            found = await self.condition(kind)
            return (found.get("status"), found.get("reason")) == (status, reason)

        await self.until(said, f"condition {kind} is {status} because of {reason}")
        return await self.condition(kind)

    async def until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Return as soon as `condition` holds; fail with what there is instead after DEADLINE seconds."""
        deadline = time.monotonic() + DEADLINE
        while not await condition():
            if time.monotonic() > deadline:
                pytest.fail(f"after {DEADLINE:g} s it was still not so that {what}\n{await self.report()}")
            await asyncio.sleep(0.03)

    async def report(self) -> str:
        """What a person needs to see why a test failed."""
        events, _ = await self.client.list(EVENTS, self.namespace)
        lines = [f"  {event['reason']}: {event['note']}" for event in events]
        objects = [f"  {kind}: {sorted(await self.names(kind))}" for kind in OURS]
        calls = [f"  {call}" for call in self.calls()[-15:]]
        status = json.dumps(await self.status() if await self.get(MODELS, self.name) else None, indent=1)
        return "\n".join(
            ["records:", *await self.verdicts(), "events:", *lines, "objects:", *objects, *calls, "status:", status]
        )

    def calls(self) -> list[Call]:
        """What the operator has asked of the API server about this namespace so far, watches aside."""
        with self.server.audit_log.open("rb") as log:
            log.seek(self._audit_read)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._audit_read += len(line)
                # Most lines are of the simulation and need no parsing.
                if OPERATOR.encode() in line and self._is_ours(entry := json.loads(line)):
                    self._calls.append(_call(entry))
        return list(self._calls)

    def writes(self) -> list[Call]:
        """What the operator has written in this namespace so far, in order."""
        return [call for call in self.calls() if call.is_write]

    async def log_is_sound(self) -> None:
        """Check the chain, and that each write in the namespace came after the decision it names."""
        records = await self.records()
        assert broken_link([record["spec"] for record in records]) is None
        stored_at = {record["spec"]["sequence"]: int(record["metadata"]["resourceVersion"]) for record in records}
        children = [call for call in self.writes() if call.sequence]
        early = [str(call) for call in children if call.version and call.version < stored_at[call.sequence]]
        assert children, "nothing was written that names a decision"
        assert early == []

    async def quiet(self, renewals: int = 2) -> Sequence[Call]:
        """Return what the operator writes while it renews its lease so many times, which takes two seconds each."""
        before, leases = len(self.writes()), self._renewals()

        async def enough() -> bool:
            return self._renewals() >= leases + renewals

        await self.until(enough, "the lease is renewed")
        return self.writes()[before:]

    async def still(self) -> None:
        """Check that the operator, while it renews its lease once, writes nothing, but for what status still lacks."""
        written = [str(call) for call in await self.quiet(1) if not call.resource.endswith("/status")]
        assert written == [], written

    def _renewals(self) -> int:
        return sum(call.resource == "leases" and call.verb == "update" for call in self.calls())

    def wake(self) -> None:
        """Have every replica look at the Model again."""
        for operator in self.operators:
            operator.wake((self.namespace, self.name))

    async def free_lease(self) -> None:
        """Do in no time what the end of a killed leader's lease does."""
        with contextlib.suppress(errors.NotFound):
            await self.client.delete(LEASES, self.namespace, "penstock-operator")

    def _is_ours(self, entry: Json) -> bool:
        mine: bool = entry.get("objectRef", {}).get("namespace") == self.namespace
        return mine and entry.get("userAgent", "").startswith(OPERATOR) and entry["stage"] == "ResponseComplete"


def _call(entry: Json) -> Call:
    reference, stored = entry["objectRef"], entry.get("responseObject", {})
    name = reference.get("name") or stored.get("metadata", {}).get("name", "")
    resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
    version = int(stored.get("metadata", {}).get("resourceVersion") or 0)
    return Call(
        entry["userAgent"],
        entry["verb"],
        resource,
        name,
        entry["responseStatus"]["code"],
        entry.get("requestObject", {}),
        version,
    )
