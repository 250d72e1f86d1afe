"""Which source counts, what a pod's own page says, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web

from penstock.api.v1alpha1 import MetricSource
from penstock.domain.canary.counters import part, pod_of
from penstock.metrics import runtime, scrape
from penstock.metrics.factory import Counters, SourceFactory
from penstock.metrics.http import HttpClient, Request
from penstock.metrics.problems import Problem, SourceUnavailable
from penstock.metrics.promapi import Endpoint, PrometheusApi
from penstock.metrics.prometheus import GatewayCounts, RuntimeCounts
from penstock.metrics.provider import TrackQuery
from penstock.metrics.samples import count_of
from penstock.metrics.scrape import Scrape
from tests.support.prometheus import Exporter, free_port

REQUESTS = 'penstock_inference_requests_total{model="m",revision="r",code="%d"} %s\n'


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    made = HttpClient()
    yield made
    await made.close()


def source(name: str = "main", **spec: object) -> MetricSource:
    fields = {"type": "Prometheus", "url": "http://prometheus.metrics.svc:9090", **spec}
    return MetricSource.model_validate({"kind": "MetricSource", "metadata": {"name": name}, "spec": fields})


def factory(
    client: HttpClient, *sources: MetricSource, default: str = "", counters: Counters = Counters.GATEWAY
) -> SourceFactory:
    return SourceFactory({s.metadata.name: s for s in sources}.get, client, default=default, counters=counters)


def query(port: int, *addresses: str) -> TrackQuery:
    pods = {f"pod-{address}": address for address in addresses}
    return TrackQuery("a", "m", pods, dict.fromkeys(pods, 8080), metrics_port=port)


def test_without_a_default_the_pods_are_asked(client: HttpClient) -> None:
    chosen = factory(client).choose("a", routed_by_gateway=True)
    assert isinstance(chosen.requests, Scrape)
    assert chosen.latency is chosen.requests
    assert chosen.label == "runtime (scrape)"


def test_the_gateway_counts_where_it_routes(client: HttpClient) -> None:
    sources = factory(client, source(), default="main")
    gateway, service = (sources.choose("a", routed_by_gateway=by) for by in (True, False))
    assert (type(gateway.requests), type(gateway.latency)) == (GatewayCounts, RuntimeCounts)
    assert (type(service.requests), service.label) == (RuntimeCounts, "runtime (main)")
    assert gateway.label == "gateway (main)"
    by_runtime = factory(client, source(), default="main", counters=Counters.RUNTIME).choose(
        "a", routed_by_gateway=True
    )
    assert isinstance(by_runtime.requests, RuntimeCounts)


def test_a_default_that_scrapes(client: HttpClient) -> None:
    pods = MetricSource.model_validate(
        {"kind": "MetricSource", "metadata": {"name": "pods"}, "spec": {"type": "Scrape"}}
    )
    sources = factory(client, pods, default="pods")
    assert isinstance(sources.choose("a", routed_by_gateway=True).requests, Scrape)
    with pytest.raises(SourceUnavailable, match="answers no queries"):
        sources.user_metrics("pods", "a")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (source("other"), Problem.MISSING),
        (source(allowedNamespaces=["b", "c"]), Problem.NOT_ADMITTED),
        (source(url="https://p", tls={"caBundle": "-----BEGIN CERTIFICATE-----\nx"}), Problem.BAD_SOURCE),
    ],
)
def test_no_source_for_this_namespace(client: HttpClient, made: MetricSource, reason: Problem) -> None:
    sources = factory(client, made, default="main")
    with pytest.raises(SourceUnavailable) as of_requests:
        sources.choose("a", routed_by_gateway=True)
    with pytest.raises(SourceUnavailable) as of_queries:
        sources.user_metrics("main", "a")
    assert of_requests.value.reason is of_queries.value.reason is reason


def test_admitted_by_name(client: HttpClient) -> None:
    sources = factory(client, source(allowedNamespaces=["a"]), default="main")
    assert sources.user_metrics("main", "a") is not None
    assert sources.choose("a", routed_by_gateway=True).label == "gateway (main)"


def test_what_a_server_counts() -> None:
    labels = {"model": "m", "revision": "r"}
    samples: list[runtime.Sample] = [
        (runtime.REQUESTS, labels | {"code": "200"}, "5"),
        (runtime.REQUESTS, labels | {"code": "422"}, "2.0"),
        (runtime.REQUESTS, labels | {"code": "503"}, "1e+00"),
        (runtime.REQUESTS, labels | {"code": "500", "role": "shadow"}, "70"),
        (runtime.REQUESTS, labels | {"code": "200", "role": "stable"}, "3"),
        (runtime.DURATIONS, labels | {"le": "+Inf"}, "11"),
        (runtime.DURATIONS, labels | {"le": "0.5"}, "4"),
        (runtime.DURATIONS, labels | {"le": "0.5", "role": "shadow"}, "60"),
        (runtime.STARTED, labels, "1700000000.5"),
    ]
    counts = runtime.counts(samples, "p")
    assert counts is not None
    assert (counts.errors, counts.total, counts.buckets) == (1, 11, ((0.5, 4), (float("inf"), 11)))
    assert counts.started_at == datetime.fromtimestamp(1700000000.5, UTC)
    assert runtime.counts([("up", {}, "1")], "p") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", Problem.NOT_FINITE),
        ("+Inf", Problem.NOT_FINITE),
        ("1e999", Problem.NOT_FINITE),
        ("-1", Problem.NOT_A_COUNTER),
        ("0.5", Problem.NOT_A_COUNTER),
        ("1e17", Problem.NOT_A_COUNTER),
        ("many", Problem.BAD_ANSWER),
    ],
)
def test_numbers_that_do_not_count(text: str, reason: Problem) -> None:
    with pytest.raises(SourceUnavailable) as refused:
        count_of(text, "it")
    assert refused.value.reason is reason


def test_keys() -> None:
    assert pod_of(part("a-b", "10.0.0.1:19001")) == "a-b" == pod_of("a-b")


async def test_pods_that_answer_are_counted_and_others_are_absent(client: HttpClient) -> None:
    port = free_port()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with Exporter(REQUESTS % (200, "9.0") + REQUESTS % (500, "1.0") + "# HELP\nup{ nonsense\n", port):
        reading = await Scrape(client, lambda: at).read(query(port, "127.0.0.1", "127.0.0.9"))
    assert reading.at == at
    assert {pod: (counts.errors, counts.total) for pod, counts in reading.pods.items()} == {"pod-127.0.0.1": (1, 10)}


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("up 1\n", Problem.NO_METRIC_SOURCE),
        ("", Problem.NO_METRIC_SOURCE),
        (REQUESTS % (200, "NaN"), Problem.NOT_FINITE),
        (REQUESTS % (200, "x"), Problem.BAD_ANSWER),
        ('penstock_inference_requests_total{code="200} 1\n', Problem.BAD_ANSWER),
        ("x" * (scrape.MOST_BYTES + 1), Problem.TOO_LARGE),
    ],
    ids=["other metrics", "nothing", "NaN", "no number", "no label", "too large"],
)
async def test_pages_that_count_nothing(client: HttpClient, page: str, reason: Problem) -> None:
    with Exporter(page) as exporter:
        with pytest.raises(SourceUnavailable) as refused:
            await Scrape(client).read(query(exporter.port, "127.0.0.1"))
        assert refused.value.reason is reason


async def test_no_pod_and_no_answer(client: HttpClient) -> None:
    with pytest.raises(SourceUnavailable, match="no pod to ask"):
        await Scrape(client).read(query(1))
    with Exporter() as exporter:
        exporter.silent = True
        with pytest.raises(SourceUnavailable, match="answers 503") as refused:
            await Scrape(client).read(query(exporter.port, "127.0.0.1"))
    assert refused.value.reason is Problem.UNREACHABLE


async def test_a_server_without_such_a_page_is_no_source(client: HttpClient) -> None:
    with Exporter() as exporter:
        exporter.missing = True
        with pytest.raises(SourceUnavailable, match="/metrics answers 404") as refused:
            await Scrape(client).read(query(exporter.port, "127.0.0.1"))
    assert refused.value.reason is Problem.NO_METRIC_SOURCE
    assert refused.value.uncounted == {"pod-127.0.0.1": refused.value.message}


async def test_a_pod_that_counts_nothing_is_named_beside_those_that_count(client: HttpClient) -> None:
    port = free_port()
    with Exporter(REQUESTS % (200, "9.0"), port):
        reading = await Scrape(client).read(query(port, "127.0.0.1", "127.0.0.9"))
    assert set(reading.pods) == {"pod-127.0.0.1"}
    assert set(reading.uncounted) == {"pod-127.0.0.9"}, "nothing listens there"


async def test_who_does_not_answer_now_may_count_all_the_same(client: HttpClient) -> None:
    with Exporter() as exporter:
        exporter.silent = True
        with pytest.raises(SourceUnavailable) as refused:
            await Scrape(client).read(query(exporter.port, "127.0.0.1"))
    assert not refused.value.uncounted
    with pytest.raises(SourceUnavailable) as nobody:
        await Scrape(client).read(query(free_port(), "127.0.0.1"))
    assert nobody.value.reason is Problem.UNREACHABLE
    assert set(nobody.value.uncounted) == {"pod-127.0.0.1"}


async def test_an_answer_that_never_ends_is_given_up(client: HttpClient) -> None:
    async def forever(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    app = web.Application()
    app.router.add_get("/", forever)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        with pytest.raises(SourceUnavailable) as late:
            await client.fetch(Request(f"http://127.0.0.1:{port}/", seconds=0.3, most_bytes=10))
        assert late.value.reason is Problem.TIMEOUT
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (
            200,
            b'{"status":"success","warnings":["store down"],"data":{"resultType":"matrix","result":[]}}',
            Problem.PARTIAL,
        ),
        (200, b'{"status":"success","data":{"resultType":"vector","result":[]}}', Problem.BAD_ANSWER),
        (200, b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{}}]}}', Problem.BAD_ANSWER),
        (
            200,
            b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"histograms":[]}]}}',
            Problem.NOT_A_COUNTER,
        ),
        (200, b"<html>", Problem.BAD_ANSWER),
        (200, b"[]", Problem.BAD_ANSWER),
        (302, b"", Problem.BAD_ANSWER),
        (401, b"", Problem.DENIED),
        (503, b"no upstream", Problem.UNREACHABLE),
        (503, b'{"status":"error","errorType":"timeout","error":"query timed out"}', Problem.TIMEOUT),
        (422, b'{"status":"error","errorType":"execution","error":"too many samples"}', Problem.BAD_QUERY),
    ],
)
async def test_answers_that_prove_nothing(client: HttpClient, status: int, body: bytes, reason: Problem) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_post("/prefix/api/v1/query", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        with pytest.raises(SourceUnavailable) as refused:
            await PrometheusApi(client, Endpoint(f"http://127.0.0.1:{port}/prefix/")).window("up", 30)
        assert refused.value.reason is reason
    finally:
        await runner.cleanup()


def test_a_message_is_one_short_line() -> None:
    problem = SourceUnavailable(Problem.BAD_ANSWER, "a\nb\x00" + "c" * 1000)
    assert len(problem.message) == 300
    assert problem.message.startswith("a b c")
