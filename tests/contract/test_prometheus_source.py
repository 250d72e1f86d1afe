"""The sources of a canary's numbers against a real Prometheus, a real Envoy and the model server's real page."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest

from hack.cluster.addons.images import envoy_binary
from penstock.domain.canary.counters import Baseline, PodCounts, Reading, advance, milliseconds, part, pod_of
from penstock.metrics.http import HttpClient
from penstock.metrics.problems import Problem, SourceUnavailable
from penstock.metrics.promapi import Endpoint, PrometheusApi
from penstock.metrics.prometheus import GatewayCounts, RuntimeCounts
from penstock.metrics.provider import TrackQuery, of_track
from penstock.metrics.scrape import Scrape
from penstock.runtime.metrics import Metrics
from penstock.runtime.settings import Settings
from tests.support.prometheus import Exporter, Prometheus, envoy, free_port, job, server

T = TypeVar("T")
STABLE = "0123456789ab"
RULE = "httproute/airline/delay/rule/0"
# Scraped every second here: what is silent for so long is no longer used.
WINDOW = 4


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    made = HttpClient()
    yield made
    await made.close()


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    with Exporter() as running:
        yield running


def page(counts: dict[str, tuple[int, int]], cluster: str = RULE) -> str:
    """What an Envoy shows: address -> (successes, errors)."""
    lines = ["# TYPE envoy_cluster_endpoint_rq_error counter", "# TYPE envoy_cluster_endpoint_rq_success counter"]
    for address, (success, error) in counts.items():
        labels = f'{{envoy_cluster_name="{cluster}",envoy_endpoint_address="{address}:8080"}}'
        lines += [f"envoy_cluster_endpoint_rq_success{labels} {success}"]
        lines += [f"envoy_cluster_endpoint_rq_error{labels} {error}"]
        lines += [f"envoy_cluster_endpoint_rq_timeout{labels} {error}"]
    return "\n".join(lines) + "\n"


def track(*addresses: str, since: datetime | None = None) -> TrackQuery:
    return about({f"pod-{address}": address for address in addresses}, 8080, since)


def about(pods: dict[str, str], port: int, since: datetime | None = None) -> TrackQuery:
    """What is asked about pods that all serve at the same port."""
    return TrackQuery("airline", "delay", pods, dict.fromkeys(pods, port), since)


async def until(read: Callable[[], Awaitable[T]], holds: Callable[[T], bool], seconds: float = 30) -> T:
    """Read until it holds; a source that is not there yet is asked again."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            answer = await read()
            if holds(answer):
                return answer
            last = answer
        except SourceUnavailable as problem:
            last = problem
        await asyncio.sleep(0.1)
    raise AssertionError(f"after {seconds} s there was still {last}")


async def until_problem(read: Callable[[], Awaitable[object]], *reasons: Problem) -> SourceUnavailable:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            await read()
        except SourceUnavailable as problem:
            if problem.reason in reasons:
                return problem
        await asyncio.sleep(0.1)
    raise AssertionError(f"no {reasons} after 30 s")


async def test_counts_carry_the_time_of_their_sample(tmp_path: Path, client: HttpClient, exporter: Exporter) -> None:
    exporter.page = page({"10.0.0.1": (90, 1), "10.0.0.2": (7, 2)}) + page({"10.0.0.1": (5, 5)}, RULE + "-mirror-0")
    exporter.page += page({"10.0.0.1": (3, 3)}, "httproute/airline/delay/rule/1")
    exporter.page += page({"10.0.0.1": (3, 3)}, "httproute/railway/delay/rule/0")
    with Prometheus(tmp_path, [job("envoy", exporter.instance)]) as prometheus:
        source = GatewayCounts(PrometheusApi(client, Endpoint(prometheus.url)), WINDOW)
        query = track("10.0.0.1", "10.0.0.2", "10.0.0.3")
        reading = await until(lambda: source.read(query), lambda _: True)
        assert reading.pods == {
            part("pod-10.0.0.1", exporter.instance): PodCounts(None, errors=1, total=91),
            part("pod-10.0.0.2", exporter.instance): PodCounts(None, errors=2, total=9),
        }
        assert of_track(reading, {"pod-10.0.0.2"}).pods.keys() == {part("pod-10.0.0.2", exporter.instance)}
        # The real times of the samples, as Prometheus itself names them.
        stored = prometheus.ask("query", query="envoy_cluster_endpoint_rq_error[1m]")["result"]
        times = {milliseconds(datetime.fromtimestamp(at, UTC)) for series in stored for at, _ in series["values"]}
        assert milliseconds(reading.at) in times
        assert reading.at <= datetime.now(UTC)
        late = track("10.0.0.1", since=datetime.now(UTC) + timedelta(hours=1))
        with pytest.raises(SourceUnavailable, match="NoData"):
            await source.read(late)


async def test_an_envoy_that_starts_anew_loses_nothing_of_the_other(tmp_path: Path, client: HttpClient) -> None:
    with Exporter() as one, Exporter() as two:
        one.page, two.page = page({"10.0.0.1": (100, 10)}), page({"10.0.0.1": (50, 5)})
        with Prometheus(tmp_path, [job("envoy", one.instance, two.instance)]) as prometheus:
            source = GatewayCounts(PrometheusApi(client, Endpoint(prometheus.url)), WINDOW)

            async def read() -> Reading:
                return await source.read(track("10.0.0.1"))

            first = await until(read, lambda reading: len(reading.pods) == 2)
            one.page = page({"10.0.0.1": (4, 3)})
            two.page = page({"10.0.0.1": (60, 5)})
            wanted = {(7, 3), (65, 5)}
            second = await until(read, lambda r: {(c.total, c.errors) for c in r.pods.values()} == wanted)
            baseline, _ = advance(Baseline(milliseconds(first.at)), first.at, values(first))
            _, counted = advance(baseline, second.at, values(second))
            assert counted.summed(2) == (7 + 10, 3)


def values(reading: Reading) -> dict[str, tuple[datetime | None, tuple[int, int]]]:
    return {key: (counts.started_at, (counts.total, counts.errors)) for key, counts in reading.pods.items()}


async def test_a_silent_target_is_absent_and_not_zero(tmp_path: Path, client: HttpClient) -> None:
    with Exporter() as one, Exporter() as two:
        one.page, two.page = page({"10.0.0.1": (1, 0)}), page({"10.0.0.2": (1, 0)})
        with Prometheus(tmp_path, [job("envoy", one.instance, two.instance)]) as prometheus:
            source = GatewayCounts(PrometheusApi(client, Endpoint(prometheus.url)), WINDOW)

            async def read() -> Reading:
                return await source.read(track("10.0.0.1", "10.0.0.2"))

            await until(read, lambda reading: len(reading.pods) == 2)
            two.silent = True
            reading = await until(read, lambda reading: len(reading.pods) == 1)
            assert {pod_of(key) for key in reading.pods} == {"pod-10.0.0.1"}
            one.silent = True
            await until_problem(read, Problem.NO_DATA)
            one.silent = False
            await until(read, lambda reading: len(reading.pods) == 1)


async def test_prometheus_stops_and_comes_back(tmp_path: Path, client: HttpClient, exporter: Exporter) -> None:
    exporter.page = page({"10.0.0.1": (10, 1)})
    with Prometheus(tmp_path, [job("envoy", exporter.instance)]) as prometheus:
        source = GatewayCounts(PrometheusApi(client, Endpoint(prometheus.url)), WINDOW)

        async def read() -> Reading:
            return await source.read(track("10.0.0.1"))

        before = await until(read, lambda _: True)
        prometheus.stop()
        with pytest.raises(SourceUnavailable) as stopped:
            await read()
        assert stopped.value.reason is Problem.UNREACHABLE
        assert "127.0.0.1" in stopped.value.message
        exporter.page = page({"10.0.0.1": (30, 2)})
        prometheus.start()
        after = await until(read, lambda reading: reading.at > before.at)
        assert [(counts.total, counts.errors) for counts in after.pods.values()] == [(32, 2)]


async def test_numbers_that_no_counter_has(tmp_path: Path, client: HttpClient, exporter: Exporter) -> None:
    wrong = {"NaN": Problem.NOT_FINITE, "+Inf": Problem.NOT_FINITE, "-1": Problem.NOT_A_COUNTER}
    wrong["1.5"] = Problem.NOT_A_COUNTER
    addresses = {f"10.0.0.{number}": value for number, value in enumerate(wrong)}
    pages = (page({address: (10, 1)}).replace(" 10\n", f" {value}\n") for address, value in addresses.items())
    exporter.page = "".join(line + "\n" for text in pages for line in text.splitlines() if line[0] != "#")
    with Prometheus(tmp_path, [job("envoy", exporter.instance)]) as prometheus:
        source = GatewayCounts(PrometheusApi(client, Endpoint(prometheus.url)), WINDOW)
        for address, value in addresses.items():
            await until_problem(partial(source.read, track(address)), wrong[value])


async def test_an_envoy_scraped_twice_is_refused(tmp_path: Path, client: HttpClient, exporter: Exporter) -> None:
    exporter.page = page({"10.0.0.1": (10, 1)})
    with Prometheus(tmp_path, [job("a", exporter.instance), job("b", exporter.instance)]) as prometheus:
        source = GatewayCounts(PrometheusApi(client, Endpoint(prometheus.url)), WINDOW)
        await until_problem(lambda: source.read(track("10.0.0.1")), Problem.DUPLICATE)


async def test_a_real_envoy_tells_the_tracks_apart(tmp_path: Path, client: HttpClient) -> None:
    """1,000 requests at 90/10 over two pods each, of which the candidate fails some in every way there is."""
    port = free_port()
    stable, candidate = ("127.0.0.2", "127.0.0.3"), ("127.0.0.4", "127.0.0.5")
    weights = {f"{host}:{port}": 45 for host in stable} | {f"{host}:{port}": 5 for host in candidate}
    asked: Counter[str] = Counter()
    failed: Counter[str] = Counter()

    def behaviour(host: str) -> Callable[[], int]:
        def answer() -> int:
            asked[host] += 1
            fails = host in candidate and asked[host] % 5 == 0
            failed[host] += fails
            if fails and asked[host] % 15 == 0:
                return 0
            if fails and asked[host] == 10:
                time.sleep(1.5)
                return 200
            return 500 if fails else 404 if asked[host] % 50 == 0 else 200

        return answer

    with ExitStack() as stack:
        for host in (*stable, *candidate):
            stack.enter_context(server(behaviour(host), host, port))
        traffic, admin = stack.enter_context(envoy(envoy_binary(), tmp_path / "envoy", {RULE: weights}))
        jobs = [job("envoy", f"127.0.0.1:{admin}", path="/stats/prometheus")]
        prometheus = stack.enter_context(Prometheus(tmp_path, jobs))
        seen: Counter[int] = Counter()
        async with aiohttp.ClientSession() as session:

            async def send(count: int) -> None:
                for _ in range(count):
                    async with session.post(f"http://127.0.0.1:{traffic}/0", data=b"{}") as response:
                        seen[response.status] += 1

            await asyncio.gather(*(send(100) for _ in range(10)))
        pods = {host: host for host in (*stable, *candidate)}
        source = GatewayCounts(PrometheusApi(client, Endpoint(prometheus.url)), WINDOW)
        query = about(pods, port)
        reading = await until(lambda: source.read(query), lambda r: sum(c.total for c in r.pods.values()) == 1000)
        counted = {pod_of(key): (counts.total, counts.errors) for key, counts in reading.pods.items()}
        assert counted == {host: (asked[host], failed[host]) for host in pods}
        assert sum(counted[host][0] for host in stable) == 900
        assert sum(counted[host][1] for host in stable) == 0
        bad = sum(count for status, count in seen.items() if status >= 500)
        assert sum(counted[host][1] for host in candidate) == bad > 15


async def test_no_connection_is_an_error_and_a_timeout_is_one(tmp_path: Path, client: HttpClient) -> None:
    # A server of the owner's own serves at another port than the built-in one.
    ports = {"slow": free_port(), "gone": free_port()}
    pods = {"slow": "127.0.0.2", "gone": "127.0.0.3"}

    def slow() -> int:
        time.sleep(1.3)
        return 200

    with ExitStack() as stack:
        stack.enter_context(server(slow, pods["slow"], ports["slow"]))
        clusters = {
            RULE: {f"{pods['slow']}:{ports['slow']}": 1},
            RULE + "/backend/1": {f"{pods['gone']}:{ports['gone']}": 1},
        }
        traffic, admin = stack.enter_context(envoy(envoy_binary(), tmp_path / "envoy", clusters))
        jobs = [job("envoy", f"127.0.0.1:{admin}", path="/stats/prometheus")]
        prometheus = stack.enter_context(Prometheus(tmp_path, jobs))
        async with aiohttp.ClientSession() as session:
            for route, status in ((0, 504), (1, 503), (1, 503)):
                async with session.post(f"http://127.0.0.1:{traffic}/{route}") as response:
                    assert response.status == status
        source = GatewayCounts(PrometheusApi(client, Endpoint(prometheus.url)), WINDOW)
        query = TrackQuery("airline", "delay", pods, ports)
        reading = await until(lambda: source.read(query), lambda r: sum(c.total for c in r.pods.values()) == 3)
        counted = {pod_of(key): (counts.total, counts.errors) for key, counts in reading.pods.items()}
        assert counted == {"slow": (1, 1), "gone": (2, 2)}


def runtime_page(codes: dict[int, int]) -> str:
    """The real page of a model server that answered so many requests, each in 30 ms."""
    environment = {"PENSTOCK_MODEL_NAME": "delay", "PENSTOCK_REVISION": STABLE, "PENSTOCK_MODEL_FORMAT": "ONNX"}
    metrics = Metrics(Settings.from_environment(environment | {"PENSTOCK_ARTIFACT_DIGEST": "sha256:" + "0" * 64}))
    for code, count in codes.items():
        for _ in range(count):
            metrics.answered(code, 0.03)
    return metrics.page()[1].decode()


async def test_prometheus_and_a_scrape_agree_about_a_model_server(tmp_path: Path, client: HttpClient) -> None:
    with Exporter() as exporter:
        exporter.page = runtime_page({200: 7, 422: 2, 500: 1, 503: 1})
        exporter.page += 'penstock_inference_requests_total{model="delay",code="500",role="shadow"} 99\n'
        pods = {"pod": "127.0.0.1"}
        query = TrackQuery("airline", "delay", pods, dict.fromkeys(pods, 8080), metrics_port=exporter.port)
        with Prometheus(tmp_path, [job("models", exporter.instance)]) as prometheus:
            source = RuntimeCounts(PrometheusApi(client, Endpoint(prometheus.url)), WINDOW)
            stored = (await until(lambda: source.read(query), lambda _: True)).pods["pod"]
            scraped = (await Scrape(client).read(query)).pods["pod"]
            assert stored == scraped
        assert (scraped.errors, scraped.total) == (2, 11)
        assert dict(scraped.buckets)[0.02] == 0
        assert dict(scraped.buckets)[0.05] == dict(scraped.buckets)[float("inf")] == 11
        assert scraped.started_at is not None
        assert abs((datetime.now(UTC) - scraped.started_at).total_seconds()) < 60
