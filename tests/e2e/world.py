"""What a scenario works with: the cluster, one namespace of it, and waiting that knows what it waits for."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from hack.cluster.handle import Cluster
from tests.e2e.audit import AuditLog
from tests.e2e.flights import Flights
from tests.support.cluster import Cluster as ApiClient
from tests.support.cluster import Refused

Json = dict[str, Any]
Found = TypeVar("Found")

PENSTOCK = "penstock.dev/v1alpha1"
MODEL_LABEL = "penstock.dev/model"
REVISION_LABEL = "penstock.dev/revision"
KINDS = {
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Pod": "v1",
    "Service": "v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
}
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
# A container that namespaces for restricted pods admit.
SECURE = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
PATIENCE = 90.0


@dataclass
class World:
    """One scenario's view of the cluster."""

    cluster: Cluster
    api: ApiClient
    images: dict[str, str]
    flights: Flights
    namespace: str
    audit: AuditLog | None = field(init=False)

    def __post_init__(self) -> None:
        self.audit = AuditLog(self.cluster.audit_log) if self.cluster.audit_log else None

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        """Run kubectl as administrator in the scenario's namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, input=input)

    def model(self, name: str) -> Json:
        """The Model as it is."""
        return self.get(PENSTOCK, "Model", name)

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Json:
        """Any object."""
        metadata = {"namespace": namespace or self.namespace, "name": name}
        return self.api.get({"apiVersion": api_version, "kind": kind, "metadata": metadata})

    def children(self, kind: str, name: str, revision: str = "") -> list[Json]:
        """Objects of a kind that carry the Model's label (and the revision's)."""
        selector = f"{MODEL_LABEL}={name}" + (f",{REVISION_LABEL}={revision}" if revision else "")
        return self.api.list(KINDS[kind], kind, self.namespace, labelSelector=selector)

    def records(self, name: str, uid: str = "") -> list[Json]:
        """The specs of a Model's DecisionRecords, oldest first; of all Models of that name without a uid."""
        mine = [spec for spec in self.all_records() if spec["modelName"] == name and uid in ("", spec["modelUID"])]
        return sorted(mine, key=lambda spec: (spec["time"], spec["sequence"]))

    def all_records(self) -> list[Json]:
        """The specs of all DecisionRecords of the namespace."""
        return [item["spec"] for item in self.api.list(PENSTOCK, "DecisionRecord", self.namespace)]

    def digests(self, name: str) -> dict[str, str]:
        """Revision -> digest of its artifact, from the Model's snapshots."""
        found = [item["spec"] for item in self.api.list(PENSTOCK, "ModelRevision", self.namespace)]
        return {spec["revision"]: spec["artifact"]["digest"] for spec in found if spec["modelName"] == name}

    def wait(self, what: str, condition: Callable[[], Found], seconds: float = PATIENCE) -> Found:
        """Return the first true answer of `condition`; fail with the last thing seen if none comes in time."""
        deadline = time.monotonic() + seconds
        seen: object = None
        while True:
            try:
                found = condition()
                if found:
                    return found
                seen = found
            except (Refused, httpx.TransportError) as error:
                seen = error
            if time.monotonic() > deadline:
                raise AssertionError(f"within {seconds:.0f} s it did not come true that {what} (last seen: {seen!r})")
            time.sleep(0.1)


@contextmanager
def own_namespace(api: ApiClient) -> Iterator[str]:
    """A namespace of the scenario's own that admits restricted pods only; its deletion is not waited for."""
    name = f"e2e-{uuid.uuid4().hex[:5]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
    api.create(body)
    yield name
    api.delete(body)


def condition_of(obj: Json, kind: str) -> Json:
    """A condition of an object, or an empty one."""
    conditions = obj.get("status", {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == kind), {})


def dump(obj: object) -> str:
    """JSON for `kubectl -f -`."""
    return json.dumps(obj)
