"""What tests of the archiver stand on: an API server with its rights, a registry, a key, and logs of Models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hack.cluster.apiserver import ApiServer
from penstock.domain.audit.retention import moment, prunable, segments_due
from penstock.domain.audit.signature import Signer
from tests.contract.chart import RELEASE_NAMESPACE, render
from tests.controller.archive_site import BOARD, LATER, Site
from tests.support.cluster import Cluster
from tests.support.policies import install_policies
from tests.support.registry import running_registry
from tests.unit.domain.audit_given import walk

Json = dict[str, Any]

VALUES: Json = {
    "archiver": {"enabled": True, "keySecret": "log-key"},
    "artifactStore": {"repository": "registry.example.com/penstock"},
}


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """An API server with what the chart says about the archiver."""
    roles = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ConfigMap")
    names = ("penstock-archiver", "penstock-records", BOARD)
    parts = [obj for obj in render(**VALUES) if obj["metadata"]["name"] in names]
    with ApiServer() as running, Cluster(running.kubeconfig) as admin:
        admin.install_crds()
        admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE_NAMESPACE}})
        for obj in parts:
            if obj["kind"] in roles:
                admin.create(obj)
        install_policies(admin, parts)
        yield running


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with running_registry() as host:
        yield host


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key beside its public one."""
    folder = tmp_path_factory.mktemp("key")
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ed25519.pem").write_bytes(pem)
    (folder / "public.pem").write_bytes(Signer.from_pem(pem).public_pem())
    return folder / "ed25519.pem"


@pytest.fixture
async def site(server: ApiServer, registry: str, key: Path) -> AsyncIterator[Site]:
    with Cluster(server.kubeconfig) as admin:
        namespace = admin.create_namespace()
    async with Site(server, registry, key, namespace) as ready:
        yield ready


@cache
def _seed(quarantined: bool) -> int:
    for seed in range(300):
        records = walk(seed, 150)
        closed = records[-1]["result"].get("candidate") is None
        is_open = any(item["quarantined"] for item in records[-1]["result"]["rejected"])
        leaving = prunable(records, len(records), moment(records[-1]) + LATER)
        if closed and is_open is quarantined and len(segments_due(records, 0)) > 2 and len(leaving) > 2:
            return seed
    raise AssertionError("no life like that")


def log_of_a_gone_model(*, quarantined: bool = False) -> list[Json]:
    """A log whose end is a closed rollout, of which something may leave; with or without an open quarantine."""
    return walk(_seed(quarantined), 150)
