"""What no API server does on request: time that goes back, a page that expires, an answer that is no JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from penstock.kube.client import PAGE_SIZE, KubeClient
from penstock.kube.reflector import Reflector, Source, StateRewound
from penstock.kube.resources import CONFIG_MAPS, Resource
from tests.unit.kube.test_client import serving

Json = dict[str, Any]
Answer = Callable[[web.Request], web.Response]


class Script:
    """An API server that gives one answer after the other, and then none."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        if not self.answers:
            await asyncio.Event().wait()
        return self.answers.pop(0)(request)


class Store:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.kept: list[set[str]] = []
        self.twice = asyncio.Event()

    def observe(self, resource: Resource, event_type: str | None, obj: Json) -> None:
        self.names.append(obj["metadata"]["name"])
        if obj["metadata"]["name"] == "poison":
            raise ValueError("cannot be understood")

    def keep_only(self, resource: Resource, live: set[tuple[str, str, str]], resource_version: str) -> None:
        self.kept.append({name for _, name, _ in live})
        if len(self.kept) == 2:
            self.twice.set()


@pytest.fixture
async def script() -> Script:
    return Script()


@pytest.fixture
async def client(script: Script, tmp_path: Path) -> AsyncIterator[KubeClient]:
    async with serving(script.handle, tmp_path) as connected:
        yield connected


def page(version: int, *names: str, token: str = "") -> Answer:
    items = [{"metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": "1"}} for name in names]
    metadata = {"resourceVersion": str(version), "continue": token}
    return lambda _: web.json_response({"items": items, "metadata": metadata})


def gone(_: web.Request) -> web.Response:
    return web.json_response({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}, status=410)


def rubbish(_: web.Request) -> web.Response:
    return web.Response(body=b"<html>\n", content_type="application/json")


async def test_a_state_older_than_what_was_seen_ends_the_reflector(script: Script, client: KubeClient) -> None:
    script.answers = [page(100, "a"), gone, page(99, "a")]
    with pytest.raises(StateRewound, match="from version 100 to 99"):
        await asyncio.wait_for(Reflector(client, Source(CONFIG_MAPS), Store()).run(), 20)


async def test_a_list_whose_snapshot_expires_is_read_again_in_one_piece(script: Script, client: KubeClient) -> None:
    script.answers = [page(7, "a", "b", token="next"), gone, page(9, "b", "c")]
    store = Store()
    reflector = Reflector(client, Source(CONFIG_MAPS), store)
    task = asyncio.create_task(reflector.run())
    await asyncio.wait_for(reflector.listed(), 20)
    assert store.kept == [{"b", "c"}]
    assert [(asked.get("limit"), asked.get("continue")) for asked in script.asked[:3]] == [
        (str(PAGE_SIZE), None),
        (str(PAGE_SIZE), "next"),
        (None, None),
    ]
    task.cancel()
    await asyncio.wait([task])


async def test_an_object_that_cannot_be_understood_hides_no_other(script: Script, client: KubeClient) -> None:
    script.answers = [page(7, "a", "poison", "b")]
    store = Store()
    reflector = Reflector(client, Source(CONFIG_MAPS), store)
    task = asyncio.create_task(reflector.run())
    await asyncio.wait_for(reflector.listed(), 20)
    assert store.names == ["a", "poison", "b"]
    assert store.kept == [{"a", "poison", "b"}]
    task.cancel()
    await asyncio.wait([task])


async def test_a_stream_that_is_no_json_is_an_error_like_any_other(script: Script, client: KubeClient) -> None:
    script.answers = [page(7, "a"), rubbish, rubbish, rubbish, page(8, "b")]
    store = Store()
    task = asyncio.create_task(Reflector(client, Source(CONFIG_MAPS), store).run())

    await asyncio.wait_for(store.twice.wait(), 30)
    assert store.kept[-1] == {"b"}
    task.cancel()
    await asyncio.wait([task])
