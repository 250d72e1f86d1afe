"""A world with the chart's policies and roles, pods that count, evaluation Jobs and people: a whole release."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from hack.cluster.addons import chart
from hack.cluster.apiserver import ApiServer
from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.modelaction import ActionType
from penstock.controllers.config import OperatorConfig
from penstock.controllers.featureset.job import TASK_ANNOTATION
from penstock.controllers.gates.job import REVISION_ANNOTATION
from penstock.controllers.resources import EVALUATIONGATES, MODELACTIONS
from penstock.domain.gates.task import GateResult
from penstock.kube.resources import HTTPROUTES
from tests.contract.chart import RELEASE_NAMESPACE, render
from tests.controller.people import USERS, bind
from tests.controller.replica import DiesAfter, Operator, Rival, Settings
from tests.controller.traffic import Load, Traffic
from tests.controller.world import GATEWAY, IMAGE, World, digest, revision_of, spec_of
from tests.support.cluster import Cluster
from tests.support.jobs import SimulatedJobs
from tests.support.policies import install_policies
from tests.unit.domain.gates_given import metric, result

Json = dict[str, Any]

ADMIN = "penstock-admin"
# What a cluster's own controllers do is done by the administrator here.
CONTROLLERS = (
    "deploymentController",
    "jobController",
    "replicaSetController",
    "garbageCollector",
    "namespaceController",
)
LOOK_SECONDS = 0.2
GATE = "holdout"
ROWS = digest("rows")
GATE_SPEC: Json = {
    "dataset": {"uri": "s3://bucket/a.parquet", "format": "Parquet", "digest": ROWS},
    "label": {"column": "late"},
    "metrics": [{"name": "roc_auc", "min": "0.72"}],
}
# Two steps that take no more than the proof that the candidate is not worse by 5 %.
CANARY: Json = {
    "steps": [{"weight": 10, "minRequests": 50}, {"weight": 50}],
    "warmupSeconds": 0,
    "analysis": [{"name": "errors", "type": "Errors", "margin": "0.05"}],
}
APPROVAL: Json = {"required": True, "separationOfDuties": False}
WELL, BADLY = Load(200), Load(200, errors=60)


def rollout(**parts: Any) -> Json:
    """The part of a spec that says how revisions are released: gate, canary and approval, unless changed."""
    full = {"gates": [{"name": GATE}], "canary": CANARY, "approval": APPROVAL} | parts
    return {"rollout": {name: part for name, part in full.items() if part is not None}}


def measured(lower: float, upper: float) -> Any:
    """What a gate's Job says: the metric, with its bounds, of whichever revision it was asked about."""

    def answer(job: Json) -> GateResult:
        task = json.loads(job["spec"]["template"]["metadata"]["annotations"][TASK_ANNOTATION])
        revision = job["metadata"]["annotations"][REVISION_ANNOTATION]
        about = {"answered": revision, "champion_answered": task.get("championRevision")}
        return result(metric(lower, upper), dataset_digest=ROWS, **about)

    return answer


PASSES, FAILS, UNDECIDED = measured(0.8, 0.9), measured(0.5, 0.6), measured(0.6, 0.8)


@contextmanager
def server_with_chart(folder: Path) -> Iterator[ApiServer]:
    """An API server with roles and policies of the chart, all in force, and users bound to its roles."""
    objects = render(policies=dict.fromkeys(CONTROLLERS, ADMIN))
    source = chart.module_folder(chart.GATEWAY_API_MODULE) / "config" / "crd" / "standard"
    for kind in ("gateways", "httproutes"):
        shutil.copyfile(source / f"gateway.networking.k8s.io_{kind}.yaml", folder / f"{kind}.yaml")
    with ApiServer() as server, Cluster(server.kubeconfig) as admin:
        admin.install_crds()
        admin.install_crds(folder)
        admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE_NAMESPACE}})
        roles = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
        for obj in objects:
            if obj["kind"] in roles:
                admin.create(obj)
        for user, names in (USERS | {"eve": ("penstock-approver", "penstock-view")}).items():
            for role in names:
                bind(admin, user, role)
        install_policies(admin, objects)
        yield server


def policies_file(folder: Path) -> Path:
    """The file by which the operator knows which policies have to be in force."""
    objects = render(policies=dict.fromkeys(CONTROLLERS, ADMIN))
    (found,) = [obj for obj in objects if "policies.yaml" in obj.get("data", {})]
    file = folder / "policies.yaml"
    file.write_text(found["data"]["policies.yaml"])
    return file


@dataclass
class ReleaseWorld(World):
    """A world for releases: the operator has the rights of the chart, pods count, people give commands."""

    kubeconfig: Path = Path()
    traffic: Traffic = field(default_factory=Traffic)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.simulation.servers = self.traffic
        self.jobs = SimulatedJobs(self.client, self.namespace)
        self._side = [asyncio.create_task(self.jobs.run()), asyncio.create_task(self.traffic.run())]
        self._people: dict[str, Cluster] = {}
        self._numbers = itertools.count(1)
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._side:
            task.cancel()
        await asyncio.gather(*self._side, return_exceptions=True)
        for client in self._people.values():
            client.__exit__()
        try:
            await super().__aexit__(*error)
        finally:
            await self.traffic.close()

    def operator(
        self, *, gateway: bool = True, dies_after: DiesAfter = lambda *_: False, rival: Rival = lambda *_: None
    ) -> Operator:
        """Start a replica as the chart does: in the release's namespace, with the rights of its ServiceAccount."""
        default: Json = {"namespace": self.namespace, "name": GATEWAY} if gateway else {}
        config = {"runtimeImage": IMAGE, "jobsImage": IMAGE, "gateway": default, **self.config}
        settings = Settings(
            kubeconfig=self.kubeconfig,
            namespace=RELEASE_NAMESPACE,
            config=OperatorConfig.model_validate(config),
            asker=self.asker,
            clock=self.clock,
            agent=f"penstock-operator/{len(self.operators) + 1}",
            dies_after=dies_after,
            rival=rival,
            look_seconds=LOOK_SECONDS,
        )
        started = Operator(settings)
        self.operators.append(started)
        return started

    async def free_lease(self) -> None:
        """Do in no time what the end of a killed leader's lease does."""
        self.cluster.request("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/{RELEASE_NAMESPACE}/leases")

    # --- given ---

    def as_user(self, user: str) -> Cluster:
        """A client with the rights of a user."""
        if user not in self._people:
            self._people[user] = Cluster(self.server.client_kubeconfig(user))
        return self._people[user]

    async def gate(self, name: str = GATE, **changes: Any) -> None:
        """Make a gate."""
        metadata = {"name": name, "namespace": self.namespace}
        spec = GATE_SPEC | changes
        await self.client.create(
            EVALUATIONGATES,
            {"apiVersion": API_VERSION, "kind": EVALUATIONGATES.kind, "metadata": metadata, "spec": spec},
        )

    async def edit_gate(self, name: str = GATE, **changes: Any) -> None:
        """Merge changes into a gate's spec."""
        await self.client.patch_merge(EVALUATIONGATES, self.namespace, name, {"spec": changes})

    async def champion(self, **parts: Any) -> str:
        """Have a revision serve that needed nothing, then ask for what the parts of a rollout say from now on."""
        stable = await self.serving(spec_of())
        await self.edit(**rollout(**parts))
        self.traffic.loads[stable] = WELL
        return stable

    async def candidate(self, content: str = "b", load: Load = WELL) -> str:
        """Ask for another revision, which gets that load as soon as it has pods."""
        model = await self.model()
        changed = model["spec"] | {"artifact": model["spec"]["artifact"] | {"digest": digest(content)}}
        self.traffic.loads[revision_of(changed)] = load
        return await self.edit(artifact={"digest": digest(content)})

    async def asks_for_approval(self, content: str = "b") -> str:
        """Ask for another revision and wait until only people are missing."""
        revision = await self.candidate(content)
        await self.reaches("AwaitingApproval")
        return revision

    async def wipe_status(self) -> None:
        """Take the Model's status away, which by the policies the operator alone can do."""
        with Cluster(self.kubeconfig) as client:
            client.merge(await self.model(), {"status": None}, "status")

    def pass_time(self, seconds: float) -> None:
        """Let the operator's clock go forward."""
        self.later += timedelta(seconds=seconds)
        self.wake()

    async def silence(self, revision: str) -> None:
        """Let the pages of a revision's pods answer no more, and return when that has been seen."""
        self.traffic.silent.add(revision)
        before = self.traffic.turned_away[revision]

        async def seen() -> bool:
            return self.traffic.turned_away[revision] >= before + 3

        await self.until(seen, f"the counters of {revision} were asked for in vain")

    def command(self, user: str, action: ActionType, revision: str | None, *, signed: str = "", **more: Any) -> str:
        """Have a user give a command, in another name if it is `signed`; return its name.

        Raises Refused if admission says no.
        """
        name = f"{action.value.lower()}-{next(self._numbers)}"
        spec = {
            "modelRef": {"name": self.name},
            "action": action.value,
            "revision": revision,
            "user": signed or user,
            "reason": "a test asks for it",
            **more,
        }
        self.as_user(user).create(
            {
                "apiVersion": API_VERSION,
                "kind": MODELACTIONS.kind,
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {key: value for key, value in spec.items() if value is not None},
            }
        )
        return name

    async def approve(self, user: str, revision: str, evidence: str | None = None) -> str:
        """Have a user approve the evidence that status shows now, or another one."""
        seen = evidence or (await self.status())["candidate"]["evidenceDigest"]
        return self.command(user, ActionType.APPROVE, revision, evidenceDigest=seen)

    # --- then ---

    async def became(self, name: str) -> Json:
        """Wait until a command was dealt with, and return its status."""

        async def over() -> bool:
            obj = await self.client.get(MODELACTIONS, self.namespace, name)
            return obj.get("status", {}).get("state") in ("Done", "Refused")

        await self.until(over, f"ModelAction {name} is dealt with")
        found: Json = (await self.client.get(MODELACTIONS, self.namespace, name))["status"]
        return found

    async def refused(self, name: str, reason: str, words: str) -> None:
        """Check that a command is refused with this word and in these words."""
        status = await self.became(name)
        assert (status["state"], status.get("reason")) == ("Refused", reason)
        assert words in status["message"]

    async def weights(self) -> dict[str, int]:
        """The share of each revision in the live route's first rule, without those of 0."""
        route = await self.get(HTTPROUTES, self.name)
        assert route is not None
        refs = route["spec"]["rules"][0]["backendRefs"]
        return {ref["name"].rpartition("-")[2]: ref["weight"] for ref in refs if ref["weight"]}

    async def shares(self, weights: Mapping[str, int]) -> None:
        """Wait until the route shares the traffic so."""

        async def shared() -> bool:
            return await self.weights() == dict(weights)

        await self.until(shared, f"the route shares the traffic as {dict(weights)}")

    async def decided(self, verdict: str) -> Json:
        """Wait for the newest decision with that verdict, and return it."""

        async def there() -> bool:
            return any(record["spec"]["verdict"] == verdict for record in await self.records())

        await self.until(there, f"{verdict} is decided")
        found: Json = [item["spec"] for item in await self.records() if item["spec"]["verdict"] == verdict][-1]
        return found

    async def quarantined(self) -> dict[str, str]:
        """Why which revisions may not come back."""
        newest = (await self.records())[-1]["spec"]["result"]
        return {item["revision"]: item["reason"] for item in newest.get("rejected", []) if item.get("quarantined")}

    def _is_ours(self, entry: Json) -> bool:
        about = entry.get("objectRef", {})
        mine = about.get("namespace") == self.namespace or about.get("resource") == "leases"
        return mine and entry.get("userAgent", "").startswith("penstock-operator") and _is_complete(entry)


def _is_complete(entry: Json) -> bool:
    return bool(entry["stage"] == "ResponseComplete")
