"""The archiver with a real API server, the chart's rights and policies for it, and a real registry."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hack.cluster.apiserver import ApiServer
from penstock.archiver.__main__ import trusted
from penstock.archiver.archive import Archive, LogKey
from penstock.archiver.run import RECORDS
from penstock.archiver.settings import Settings
from penstock.artifact.errors import ArtifactError, Reason
from penstock.artifact.logstore import LogStore, Overtaken, StoredSegment
from penstock.domain.audit.signature import Signer
from penstock.kube import errors
from tests.contract.chart import RELEASE_NAMESPACE, helm, render
from tests.controller.archive_site import ARCHIVER, BOARD, Site, own
from tests.controller.archiver_given import VALUES, key, log_of_a_gone_model, registry, server, site
from tests.support.cluster import Cluster
from tests.unit.domain.audit_given import UID, objects

Json = dict[str, Any]
__all__ = ["key", "registry", "server", "site"]


async def test_log_of_a_model_is_exported_then_pruned_and_stays_one_chain(site: Site) -> None:
    site.uid = await site.model()
    records = own(log_of_a_gone_model(), site.uid)
    await site.create(records)
    closed = max(r["sequence"] for r in records if r["result"].get("candidate") is None)

    first = await site.run()
    assert (first.problems, first.deleted) == ({}, 0)
    assert await site.numbers() == list(range(1, len(records) + 1)), "nothing leaves in the run that writes it"
    second = await site.run()
    assert second.problems == {}
    assert second.deleted > 0
    left = await site.numbers()
    assert left == list(range(second.deleted + 1, len(records) + 1))
    assert len(left) >= 32
    code, out = await site.verify()
    assert code == 0, out
    assert f"records 1 to {len(records)} are one chain, " in out
    assert closed >= second.deleted
    third = await site.run()
    assert (third.problems, third.segments, third.deleted) == ({}, 0, 0)
    assert await site.said() == {"sequence": len(records), "hash": records[-1]["hash"], "quarantines": []}


async def test_young_records_stay(site: Site) -> None:
    site.uid = await site.model()
    await site.create(own(log_of_a_gone_model(), site.uid))
    site.later = datetime.fromisoformat(log_of_a_gone_model()[0]["time"]) - datetime.now(UTC) + timedelta(hours=23)
    await site.run()
    assert (await site.run()).deleted == 0


@pytest.mark.parametrize("quarantined", [False, True], ids=["no quarantine", "a quarantine"])
async def test_nothing_of_a_deleted_model_stays_but_what_a_quarantine_needs(site: Site, quarantined: bool) -> None:
    records = log_of_a_gone_model(quarantined=quarantined)
    await site.create(records)
    assert (await site.run()).problems == {}
    await site.run()
    left = await site.numbers()
    assert bool(left) is quarantined
    with site.store() as store:
        chain = list(store.chain(site.namespace, "flight", UID))
    assert len(chain) > 1


async def test_only_the_archiver_deletes_and_only_records(site: Site) -> None:
    records = log_of_a_gone_model()[:2]
    await site.create(records)
    name = objects(records)[1]["metadata"]["name"]
    with pytest.raises(errors.Forbidden, match="written by the operator alone"):
        await site.admin.delete(RECORDS, site.namespace, name)
    with pytest.raises(errors.Forbidden, match="written by the operator alone"):
        await site.operator.delete(RECORDS, site.namespace, name)
    for verb in (site.archiver.create, site.archiver.update):
        obj = await site.admin.get(RECORDS, site.namespace, name)
        with pytest.raises(errors.Forbidden):
            await verb(RECORDS, obj)
    await site.archiver.delete(RECORDS, site.namespace, name)
    assert await site.numbers() == [1]


async def test_logs_that_there_is_no_time_for_are_counted(site: Site) -> None:
    await site.create(log_of_a_gone_model())
    site.seconds = -1.0
    found = await site.run()
    assert (found.logs, found.exported) == (0, 0)
    assert found.left >= 1


async def test_a_broken_log_is_neither_exported_nor_pruned(site: Site) -> None:
    records = log_of_a_gone_model()
    await site.create([*records[:3], *records[4:]])
    found = await site.run()
    assert list(found.problems.values()) == [
        "the log is broken and stays as it is: record 4 is missing before record 5"
    ]
    with site.store() as store:
        assert store.newest(site.namespace, "flight", UID) is None


class Forgetful(LogStore):
    """A store that has lost the first segment of every log."""

    def segment(self, namespace: str, model: str, digest: str) -> StoredSegment:
        """Return a segment unless it is the first."""
        found = super().segment(namespace, model, digest)
        if found.before is None:
            raise ArtifactError(Reason.ARTIFACT_NOT_FOUND, f"The store holds no segment {digest}.")
        return found


async def test_a_store_that_lost_a_segment_keeps_the_records_in_the_cluster(site: Site) -> None:
    records = log_of_a_gone_model()
    await site.create(records)
    await site.run()
    hosts = frozenset({site.registry})
    found = await site.run(Forgetful(site.prefix, insecure_registries=hosts, deadline_seconds=30))
    assert "The store holds no segment" in next(iter(found.problems.values()))
    assert await site.numbers() == list(range(1, len(records) + 1))


async def test_two_archivers_at_once_never_lose_a_record(site: Site) -> None:
    """Whoever is overtaken gives up; nothing was deleted by then, and the next run puts it in order."""
    records = log_of_a_gone_model()
    await site.create(records)
    both = await asyncio.gather(site.run(), site.run())
    assert all("tag moved" in said for tally in both for said in tally.problems.values())
    while (await site.run()).segments or (await site.run()).deleted:
        pass
    assert await site.numbers() == []
    code, out = await site.verify("--model", "flight", "--uid", UID)
    assert code == 0, out
    assert f"records 1 to {len(records)} are one chain" in out


async def test_a_segment_behind_another_one_than_the_newest_is_refused(site: Site) -> None:
    await site.create(log_of_a_gone_model())
    await site.run()
    signer = Signer.from_pem(site.key.read_bytes())
    key = LogKey(site.namespace, "flight", UID)
    with site.store() as store:
        archive = Archive(store, signer, trusted(signer, site.key.parent))
        before = store.segment(site.namespace, "flight", archive.exported(key).digest or "")
        assert before.before is not None
        with pytest.raises(Overtaken, match="moved before"):
            store.append(
                site.namespace,
                "flight",
                UID,
                first=1,
                statement=before.statement,
                content=before.content,
                signature=before.signature,
                key=before.key,
                before=before.before,
            )


async def test_a_segment_of_a_stranger_is_not_believed(site: Site) -> None:
    records = log_of_a_gone_model()
    await site.create(records)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    stranger = Signer.from_pem(pem)
    key = LogKey(site.namespace, "flight", UID)
    with site.store() as store:
        Archive(store, stranger, lambda *_: None).append(
            key, Archive(store, stranger, lambda *_: None).exported(key), objects(records)[:5]
        )
    found = await site.run()
    assert "which is not one of those given" in next(iter(found.problems.values()))
    assert len(await site.numbers()) == len(records)
    code, out = await site.verify()
    assert code == 1
    assert "it was signed by the key" in out


def test_keys_that_are_none() -> None:
    with pytest.raises(ValueError, match="Ed25519"):
        Signer.from_pem(b"nothing")


def charted() -> dict[tuple[str, str], Json]:
    """The chart's objects for the archiver."""
    found = {(obj["kind"], obj["metadata"]["name"]): obj for obj in render(**VALUES)}
    return {key: obj for key, obj in found.items() if key[1] in ("penstock-archiver", BOARD)}


async def test_it_runs_as_the_chart_starts_it(site: Site) -> None:
    """The CronJob's own command and environment; only what is mounted lies elsewhere here."""
    records = log_of_a_gone_model()
    await site.create(records)
    pod = charted()["CronJob", "penstock-archiver"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {item["name"]: item.get("value", RELEASE_NAMESPACE) for item in container["env"]}
    fields = {item["name"]: item["valueFrom"] for item in container["env"] if "valueFrom" in item}
    assert fields == {"PENSTOCK_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    here = {
        "PENSTOCK_STORE": site.prefix,
        "PENSTOCK_INSECURE": f"{site.registry},other.example.com",
        "PENSTOCK_KEY": str(site.key),
        "PENSTOCK_FORMER_KEYS": str(site.key.parent),
        "KUBECONFIG": str(site.server.client_kubeconfig(ARCHIVER, ("system:serviceaccounts",))),
    }
    assert set(here) - {"KUBECONFIG"} <= set(environment)
    read = Settings.from_environment(environment)
    assert (read.store, read.seconds, read.deletes_per_second) == ("registry.example.com/penstock", 840.0, 20.0)

    async def start(**changes: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *container["command"][1:],
            env={**os.environ, **environment, **here, **changes},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    _, out, err = await start()
    tally = json.loads(out)
    assert not [key for key in tally["problems"] if key.startswith(site.namespace)], err
    assert tally["exported"] >= len(records)
    code, out = await site.verify()
    assert code == 0, out
    code, _, err = await start(PENSTOCK_KEY="/nowhere")
    assert code == 2
    assert "/nowhere" in err


def test_chart_is_accepted_and_gives_no_more_than_the_page_says(server: ApiServer) -> None:
    objects_ = charted()
    kinds = {kind for kind, _ in objects_}
    assert kinds == {
        *("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
        *("ConfigMap", "CronJob", "NetworkPolicy"),
    }
    assert "data" not in objects_["ConfigMap", BOARD], "an upgrade of the chart takes nothing away"
    with Cluster(server.kubeconfig) as admin:
        namespace = admin.create_namespace()
        for kind in ("CronJob", "NetworkPolicy", "ServiceAccount"):
            obj = objects_[kind, "penstock-archiver"]
            admin.create({**obj, "metadata": {**obj["metadata"], "namespace": namespace}}, dry_run=True)
        pod = objects_["CronJob", "penstock-archiver"]["spec"]["jobTemplate"]["spec"]["template"]
        metadata = {"name": "archiver", "namespace": namespace, "labels": pod["metadata"]["labels"]}
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        admin.merge(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, {"metadata": {"labels": labels}}
        )
        spec = {key: value for key, value in pod["spec"].items() if key != "serviceAccountName"}
        admin.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, dry_run=True)
    rights = {
        (" ".join((resource, *rule.get("resourceNames", []))), verb)
        for kind in ("ClusterRole", "Role")
        for rule in objects_[kind, "penstock-archiver"]["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    own_board = {(f"configmaps {BOARD}", "get"), (f"configmaps {BOARD}", "patch")}
    assert rights == {("decisionrecords", "list"), ("decisionrecords", "delete"), ("models", "get")} | own_board


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"archiver": {"enabled": True, "keySecret": "k"}}, "artifactStore.repository is required"),
        ({"archiver": {"enabled": True}, "artifactStore": {"repository": "r.example.com/p"}}, "keySecret is required"),
    ],
)
def test_chart_without_key_or_store_is_refused(values: Json, says: str) -> None:
    assert says in helm("template", **values).stderr


def test_without_it_nobody_deletes_records() -> None:
    off = render()
    assert [obj for obj in off if "archiver" in obj["metadata"]["name"]] == []
    policy = next(obj for obj in off if obj["metadata"]["name"] == "penstock-records")
    assert "archiver" not in json.dumps(policy)
