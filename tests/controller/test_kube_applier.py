"""The applier against a real API server: what it writes, what it refuses, and when it does not write at all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from hack.cluster.apiserver import ApiServer
from penstock.kube import errors
from penstock.kube.applier import Applier, OwnerConflict, SequenceFenced, WriteRefused
from penstock.kube.cache import Cache
from penstock.kube.client import KubeClient
from penstock.kube.ratelimit import TokenBucket
from penstock.kube.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, SERVICES, Json, Resource, uid_of, version_of
from tests.unit.kube.forwarder import Forwarder

SEQUENCE = "penstock.dev/sequence"


@dataclass
class World:
    """A namespace with an owner, and an applier as it is right after a start of the process."""

    client: KubeClient
    namespace: str
    owner: Json
    cache: Cache
    applier: Applier

    def restarted(self) -> "World":
        """The same cluster seen by a new process with an empty cache."""
        cache = Cache()
        return World(self.client, self.namespace, self.owner, cache, new_applier(self.client, cache))

    async def watched(self, *resources: Resource) -> None:
        """Stands in for the watches: the cache becomes what the API server has."""
        for resource in resources or (DEPLOYMENTS, SERVICES, CONFIG_MAPS):
            items, version = await self.client.list(resource, self.namespace)
            for item in items:
                self.cache.upsert(resource, item)
            live = {(self.namespace, item["metadata"]["name"], uid_of(item)) for item in items}
            self.cache.prune(resource, live, version)

    async def apply(self, resource: Resource, desired: Json, **options: Any) -> bool:
        return (await self.applier.apply(resource, desired, owner_uid=uid_of(self.owner), **options)).changed

    def child(self, resource: Resource, name: str, *, sequence: int | None = None, **body: object) -> Json:
        owner = self.owner["metadata"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["name"], "uid": owner["uid"]}
        metadata: Json = {
            "namespace": self.namespace,
            "name": name,
            "labels": {"app.kubernetes.io/managed-by": "penstock"},
            "ownerReferences": [reference | {"controller": True, "blockOwnerDeletion": True}],
        }
        if sequence is not None:
            metadata["annotations"] = {SEQUENCE: str(sequence)}
        return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **body}

    def config_map(self, name: str = "child", *, sequence: int | None = None, **data: str) -> Json:
        return self.child(CONFIG_MAPS, name, sequence=sequence, data=data)

    def deployment(self, name: str = "web", **container: object) -> Json:
        labels = {"app": name}
        pod = {
            "containers": [
                {
                    "name": "main",
                    "image": "example.com/web:1",
                    "args": ["--port", "8080"],
                    "env": [{"name": "A", "value": "1"}],
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1000m", "memory": "1024Mi"}},
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                    **container,
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "automountServiceAccountToken": False,
        }
        spec = {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
        return self.child(DEPLOYMENTS, name, spec=spec)

    def service(self, name: str = "web", **more: object) -> Json:
        spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}], **more}
        return self.child(SERVICES, name, spec=spec)

    def writes(self) -> int:
        """How many writes this client has sent so far."""
        return sum(n for (verb, _), n in self.client.calls.items() if verb in ("create", "update", "patch", "delete"))


def new_applier(client: KubeClient, cache: Cache, may_write: Callable[[], bool] = lambda: True) -> Applier:
    return Applier(client, cache, TokenBucket(rate=1000, burst=1000), may_write=may_write)


@pytest.fixture
async def world(api_server: ApiServer) -> AsyncIterator[World]:
    async with await KubeClient.connect(kubeconfig=api_server.kubeconfig) as client:
        namespace = await client.create(NAMESPACES, {"metadata": {"generateName": "applier-"}})
        name = namespace["metadata"]["name"]
        owner = await client.create(CONFIG_MAPS, {"metadata": {"namespace": name, "name": "owner"}})
        cache = Cache()
        yield World(client, name, owner, cache, new_applier(client, cache))


async def test_creates_a_missing_object_and_applies_changes_to_it(world: World) -> None:
    assert await world.apply(CONFIG_MAPS, world.config_map(a="1"))
    assert await world.apply(CONFIG_MAPS, world.config_map(a="2", b="3"))
    live = await world.client.get(CONFIG_MAPS, world.namespace, "child")
    assert live["data"] == {"a": "2", "b": "3"}
    assert world.client.calls["get", "configmaps"] == 1, "the applier itself reads nothing on the way"


async def test_a_field_that_is_no_longer_wanted_goes(world: World) -> None:
    await world.apply(DEPLOYMENTS, world.deployment(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]))
    await world.apply(DEPLOYMENTS, world.deployment())
    live = await world.client.get(DEPLOYMENTS, world.namespace, "web")
    assert live["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "A", "value": "1"}]


async def test_the_same_intent_is_not_written_again_before_or_after_the_watch_shows_it(world: World) -> None:
    await world.apply(DEPLOYMENTS, world.deployment())
    written = world.writes()
    assert not await world.apply(DEPLOYMENTS, world.deployment())
    await world.watched()
    assert not await world.apply(DEPLOYMENTS, world.deployment())
    assert world.writes() == written


async def test_what_was_written_found_or_deleted_is_known_without_a_watch(world: World) -> None:
    await world.apply(CONFIG_MAPS, world.config_map(a="1"))
    written = world.cache.get(CONFIG_MAPS, world.namespace, "child")
    assert written is not None
    assert written["data"] == {"a": "1"}
    later = world.restarted()
    await later.apply(CONFIG_MAPS, later.config_map(a="1"))
    assert later.cache.get(CONFIG_MAPS, world.namespace, "child") == written
    await world.applier.delete(CONFIG_MAPS, world.namespace, "child", uid=uid_of(written))
    assert world.cache.get(CONFIG_MAPS, world.namespace, "child") is None
    await later.applier.delete(CONFIG_MAPS, world.namespace, "child", uid=uid_of(written))
    assert later.cache.get(CONFIG_MAPS, world.namespace, "child") is None


async def test_what_a_finalizer_keeps_is_known_to_be_going(world: World) -> None:
    kept = world.config_map(a="1")
    kept["metadata"]["finalizers"] = ["example.com/keep"]
    await world.apply(CONFIG_MAPS, kept)
    written = world.cache.get(CONFIG_MAPS, world.namespace, "child") or {}
    await world.applier.delete(CONFIG_MAPS, world.namespace, "child", uid=uid_of(written))
    going = world.cache.get(CONFIG_MAPS, world.namespace, "child") or {}
    assert going["metadata"]["deletionTimestamp"]
    await world.client.patch_merge(CONFIG_MAPS, world.namespace, "child", {"metadata": {"finalizers": None}})


async def test_an_intent_taken_back_before_the_watch_shows_it_is_taken_back(world: World) -> None:
    await world.apply(CONFIG_MAPS, world.config_map(a="1"))
    await world.watched()
    await world.apply(CONFIG_MAPS, world.config_map(a="1", b="2"))
    assert await world.apply(CONFIG_MAPS, world.config_map(a="1"))
    live = await world.client.get(CONFIG_MAPS, world.namespace, "child")
    assert live["data"] == {"a": "1"}


async def test_writes_of_others_to_the_status_and_to_their_own_fields_cause_no_write(world: World) -> None:
    await world.apply(DEPLOYMENTS, world.deployment())
    await world.client.patch_merge(DEPLOYMENTS, world.namespace, "web", {"status": {"replicas": 1}}, "status")
    await world.watched()
    written = world.writes()
    assert not await world.apply(DEPLOYMENTS, world.deployment())
    theirs = {"metadata": {"annotations": {"example.com/x": "y"}}}
    await world.client.patch_merge(DEPLOYMENTS, world.namespace, "web", theirs)
    await world.watched()
    assert not await world.apply(DEPLOYMENTS, world.deployment())
    assert world.writes() == written + 1


async def test_a_default_that_the_comparison_does_not_know_causes_no_repeated_writes(world: World) -> None:
    # The API server sets expirationSeconds inside this list, which is one atomic value to server-side apply.
    desired = world.deployment()
    token = {"sources": [{"serviceAccountToken": {"path": "token"}}]}
    desired["spec"]["template"]["spec"]["volumes"].append({"name": "token", "projected": token})
    await world.apply(DEPLOYMENTS, desired)
    written = world.writes()
    for replicas in (1, 2):
        await world.client.patch_merge(
            DEPLOYMENTS, world.namespace, "web", {"status": {"replicas": replicas}}, "status"
        )
        await world.watched()
        assert not await world.apply(DEPLOYMENTS, desired)
    assert world.writes() == written + 2


async def test_a_change_of_our_fields_by_others_is_undone(world: World) -> None:
    await world.apply(DEPLOYMENTS, world.deployment())
    await world.client.patch_merge(DEPLOYMENTS, world.namespace, "web", {"spec": {"replicas": 7}})
    await world.watched()
    assert await world.apply(DEPLOYMENTS, world.deployment())
    live = await world.client.get(DEPLOYMENTS, world.namespace, "web")
    assert live["spec"]["replicas"] == 2


async def test_after_a_restart_what_is_there_is_compared_and_not_written(world: World) -> None:
    objects = [(DEPLOYMENTS, world.deployment()), (SERVICES, world.service()), (CONFIG_MAPS, world.config_map(a="1"))]
    for resource, desired in objects:
        assert await world.apply(resource, desired)
    later = world.restarted()
    await later.watched()
    written = later.writes()
    for resource, desired in objects:
        assert not await later.apply(resource, desired)
    assert later.writes() == written


async def test_after_a_restart_a_field_dropped_from_the_intent_is_removed(world: World) -> None:
    await world.apply(SERVICES, world.service(publishNotReadyAddresses=True))
    later = world.restarted()
    await later.watched()
    assert await later.apply(SERVICES, later.service())
    live = await later.client.get(SERVICES, later.namespace, "web")
    assert "publishNotReadyAddresses" not in live["spec"]


async def test_with_an_empty_cache_an_own_object_is_found_by_the_refused_create(world: World) -> None:
    await world.apply(DEPLOYMENTS, world.deployment())
    before = await world.client.get(DEPLOYMENTS, world.namespace, "web")
    later = world.restarted()
    assert not await later.apply(DEPLOYMENTS, later.deployment())
    assert await later.apply(DEPLOYMENTS, later.deployment(image="example.com/web:2"))
    live = await later.client.get(DEPLOYMENTS, later.namespace, "web")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/web:2"
    assert uid_of(live) == uid_of(before)


@pytest.mark.parametrize("cached", [False, True])
async def test_an_object_of_somebody_else_is_never_touched(world: World, cached: bool) -> None:
    foreign = {"metadata": {"namespace": world.namespace, "name": "child"}, "data": {"theirs": "x"}}
    stored = await world.client.create(CONFIG_MAPS, foreign)
    if cached:
        await world.watched()
    with pytest.raises(OwnerConflict, match="belongs to no controller") as conflict:
        await world.apply(CONFIG_MAPS, world.config_map(a="1"))
    assert conflict.value.owner is None
    assert await world.client.get(CONFIG_MAPS, world.namespace, "child") == stored


async def test_an_object_of_a_former_owner_of_the_same_name_is_not_adopted(world: World) -> None:
    await world.apply(CONFIG_MAPS, world.config_map(a="1"))
    stored = await world.client.get(CONFIG_MAPS, world.namespace, "child")
    later = world.restarted()
    later.owner = {
        **world.owner,
        "metadata": {**world.owner["metadata"], "uid": "00000000-0000-0000-0000-00000000000a"},
    }
    with pytest.raises(OwnerConflict) as conflict:
        await later.apply(CONFIG_MAPS, later.config_map(a="2"))
    assert conflict.value.owner is not None
    assert conflict.value.owner["uid"] == uid_of(world.owner)
    assert await world.client.get(CONFIG_MAPS, world.namespace, "child") == stored


@pytest.mark.parametrize("replacement", ["foreign", "none", "ours"])
async def test_an_object_replaced_behind_our_back_is_noticed_by_its_uid(world: World, replacement: str) -> None:
    await world.apply(CONFIG_MAPS, world.config_map(a="1"))
    await world.watched()
    await world.client.delete(CONFIG_MAPS, world.namespace, "child")
    if replacement == "foreign":
        await world.client.create(CONFIG_MAPS, {"metadata": {"namespace": world.namespace, "name": "child"}})
        with pytest.raises(OwnerConflict):
            await world.apply(CONFIG_MAPS, world.config_map(a="2"))
        return
    if replacement == "ours":
        await world.restarted().apply(CONFIG_MAPS, world.config_map(a="1"))
    assert await world.apply(CONFIG_MAPS, world.config_map(a="2"))
    live = await world.client.get(CONFIG_MAPS, world.namespace, "child")
    assert live["data"] == {"a": "2"}


class TestSequenceFence:
    async def test_a_later_decision_in_the_cache_or_found_live_stops_an_earlier_one(self, world: World) -> None:
        await world.apply(CONFIG_MAPS, world.config_map(sequence=7, a="7"))
        for cached in (True, False):
            later = world.restarted()
            if cached:
                await later.watched()
            with pytest.raises(SequenceFenced) as fenced:
                await later.apply(CONFIG_MAPS, later.config_map(sequence=6, a="6"))
            assert (fenced.value.live, fenced.value.desired) == (7, 6)
        assert (await world.client.get(CONFIG_MAPS, world.namespace, "child"))["data"] == {"a": "7"}

    async def test_a_stale_cache_cannot_slip_past_the_fence(self, world: World) -> None:
        await world.apply(CONFIG_MAPS, world.config_map(sequence=5, a="5"))
        old_leader, new_leader = world.restarted(), world.restarted()
        await old_leader.watched()
        await new_leader.watched()
        await new_leader.apply(CONFIG_MAPS, world.config_map(sequence=7, a="7"))
        with pytest.raises(SequenceFenced):
            await old_leader.apply(CONFIG_MAPS, world.config_map(sequence=6, a="6"))
        assert (await world.client.get(CONFIG_MAPS, world.namespace, "child"))["data"] == {"a": "7"}

    async def test_unrelated_writes_do_not_stop_a_fenced_one(self, world: World) -> None:
        await world.apply(CONFIG_MAPS, world.config_map(sequence=5, a="5"))
        await world.watched()
        theirs = {"metadata": {"annotations": {"example.com/x": "y"}}}
        await world.client.patch_merge(CONFIG_MAPS, world.namespace, "child", theirs)
        assert await world.apply(CONFIG_MAPS, world.config_map(sequence=6, a="6"))


class TestPrecondition:
    async def test_the_version_decided_on_is_written(self, world: World) -> None:
        await world.apply(CONFIG_MAPS, world.config_map(a="1"))
        await world.watched()
        version = version_of(world.cache.get(CONFIG_MAPS, world.namespace, "child") or {})
        assert await world.apply(CONFIG_MAPS, world.config_map(a="2"), precondition=version)

    async def test_another_version_is_a_conflict(self, world: World) -> None:
        await world.apply(CONFIG_MAPS, world.config_map(a="1"))
        await world.watched()
        version = version_of(world.cache.get(CONFIG_MAPS, world.namespace, "child") or {})
        theirs = {"metadata": {"annotations": {"example.com/x": "y"}}}
        await world.client.patch_merge(CONFIG_MAPS, world.namespace, "child", theirs)
        with pytest.raises(errors.Conflict):
            await world.apply(CONFIG_MAPS, world.config_map(a="2"), precondition=version)

    async def test_a_missing_object_is_not_created(self, world: World) -> None:
        with pytest.raises(errors.Conflict):
            await world.apply(CONFIG_MAPS, world.config_map(a="2"), precondition="5")
        with pytest.raises(errors.NotFound):
            await world.client.get(CONFIG_MAPS, world.namespace, "child")


async def test_delete_means_that_very_object(world: World) -> None:
    await world.apply(CONFIG_MAPS, world.config_map(a="1"))
    live = await world.client.get(CONFIG_MAPS, world.namespace, "child")
    other = "00000000-0000-0000-0000-00000000000b"
    assert not await world.applier.delete(CONFIG_MAPS, world.namespace, "child", uid=other)
    assert await world.client.get(CONFIG_MAPS, world.namespace, "child") == live
    assert await world.applier.delete(CONFIG_MAPS, world.namespace, "child", uid=uid_of(live))
    assert not await world.applier.delete(CONFIG_MAPS, world.namespace, "child", uid=uid_of(live))


async def test_without_the_lead_nothing_is_written(world: World) -> None:
    applier = new_applier(world.client, world.cache, may_write=lambda: False)
    with pytest.raises(WriteRefused):
        await applier.apply(CONFIG_MAPS, world.config_map(a="1"), owner_uid=uid_of(world.owner))
    with pytest.raises(WriteRefused):
        await applier.delete(CONFIG_MAPS, world.namespace, "owner", uid=uid_of(world.owner))
    assert world.client.calls["patch", "configmaps"] == 0


async def test_two_processes_that_create_the_same_child_at_once_agree(world: World) -> None:
    others = [world.restarted() for _ in range(5)]
    results = await asyncio.gather(*(other.apply(SERVICES, other.service()) for other in others))
    assert sum(results) == 1


async def test_a_write_whose_answer_is_lost_is_found_and_not_repeated(world: World, api_server: ApiServer) -> None:
    async with Forwarder.to(api_server.url) as forwarder:
        kubeconfig = forwarder.kubeconfig(api_server.kubeconfig)
        async with await KubeClient.connect(kubeconfig=kubeconfig) as client:
            applier = new_applier(client, world.cache)
            await client.get(CONFIG_MAPS, world.namespace, "owner")
            forwarder.cuts_answers = True
            with pytest.raises(errors.Unreachable) as lost:
                await applier.apply(CONFIG_MAPS, world.config_map(a="1"), owner_uid=uid_of(world.owner))
            assert lost.value.outcome_unknown
            forwarder.cuts_answers = False
            live = await client.get(CONFIG_MAPS, world.namespace, "child")
            again = await applier.apply(CONFIG_MAPS, world.config_map(a="1"), owner_uid=uid_of(world.owner))
            assert not again.changed
            assert version_of(again.obj) == version_of(live)


async def test_an_invalid_object_is_refused_with_the_servers_words(world: World) -> None:
    with pytest.raises(errors.Invalid, match="must be between 1 and 65535"):
        await world.apply(SERVICES, world.child(SERVICES, "web", spec={"ports": [{"port": 99999}]}))
