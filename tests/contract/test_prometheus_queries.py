"""The owner's own queries against a real Prometheus: what they count, and that none leaves its namespace."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from penstock.domain.canary.counters import UserCounts
from penstock.metrics import promql
from penstock.metrics.http import HttpClient
from penstock.metrics.problems import Problem, SourceUnavailable
from penstock.metrics.promapi import Endpoint, Header, PrometheusApi
from penstock.metrics.userqueries import UserMetrics
from tests.support.cluster import wait_until
from tests.support.prometheus import Exporter, Prometheus, job
from tests.support.promql import NASTY, queries

STABLE, CANDIDATE = "0123456789ab", "ba9876543210"
BOTH = (STABLE, CANDIDATE)
WINDOW = 60


def shop(namespace: str, revision: str, orders: int, returned: int) -> str:
    labels = f'namespace="{namespace}",revision="{revision}"'
    return (
        f'orders_total{{{labels},kind="kept"}} {orders - returned}\n'
        + (f'orders_total{{{labels},kind="returned"}} {returned}\n' if returned else "")
        + f"basket_count{{{labels}}} {orders}\nbasket_sum{{{labels}}} {orders * 2.5}\n"
        + f'basket_squares{{{labels}}} {orders * 6.25}\nqueue{{{labels},line="1"}} 3\nqueue{{{labels},line="2"}} 5\n'
    )


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, str]]:
    with Exporter() as exporter:
        exporter.page = shop("airline", STABLE, 100, 5) + shop("airline", CANDIDATE, 10, 0)
        exporter.page += shop("railway", STABLE, 7000, 700)
        exporter.page += f'broken{{namespace="airline",revision="{STABLE}"}} NaN\n'
        exporter.page += f'late_total{{namespace="airline",revision="{STABLE}"}} 500\n'
        with Prometheus(tmp_path_factory.mktemp("prometheus"), [job("shop", exporter.instance)]) as running:
            wait_until(lambda: bool(running.ask("query", query="orders_total")["result"]), "the shop is scraped")
            yield running, f"shop/{exporter.instance}"


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    made = HttpClient()
    yield made
    await made.close()


@pytest.fixture
def airline(client: HttpClient, prometheus: tuple[Prometheus, str]) -> UserMetrics:
    api = PrometheusApi(client, Endpoint(prometheus[0].url))
    return UserMetrics(api, tenant_label="namespace", namespace="airline", window_seconds=WINDOW)


async def test_proportion(airline: UserMetrics, prometheus: tuple[Prometheus, str]) -> None:
    readings = await airline.proportion(
        "returns",
        BOTH,
        events='orders_total{revision="$revision", kind="returned"}',
        total='sum(orders_total{revision="$revision"})',
    )
    process = prometheus[1]
    assert readings[STABLE].user == {"returns": {process: UserCounts(None, (100, 5))}}
    # Nothing was returned yet, so that there is no such series: a zero, as the process shows other orders.
    assert readings[CANDIDATE].user == {"returns": {process: UserCounts(None, (10, 0))}}


async def test_a_metric_that_a_process_does_not_have_is_no_zero(airline: UserMetrics) -> None:
    with pytest.raises(SourceUnavailable) as missing:
        await airline.proportion(
            "returns", BOTH, events='oders_total{revision="$revision"}', total='orders_total{revision="$revision"}'
        )
    assert missing.value.reason is Problem.NO_DATA


async def test_more_events_than_cases(airline: UserMetrics) -> None:
    with pytest.raises(SourceUnavailable, match=r"more events \(500\) than cases \(100\)"):
        await airline.proportion(
            "late", BOTH, events='late_total{revision="$revision"}', total='orders_total{revision="$revision"}'
        )


async def test_mean(airline: UserMetrics, prometheus: tuple[Prometheus, str]) -> None:
    readings = await airline.mean(
        "basket",
        BOTH,
        sum='basket_sum{revision="$revision"}',
        sum_of_squares='basket_squares{revision="$revision"}',
        count='basket_count{revision="$revision"}',
    )
    assert readings[STABLE].user["basket"] == {prometheus[1]: UserCounts(None, (100, 250.0, 625.0))}
    assert readings[CANDIDATE].user["basket"] == {prometheus[1]: UserCounts(None, (10, 25.0, 62.5))}


@pytest.mark.parametrize(
    ("aggregate", "value"), [("sum", 8.0), ("avg", 4.0), ("min", 3.0), ("max", 5.0), ("count", 2.0)]
)
async def test_guardrail(airline: UserMetrics, aggregate: str, value: float) -> None:
    readings = await airline.guardrail("queue", BOTH, query=f'{aggregate}(queue{{revision="$revision"}})')
    assert {reading.user["queue"][""].values for reading in readings.values()} == {(value,)}


async def test_guardrail_of_several_series_is_ambiguous(airline: UserMetrics) -> None:
    with pytest.raises(SourceUnavailable, match="gives 2 series"):
        await airline.guardrail("queue", BOTH, query='queue{revision="$revision"}')
    readings = await airline.guardrail("queue", BOTH, query='queue{revision="$revision",line=~"1|3"}')
    assert readings[STABLE].user["queue"][""].values == (3.0,)


async def test_no_number(airline: UserMetrics) -> None:
    with pytest.raises(SourceUnavailable) as broken:
        await airline.guardrail("broken", BOTH, query='broken{revision="$revision"}')
    assert broken.value.reason is Problem.NOT_FINITE


async def test_an_answer_about_another_namespace_is_refused(
    client: HttpClient, prometheus: tuple[Prometheus, str]
) -> None:
    """A proxy in between that drops matchers must not open the door."""

    class Careless(PrometheusApi):
        async def window(self, selector: str, seconds: int) -> list[Any]:
            return await super().window(selector.replace('namespace="airline",', ""), seconds)

    api = Careless(client, Endpoint(prometheus[0].url))
    metrics = UserMetrics(api, tenant_label="namespace", namespace="airline", window_seconds=WINDOW)
    with pytest.raises(SourceUnavailable, match="series of another namespace"):
        await metrics.guardrail("queue", BOTH, query='max(queue{revision="$revision"})')


@pytest.mark.parametrize("text", NASTY)
async def test_what_is_nasty_reads_nothing_of_others(airline: UserMetrics, text: str) -> None:
    """Refused, or held to the namespace: the railway's thousands are never seen."""
    harmless = {Problem.BAD_QUERY, Problem.NO_DATA, Problem.AMBIGUOUS}
    try:
        readings = await airline.guardrail("queue", BOTH, query=text)
    except SourceUnavailable as problem:
        if problem.reason not in harmless:
            raise
        return
    assert all(value < 1000 for reading in readings.values() for value in reading.user["queue"][""].values)


@settings(max_examples=150, deadline=None)
@given(text=queries())
def test_prometheus_reads_what_is_written_as_one_selector_of_the_namespace(
    prometheus: tuple[Prometheus, str], text: str
) -> None:
    try:
        query = promql.parse(text, "namespace")
    except SourceUnavailable:
        return
    written = promql.selector(query, tenant_label="namespace", namespace="airline", revisions=BOTH)
    answer = prometheus[0].answer("parse_query", query=written)
    if answer["status"] != "success":  # a regular expression that is none, say: no answer, and nothing of others
        assert answer["errorType"] == "bad_data"
        return
    tree = answer["data"]
    assert tree["type"] == "vectorSelector"
    assert tree["name"] == query.metric
    matchers = [(matcher["name"], matcher["type"], matcher["value"]) for matcher in tree["matchers"]]
    assert matchers.count(("namespace", "=", "airline")) == 1
    assert [matcher for matcher in matchers if matcher[0] == "namespace"] == [("namespace", "=", "airline")]
    assert ("revision", "=~", f"{STABLE}|{CANDIDATE}") in matchers
    for matcher in query.matchers:
        assert (matcher.label, matcher.operator, matcher.value) in matchers


async def test_a_token_is_read_anew_each_time(tmp_path: Path, client: HttpClient) -> None:
    """Prometheus asks for a password; the header's file is what the kubelet keeps of a Secret."""
    bcrypt = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"  # of "test"
    web = {"basic_auth_users": {"penstock": bcrypt}}
    file = tmp_path / "token"
    with Prometheus(tmp_path / "prometheus", [], web) as running:
        api = PrometheusApi(client, Endpoint(running.url, header=Header("Authorization", file)))
        with pytest.raises(SourceUnavailable) as unmounted:
            await api.window("up", WINDOW)
        assert unmounted.value.reason is Problem.BAD_SOURCE
        file.write_text("Basic d3Jvbmc6d3Jvbmc=")
        with pytest.raises(SourceUnavailable) as denied:
            await api.window("up", WINDOW)
        assert denied.value.reason is Problem.DENIED
        assert "d3Jvbmc" not in str(denied.value)
        file.write_text("Basic " + base64.b64encode(b"penstock:test").decode() + "\n")
        assert await api.window("up", WINDOW) == []


async def test_a_query_that_prometheus_refuses_is_a_sentence(
    client: HttpClient, prometheus: tuple[Prometheus, str]
) -> None:
    api = PrometheusApi(client, Endpoint(prometheus[0].url))
    with pytest.raises(SourceUnavailable) as refused:
        await api.window('up{job=~"("}', WINDOW)
    assert refused.value.reason is Problem.BAD_QUERY
    assert "missing closing" in refused.value.message
