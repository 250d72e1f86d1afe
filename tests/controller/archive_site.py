"""A namespace with a decision log, a registry, and the archiver with the rights of its ServiceAccount."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hack.cluster.apiserver import ApiServer
from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.decisionrecord import content_hash
from penstock.archiver.__main__ import trusted
from penstock.archiver.archive import Archive
from penstock.archiver.board import Board
from penstock.archiver.run import MODEL_LABEL, MODEL_UID_LABEL, MODELS, RECORDS, Archiver, Tally
from penstock.artifact.logstore import LogStore
from penstock.cli import main
from penstock.domain.audit.signature import Signer
from penstock.kube.client import KubeClient
from penstock.kube.ratelimit import TokenBucket
from penstock.kube.resources import CONFIG_MAPS
from tests.contract.chart import OPERATOR, RELEASE_NAMESPACE
from tests.controller.world import spec_of
from tests.unit.domain.audit_given import UID, objects

Json = dict[str, Any]

ARCHIVER = f"system:serviceaccount:{RELEASE_NAMESPACE}:penstock-archiver"
LATER = timedelta(days=30)
BOARD = "penstock-exported"


class Site:
    """A namespace with a Model and its log, and the archiver with the rights of its ServiceAccount."""

    def __init__(self, server: ApiServer, registry: str, key: Path, namespace: str) -> None:
        self.server, self.registry, self.key, self.namespace = server, registry, key, namespace
        self.later = LATER
        self.seconds = 60.0
        self.uid = UID
        self.prefix = f"{registry}/{namespace}"

    async def __aenter__(self) -> Site:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{RELEASE_NAMESPACE}")
        self.admin = await KubeClient.connect(kubeconfig=self.server.kubeconfig, user_agent="test")
        self.operator = await KubeClient.connect(
            kubeconfig=self.server.client_kubeconfig(OPERATOR, ("system:masters",)), user_agent="test"
        )
        self.archiver = await KubeClient.connect(
            kubeconfig=self.server.client_kubeconfig(ARCHIVER, groups), user_agent="test"
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in (self.admin, self.operator, self.archiver):
            await client.close()

    async def create(self, records: list[Json]) -> None:
        """Store records as the operator does."""
        for obj in objects(records):
            labels = {MODEL_LABEL: obj["spec"]["modelName"], MODEL_UID_LABEL: obj["spec"]["modelUID"]}
            metadata = {"name": obj["metadata"]["name"], "namespace": self.namespace, "labels": labels}
            body = {"apiVersion": API_VERSION, "kind": "DecisionRecord", "metadata": metadata, "spec": obj["spec"]}
            await self.operator.create(RECORDS, body)

    async def model(self) -> str:
        """Make the Model and return its uid."""
        metadata = {"name": "flight", "namespace": self.namespace}
        body = {"apiVersion": API_VERSION, "kind": "Model", "metadata": metadata, "spec": spec_of()}
        return str((await self.admin.create(MODELS, body))["metadata"]["uid"])

    async def numbers(self) -> list[int]:
        """The numbers of the records in the cluster."""
        found, _ = await self.admin.list(RECORDS, self.namespace)
        return sorted(obj["spec"]["sequence"] for obj in found)

    def store(self) -> LogStore:
        """The registry as the archiver reaches it."""
        return LogStore(self.prefix, insecure_registries=frozenset({self.registry}), deadline_seconds=30)

    async def run(self, store: LogStore | None = None) -> Tally:
        """One run of the archiver, at a later time."""
        signer = Signer.from_pem(self.key.read_bytes())
        with store or self.store() as opened:
            archive = Archive(opened, signer, trusted(signer, self.key.parent))
            clock = lambda: datetime.now(UTC) + self.later  # noqa: E731
            board = Board(self.archiver, RELEASE_NAMESPACE, BOARD)
            bucket = TokenBucket(1000, 1000)
            found = await Archiver(self.archiver, archive, board, clock, bucket, self.seconds).run()
        own = {key: said for key, said in found.problems.items() if key.startswith(f"{self.namespace}/")}
        found.problems = own
        return found

    async def said(self) -> Json | None:
        """What the archiver says about how far the log is outside."""
        data = (await self.admin.get(CONFIG_MAPS, RELEASE_NAMESPACE, BOARD)).get("data") or {}
        return json.loads(data[self.uid]) if self.uid in data else None

    async def verify(self, *more: str) -> tuple[int, str]:
        """What `penstock audit verify` says of the cluster and the store together."""
        command = ["audit", "verify", "-n", self.namespace, "--kubeconfig", str(self.server.kubeconfig)]
        command += ["--store", self.prefix, "--insecure", "--key", str(self.key.with_name("public.pem")), *more]

        def run() -> tuple[int, str]:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                return main.main(command), out.getvalue()

        return await asyncio.to_thread(run)


def own(records: list[Json], uid: str) -> list[Json]:
    """The log as that of a Model with another uid."""
    found: list[Json] = []
    for record in records:
        changed = {**record, "modelUID": uid}
        if found:
            changed["previousHash"] = found[-1]["hash"]
        changed["hash"] = content_hash(changed)
        found.append(changed)
    return found
