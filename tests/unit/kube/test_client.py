"""The client against a small HTTP server, for the answers that a healthy API server does not give."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from penstock.kube import errors
from penstock.kube.client import KubeClient
from penstock.kube.metrics import KubeMetrics
from penstock.kube.resources import LEASES, PODS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def serving(handler: Handler, folder: Path, metrics: KubeMetrics | None = None) -> AsyncIterator[KubeClient]:
    """A client with a token whose server answers everything by `handler`."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    path = folder / "kubeconfig"
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://{host}:{port}/"}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
    }
    await asyncio.to_thread(path.write_text, yaml.safe_dump(document))
    try:
        async with await KubeClient.connect(kubeconfig=path, user_agent="test/1", metrics=metrics) as client:
            yield client
    finally:
        await runner.cleanup()


async def test_credentials_and_name_are_sent(tmp_path: Path) -> None:
    seen: list[tuple[str | None, str | None]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.headers.get("Authorization"), request.headers.get("User-Agent")))
        return web.json_response({"metadata": {}})

    async with serving(handler, tmp_path) as client:
        await client.get(PODS, "ns", "p")
    assert seen == [("Bearer secret", "test/1")]


@pytest.mark.parametrize(
    ("header", "details", "seconds"), [("7", {}, 7.0), (None, {"retryAfterSeconds": 3}, 3.0), (None, {}, None)]
)
async def test_429_says_how_long_to_wait(
    tmp_path: Path, header: str | None, details: dict[str, int], seconds: float | None
) -> None:
    async def handler(_: web.Request) -> web.Response:
        body = {"reason": "TooManyRequests", "message": "later", "details": details}
        return web.json_response(body, status=429, headers={"Retry-After": header} if header else {})

    async with serving(handler, tmp_path) as client:
        with pytest.raises(errors.TooManyRequests) as refused:
            await client.get(PODS, "ns", "p")
    assert refused.value.retry_after == seconds


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, errors.ServerError), (503, errors.ServerError), (401, errors.Unauthorized), (302, errors.ApiError)],
)
async def test_an_answer_that_is_no_status_object_is_still_an_api_error(
    tmp_path: Path, status: int, kind: type[errors.ApiError]
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text="upstream <b>trouble</b>")

    metrics = KubeMetrics()
    async with serving(handler, tmp_path, metrics) as client:
        with pytest.raises(kind, match="upstream"):
            await client.get(PODS, "ns", "p")
    assert metrics.requests.labels(str(status), "GET")._value.get() == 1


async def test_a_silent_server_is_given_up_and_a_write_may_have_happened(tmp_path: Path) -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    lease = {"metadata": {"namespace": "ns", "name": "l"}}
    async with serving(handler, tmp_path) as client:
        with pytest.raises(errors.Unreachable, match="no answer within") as write:
            await client.create(LEASES, lease, timeout=0.05)
        with pytest.raises(errors.Unreachable) as read:
            await client.get(LEASES, "ns", "l", timeout=0.05)
    assert write.value.outcome_unknown
    assert not read.value.outcome_unknown


async def test_a_refused_connection_is_no_unknown_outcome(tmp_path: Path) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response()

    async with serving(handler, tmp_path):
        pass
    async with await KubeClient.connect(kubeconfig=tmp_path / "kubeconfig") as client:
        with pytest.raises(errors.Unreachable, match="cannot be reached") as refused:
            await client.create(LEASES, {"metadata": {"namespace": "ns", "name": "l"}})
    assert not refused.value.outcome_unknown


async def test_a_list_whose_snapshot_expires_between_pages_starts_again_unpaged(tmp_path: Path) -> None:
    queries: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        queries.append(dict(request.query))
        if "continue" in request.query:
            return web.json_response({"reason": "Expired", "message": "too old"}, status=410)
        if "limit" in request.query:
            return web.json_response({"metadata": {"resourceVersion": "5", "continue": "x"}, "items": [{"n": 1}]})
        return web.json_response({"metadata": {"resourceVersion": "9"}, "items": [{"n": 1}, {"n": 2}]})

    async with serving(handler, tmp_path) as client:
        items, version = await client.list(PODS, "ns", label_selector="a=b", page_size=1)
    assert (items, version) == ([{"n": 1}, {"n": 2}], "9")
    assert queries[-1] == {"labelSelector": "a=b"}
