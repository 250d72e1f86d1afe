"""The client against a real API server: paging, preconditions and the errors it tells apart."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from hack.cluster.apiserver import ApiServer
from penstock.kube import errors
from penstock.kube.client import KubeClient
from penstock.kube.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, Json, Resource, uid_of, version_of

OTHER_UID = "00000000-0000-0000-0000-00000000000c"


@pytest.fixture
async def client(api_server: ApiServer) -> AsyncIterator[KubeClient]:
    async with await KubeClient.connect(kubeconfig=api_server.kubeconfig) as connected:
        yield connected


@pytest.fixture
async def namespace(client: KubeClient) -> str:
    created = await client.create(NAMESPACES, {"metadata": {"generateName": "client-"}})
    name: str = created["metadata"]["name"]
    return name


def config_map(namespace: str, name: str, **data: str) -> Json:
    return {"metadata": {"namespace": namespace, "name": name, "labels": {"half": str(len(data))}}, "data": data}


async def test_a_long_list_is_read_page_by_page_from_one_snapshot(client: KubeClient, namespace: str) -> None:
    made = await asyncio.gather(*(client.create(CONFIG_MAPS, config_map(namespace, f"c{n:02}")) for n in range(25)))
    before = client.calls["list", "configmaps"]
    items, version = await client.list(CONFIG_MAPS, namespace, page_size=10)
    assert client.calls["list", "configmaps"] == before + 3
    assert [item["metadata"]["name"] for item in items] == [f"c{n:02}" for n in range(25)]
    assert int(version) >= max(int(version_of(obj)) for obj in made)


async def test_a_list_can_be_restricted_by_label_and_to_metadata(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "one", key="value"))
    await client.create(CONFIG_MAPS, config_map(namespace, "two"))
    items, _ = await client.list(CONFIG_MAPS, namespace, label_selector="half=1", metadata_only=True)
    assert [item["metadata"]["name"] for item in items] == ["one"]
    assert "data" not in items[0]
    everywhere, _ = await client.list(CONFIG_MAPS, label_selector="half", metadata_only=True)
    assert {"one", "two"} <= {item["metadata"]["name"] for item in everywhere}


async def test_update_with_an_old_version_conflicts(client: KubeClient, namespace: str) -> None:
    old = await client.create(CONFIG_MAPS, config_map(namespace, "c"))
    new = await client.update(CONFIG_MAPS, {**old, "data": {"a": "1"}})
    assert new["data"] == {"a": "1"}
    with pytest.raises(errors.Conflict):
        await client.update(CONFIG_MAPS, {**old, "data": {"a": "2"}})


async def test_delete_obeys_uid_and_version(client: KubeClient, namespace: str) -> None:
    old = await client.create(CONFIG_MAPS, config_map(namespace, "c"))
    new = await client.patch_merge(CONFIG_MAPS, namespace, "c", {"data": {"a": "1"}})
    with pytest.raises(errors.Conflict):
        await client.delete(CONFIG_MAPS, namespace, "c", uid=OTHER_UID)
    with pytest.raises(errors.Conflict):
        await client.delete(CONFIG_MAPS, namespace, "c", uid=uid_of(old), resource_version=version_of(old))
    await client.delete(CONFIG_MAPS, namespace, "c", uid=uid_of(new), resource_version=version_of(new))
    with pytest.raises(errors.NotFound):
        await client.get(CONFIG_MAPS, namespace, "c")


async def test_apply_without_force_names_the_other_owner(client: KubeClient, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", **config_map(namespace, "c", a="1")}
    await client.apply(CONFIG_MAPS, body, field_manager="one")
    with pytest.raises(errors.Conflict) as conflict:
        await client.apply(CONFIG_MAPS, {**body, "data": {"a": "2"}}, field_manager="two", force=False)
    assert conflict.value.has_cause(reason="FieldManagerConflict")


async def test_status_is_written_through_its_subresource(client: KubeClient) -> None:
    namespace = await client.create(NAMESPACES, {"metadata": {"generateName": "status-"}})
    condition = {"type": "Ready", "status": "True", "reason": "Fine", "message": "", "lastTransitionTime": None}
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": namespace["metadata"]["name"]},
        "status": {"conditions": [condition]},
    }
    answer = await client.apply(NAMESPACES, body, field_manager="penstock-status", subresource="status")
    assert answer["status"]["conditions"][0]["reason"] == "Fine"


async def test_errors_are_told_apart(client: KubeClient, namespace: str, api_server: ApiServer) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "c"))
    with pytest.raises(errors.AlreadyExists):
        await client.create(CONFIG_MAPS, config_map(namespace, "c"))
    with pytest.raises(errors.NotFound):
        await client.get(CONFIG_MAPS, namespace, "missing")
    with pytest.raises(errors.Invalid) as invalid:
        await client.create(CONFIG_MAPS, config_map(namespace, "Not A Name"))
    assert invalid.value.has_cause(field="metadata.name")
    with pytest.raises(errors.NotFound):
        await client.list(Resource("example.com", "v1", "things", "Thing"), namespace)
    kubeconfig = api_server.client_kubeconfig("nobody")
    async with await KubeClient.connect(kubeconfig=kubeconfig) as nobody:
        with pytest.raises(errors.Forbidden) as forbidden:
            await nobody.list(PODS, namespace)
    assert not forbidden.value.namespace_terminating
    assert "nobody" in str(forbidden.value)


async def test_creating_in_a_namespace_that_is_going_away_says_so(client: KubeClient, namespace: str) -> None:
    await client.delete(NAMESPACES, None, namespace)
    with pytest.raises(errors.Forbidden) as forbidden:
        await client.create(CONFIG_MAPS, config_map(namespace, "late"))
    assert forbidden.value.namespace_terminating


async def test_raw_paths_and_metrics(client: KubeClient, namespace: str) -> None:
    assert await client.raw_get("/readyz") == b"ok"
    assert "gitVersion" in orjson.loads(await client.raw_get("/version"))
    await client.list(DEPLOYMENTS, namespace)
    assert client.calls["list", "deployments"] == 1
