"""Least privilege, both ways: a life of the operator with the chart's rights, which are all used in it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hack.cluster.addons import chart
from hack.cluster.apiserver import ApiServer
from penstock.api.v1alpha1.featuresetstatus import Verdict
from penstock.controllers.config import OperatorConfig
from penstock.controllers.resources import (
    DECISIONRECORDS,
    EVALUATIONGATES,
    FEATURESETS,
    METRICSOURCES,
    MODELACTIONS,
    MODELREVISIONS,
    MODELS,
)
from penstock.controllers.sources import CHILD_SELECTOR, CHILDREN
from penstock.domain.data.task import ValidationResult
from penstock.kube.resources import (
    DEPLOYMENTS,
    GATEWAYCLASSES,
    HTTPROUTES,
    JOBS,
    LEASES,
    PODS,
    REPLICASETS,
    SERVICES,
    Resource,
)
from tests.contract.chart import OPERATOR, RELEASE_NAMESPACE, only, render, roles_of_the_operator
from tests.controller.release import GATE, GATE_SPEC, PASSES, rollout
from tests.controller.replica import DiesAfter, Operator, Rival, Settings
from tests.controller.test_model_failures import MISMATCH
from tests.controller.world import GATEWAY, IMAGE, World, digest
from tests.faults.proxy import Proxy
from tests.support.cluster import Cluster
from tests.support.jobs import SimulatedJobs
from tests.support.kubelet import Routes
from tests.support.policies import install_policies

Json = dict[str, Any]

ADMIN = "penstock-admin"
INSTALLED = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ConfigMap")
BOARD = "penstock-exported"
# What other tests wait minutes for, here within seconds.
PRUNE_SECONDS = 1.0
FORBIDDEN = 403


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One thing that RBAC grants or a request used. `namespace` and `name` are empty where it is not limited to one."""

    namespace: str
    group: str
    resource: str
    verb: str
    name: str = ""

    def covers(self, used: Right) -> bool:
        """Whether a request that needs `used` is allowed by this."""
        return (
            (self.group, self.resource, self.verb) == (used.group, used.resource, used.verb)
            and self.namespace in ("", used.namespace)
            and self.name in ("", used.name)
        )


def granted(objects: list[Json]) -> set[Right]:
    """Every right of the operator in the chart's roles, one by one."""
    rights: set[Right] = set()
    for role in roles_of_the_operator(objects):
        namespace = role["metadata"].get("namespace", "") if role["kind"] == "Role" else ""
        rights |= {
            Right(namespace, group, resource, verb, name)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
            for name in rule.get("resourceNames", [""])
        }
    return rights


def requests_of(audit_log: Path, user: str) -> Iterator[tuple[Right, int]]:
    """What a user asked of the API server about objects, and the status of each answer; discovery is left out."""
    with audit_log.open("rb") as log:
        for line in log:
            if user.encode() not in line or not line.endswith(b"\n"):
                continue
            entry = json.loads(line)
            about = entry.get("objectRef")
            if entry["user"]["username"] != user or about is None or "resource" not in about:
                continue
            resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
            code = int(entry["responseStatus"]["code"])
            where, group, name = about.get("namespace", ""), about.get("apiGroup", ""), about.get("name", "")
            yield Right(where, group, resource, entry["verb"], name), code
            # An apply that made the object needed the right to create too, which the API server checked by the way.
            if entry["verb"] == "patch" and code == 201:
                yield Right(where, group, resource, "create", name), code


class ChartWorld(World):
    """A world whose operator is the chart's ServiceAccount and reaches the API server through a proxy."""

    proxy: Proxy
    kubeconfig: Path

    def operator(
        self, *, gateway: bool = True, dies_after: DiesAfter = lambda *_: False, rival: Rival = lambda *_: None
    ) -> Operator:
        """Start a replica as the chart does: in the release's namespace, with the rights of its ServiceAccount."""
        default: Json = {"namespace": self.namespace, "name": GATEWAY} if gateway else {}
        config = {"runtimeImage": IMAGE, "jobsImage": IMAGE, "gateway": default, "pruneSeconds": PRUNE_SECONDS}
        config["exportedConfigMap"] = BOARD
        settings = Settings(
            kubeconfig=self.kubeconfig,
            namespace=RELEASE_NAMESPACE,
            config=OperatorConfig.model_validate(config),
            asker=self.asker,
            clock=self.clock,
            agent=f"penstock-operator/{len(self.operators) + 1}",
            dies_after=dies_after,
            rival=rival,
        )
        started = Operator(settings)
        self.operators.append(started)
        return started

    def used(self) -> set[Right]:
        """What the operator has asked for so far and was allowed to."""
        return {right for right, code in requests_of(self.server.audit_log, OPERATOR) if code != FORBIDDEN}

    async def uses(self, kind: Resource, verb: str) -> None:
        """Wait until the operator has used this right."""

        async def done() -> bool:
            return any((right.resource, right.verb) == (kind.plural, verb) for right in self.used())

        await self.until(done, f"the operator uses {verb} {kind.plural}")

    async def change_unheard(self, kind: Resource) -> None:
        """Change an object of a kind without an event: only a list can show it."""
        ours = CHILD_SELECTOR if kind in CHILDREN else None
        where = self.namespace if kind.namespaced else None
        objects, _ = await self.client.list(kind, where, label_selector=ours)
        change = {"metadata": {"annotations": {"example.com/changed": "unheard"}}}
        await self.client.patch_merge(kind, where, objects[-1]["metadata"]["name"], change)


@pytest.fixture(scope="module")
def objects() -> list[Json]:
    """The chart; what a cluster's own controllers do is done by the administrator here."""
    accounts = (
        "deploymentController",
        "jobController",
        "replicaSetController",
        "garbageCollector",
        "namespaceController",
    )
    return render(
        policies=dict.fromkeys(accounts, ADMIN),
        archiver={"enabled": True, "keySecret": "log-key"},
        artifactStore={"repository": "registry.example.com/penstock"},
    )


@pytest.fixture(scope="module")
def installed(objects: list[Json], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server of its own, so that its audit log holds nothing else, with roles and policies of the chart."""
    folder = tmp_path_factory.mktemp("gateway-api")
    source = chart.module_folder(chart.GATEWAY_API_MODULE) / "config" / "crd" / "standard"
    for kind in ("gateways", "httproutes"):
        shutil.copyfile(source / f"gateway.networking.k8s.io_{kind}.yaml", folder / f"{kind}.yaml")
    with ApiServer() as server, Cluster(server.kubeconfig) as admin:
        admin.install_crds()
        admin.install_crds(folder)
        admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE_NAMESPACE}})
        for obj in objects:
            if obj["kind"] in INSTALLED:
                admin.create(obj)
        install_policies(admin, objects)
        yield server


@pytest.fixture
async def world(
    installed: ApiServer, objects: list[Json], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ChartWorld]:
    """A namespace for Models, and the way to the API server that the operator takes."""
    policies = tmp_path / "policies.yaml"
    told = [obj for obj in objects if obj["metadata"]["name"] != BOARD]
    policies.write_text(only(told, "ConfigMap")["data"]["policies.yaml"])
    monkeypatch.setenv("PENSTOCK_POLICIES", str(policies))
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{RELEASE_NAMESPACE}")
    own = installed.client_kubeconfig(OPERATOR, groups)
    with Cluster(installed.kubeconfig) as admin:
        namespace = admin.create_namespace()
        async with Proxy(own, "", frozenset()) as proxy, ChartWorld(installed, admin, namespace) as ready:
            ready.proxy, ready.kubeconfig = proxy, proxy.write_kubeconfig(tmp_path / "kubeconfig")
            monkeypatch.setenv("KUBECONFIG", str(ready.kubeconfig))
            await ready.create_gateway()
            yield ready


async def test_every_right_is_used_and_every_request_has_one(world: ChartWorld, objects: list[Json]) -> None:
    await first_in_everything(world)
    await datasets(world)
    await evidence(world)
    await unheard_changes(world)
    await ends(world)

    requests = list(requests_of(world.server.audit_log, OPERATOR))
    assert [str(right) for right, code in requests if code == FORBIDDEN] == []
    rights = granted(objects)
    used = {right for right, _ in requests}
    assert {right for right in used if not any(one.covers(right) for one in rights)} == set()
    assert {right for right in rights if not any(right.covers(one) for one in used)} == set()


async def first_in_everything(world: ChartWorld) -> None:
    """Deploy, update, reject, be refused by the gateway and roll back, with a rival that writes the log first."""
    beaten: set[Resource] = set()

    def rival(kind: Resource, obj: Json) -> Json | None:
        is_first = kind in (MODELREVISIONS, DECISIONRECORDS) and kind not in beaten
        beaten.add(kind)
        return obj if is_first else None

    world.operator(rival=rival)
    await world.serving()
    await world.serves(await world.edit(artifact={"digest": digest("b")}))
    await world.edit_to_come("c", MISMATCH)
    await world.says("CandidateRejected", "True", "DigestMismatch")
    world.set_routes(Routes(accepted=False, message="no listener takes it"))
    await world.edit(artifact={"digest": digest("d")})
    await world.reaches("RollingBack")
    world.set_routes(Routes())
    await world.says("CandidateRejected", "True", "RouteNotAccepted")
    await world.uses(DEPLOYMENTS, "delete")
    await world.uses(SERVICES, "delete")


async def datasets(world: ChartWorld) -> None:
    """Validate a dataset, and once more after an edit, which takes the first Job away."""
    jobs = SimulatedJobs(world.client, world.namespace)
    jobs.results["flights"] = ValidationResult(verdict=Verdict.PASS, reason="Valid", rows=1, checked=1, failed=0)
    running = asyncio.create_task(jobs.run())
    source = {"uri": "s3://bucket/a.parquet", "format": "Parquet"}
    body = {
        "apiVersion": FEATURESETS.api_version,
        "kind": FEATURESETS.kind,
        "metadata": {"name": "flights", "namespace": world.namespace},
        "spec": {"features": [{"name": "distance", "type": "Float64"}], "source": source},
    }
    await world.client.create(FEATURESETS, body)
    await world.uses(JOBS, "patch")
    await world.client.patch_merge(FEATURESETS, world.namespace, "flights", {"spec": {"entityKey": ["id"]}})
    await world.uses(JOBS, "delete")
    running.cancel()


async def evidence(world: ChartWorld) -> None:
    """A gate passes, a canary has no numbers, and a person goes on without them."""
    jobs = SimulatedJobs(world.client, world.namespace)
    jobs.results[GATE] = PASSES
    running = asyncio.create_task(jobs.run())
    for kind, spec in ((EVALUATIONGATES, GATE_SPEC), (METRICSOURCES, {"type": "Scrape"})):
        where = {"namespace": world.namespace} if kind.namespaced else {}
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": GATE, **where}, "spec": spec}
        await world.client.create(kind, body)
    await world.edit(**rollout(approval=None))
    revision = await world.edit(artifact={"digest": digest("f")})
    await world.reaches("Canary")
    command = {"modelRef": {"name": world.name}, "action": "Promote", "revision": revision, "bypass": True}
    body = {
        "apiVersion": MODELACTIONS.api_version,
        "kind": MODELACTIONS.kind,
        "metadata": {"name": "promote", "namespace": world.namespace},
        "spec": {**command, "user": ADMIN, "reason": "there are no numbers here"},
    }
    await world.client.create(MODELACTIONS, body)
    await world.serves(revision)
    running.cancel()
    await world.edit(rollout={"shadow": {"sideEffects": "None"}})
    await world.uses(GATEWAYCLASSES, "get")
    await world.edit(rollout=None)

    async def shown() -> bool:
        model = await world.model()
        return bool(model["status"]["observedGeneration"] == model["metadata"]["generation"])

    # The answer to a write of status would tell of a change too.
    await world.until(shown, "status is up to date")


async def unheard_changes(world: ChartWorld) -> None:
    """What the watches miss is found by listing, and then read."""
    world.proxy.passes = lambda _: False
    declared = (MODELS, FEATURESETS, EVALUATIONGATES, MODELACTIONS, METRICSOURCES)
    for kind in (*declared, JOBS, DEPLOYMENTS, SERVICES, HTTPROUTES, REPLICASETS, PODS):
        await world.change_unheard(kind)
        await world.uses(kind, "get")
    world.proxy.passes = lambda _: True


async def ends(world: ChartWorld) -> None:
    """A leader hands over, the next one is killed, the last one has no Gateway any more; then the Model goes."""
    leader = world.operators[0]
    second = world.operator()
    await leader.stop()
    revision = await world.edit(artifact={"digest": digest("e")})
    await world.serves(revision)
    await second.kill()
    await world.client.delete(LEASES, RELEASE_NAMESPACE, "penstock-operator")
    world.operator(gateway=False)
    await world.uses(HTTPROUTES, "delete")
    await world.client.delete(MODELS, world.namespace, world.name)

    async def gone() -> bool:
        return await world.names(DEPLOYMENTS) == set()

    await world.until(gone, "everything of the Model is gone")
