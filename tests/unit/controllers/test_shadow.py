"""The comparator's Job, and how the operator reads what it counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from penstock.controllers.config import OperatorConfig
from penstock.controllers.model import names
from penstock.controllers.shadow import reader
from penstock.controllers.shadow.job import Comparison, build, name_of
from penstock.controllers.shadow.reader import Comparators, Source, address_of, parse
from penstock.domain.shadow.agreement import AnswerRule, Measure
from penstock.jobs.compare.__main__ import Comparator
from penstock.jobs.compare.settings import Settings
from penstock.runtime.admin import serve_pages
from tests.unit.runtime.server import free_port

A, B = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
IMAGE = "registry.example/penstock@sha256:" + "0" * 64
CONFIG = OperatorConfig(runtime_image=IMAGE, jobs_image=IMAGE)
RULE = AnswerRule(Measure.DECISION, "score", 0.3)
COMPARISON = Comparison("airline", "flight", "uid-1", A, B, RULE, 50)
KEY = ("airline", "flight")


def variables(job: dict[str, Any]) -> dict[str, str]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item["value"] for item in container["env"]}


def test_the_job_says_what_the_comparator_needs() -> None:
    job = build(COMPARISON, CONFIG)
    settings = Settings.from_environment(variables(job))
    assert (settings.model, settings.percent, settings.rule) == ("flight", 50, RULE)
    assert (settings.champion.revision, settings.champion.host) == (A, f"flight-{A}.airline.svc")
    assert (settings.candidate.revision, settings.candidate.host) == (B, f"flight-{B}.airline.svc")
    assert settings.champion.port == settings.candidate.port == 9090
    # Longer than DNS may take to name a new pod.
    assert settings.window > 30


def test_the_job_gets_no_traffic_and_no_rights() -> None:
    job = build(COMPARISON, CONFIG)
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        assert not names.selector("flight", B).items() <= labels.items()
        assert labels["penstock.dev/job"] == "compare"
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert job["metadata"]["ownerReferences"][0]["uid"] == "uid-1"


def test_without_an_image_there_is_no_job() -> None:
    with pytest.raises(ValueError, match="jobsImage"):
        build(COMPARISON, OperatorConfig(runtime_image=IMAGE))


def test_another_comparison_has_another_name() -> None:
    others = [
        Comparison("airline", "flight", "uid-2", A, B, RULE, 50),
        Comparison("airline", "flight", "uid-1", B, A, RULE, 50),
        Comparison("airline", "flight", "uid-1", A, B, AnswerRule(), 50),
        Comparison("airline", "flight", "uid-1", A, B, RULE, 100),
        Comparison("airline", "flight", "uid-1", A, B, RULE, 50, attempt=2),
    ]
    assert len({name_of(item) for item in (COMPARISON, *others)}) == 6
    assert name_of(COMPARISON) == name_of(Comparison("airline", "flight", "uid-1", A, B, RULE, 50))
    assert len(name_of(Comparison("n", "m" * 40, "uid-1", A, B, RULE, 50))) <= 63


def pod_of(uid: str, **status: Any) -> dict[str, Any]:
    owner = {"controller": True, "uid": uid, "kind": "Job", "apiVersion": "batch/v1", "name": "x"}
    running = [{"name": "compare", "state": {"running": {}}}]
    return {
        "metadata": {"name": "p", "ownerReferences": [owner], "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"podIP": "10.0.0.7", "containerStatuses": running, **status},
    }


def test_the_address_of_the_pod_that_runs() -> None:
    job = {"metadata": {"uid": "job-1"}}
    ended = pod_of("job-1", containerStatuses=[{"name": "compare", "state": {"terminated": {}}}])
    leaving = pod_of("job-1")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    newer = pod_of("job-1", podIP="10.0.0.8")
    newer["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    assert address_of(job, [pod_of("job-1")]) == "10.0.0.7"
    assert address_of(job, [newer, pod_of("job-1")]) == "10.0.0.8"
    assert address_of(job, [pod_of("other"), ended, leaving, pod_of("job-1", podIP="")]) == ""


@pytest.fixture
def comparator() -> Iterator[tuple[Comparator, int]]:
    """What a comparator says before it has seen anything, on a real port."""
    made = Comparator(Settings.from_environment(variables(build(COMPARISON, CONFIG))))
    port = free_port()
    stop = serve_pages("127.0.0.1", port, {"/comparison": made.page, "/healthz": made.health})
    yield made, port
    stop()


class News:
    """What the comparators' owner is told, and that it was."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, str]] = []
        self._came = asyncio.Event()

    def __call__(self, key: tuple[str, str]) -> None:
        self.keys.append(key)
        self._came.set()

    async def come(self) -> None:
        async with asyncio.timeout(30):
            await self._came.wait()


async def test_a_comparator_is_read(comparator: tuple[Comparator, int]) -> None:
    made, port = comparator
    news = News()
    comparators = Comparators(news)
    source = Source("job-1", "127.0.0.1", "flight", A, B, port)
    try:
        assert comparators.reading(KEY, source) is None
        await news.come()
        found = comparators.reading(KEY, source)
        assert found is not None
        assert replace(found, at=found.since) == replace(parse(made.page("")[1], source), at=found.since)
        assert (news.keys, comparators.problem(KEY)) == ([KEY], "")
        comparators.forget(KEY)
        assert comparators.reading(KEY, source) is None
    finally:
        await comparators.close()


async def test_a_comparator_of_something_else_is_not_believed(comparator: tuple[Comparator, int]) -> None:
    _, port = comparator
    news = News()
    comparators = Comparators(news)
    source = Source("job-1", "127.0.0.1", "flight", B, A, port)
    try:
        comparators.reading(KEY, source)
        await news.come()
        assert comparators.reading(KEY, source) is None
        assert "it is about" in comparators.problem(KEY)
    finally:
        await comparators.close()


async def test_what_was_heard_long_ago_is_not_the_present(
    comparator: tuple[Comparator, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, port = comparator
    news = News()
    comparators = Comparators(news)
    source = Source("job-1", "127.0.0.1", "flight", A, B, port)
    try:
        comparators.reading(KEY, source)
        await news.come()
        assert comparators.reading(KEY, source) is not None
        monkeypatch.setattr(reader, "STALE_SECONDS", 0.0)
        assert comparators.reading(KEY, source) is None
    finally:
        await comparators.close()


async def test_nobody_answers() -> None:
    news = News()
    comparators = Comparators(news)
    try:
        source = Source("job-1", "127.0.0.1", "flight", A, B, free_port())
        assert comparators.reading(KEY, source) is None
        await news.come()
        assert comparators.reading(KEY, source) is None
        assert "does not answer" in comparators.problem(KEY)
    finally:
        await comparators.close()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"model":"flight"}', b'"text"'])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(body, Source("job-1", "127.0.0.1", "flight", A, B))
