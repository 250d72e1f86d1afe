"""Readings of several sources put together: what one of them lacks is its own trouble."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from penstock.api.v1alpha1.analysis import Analysis
from penstock.controllers.model import measures
from penstock.domain.canary import analysis as canary
from penstock.domain.canary.counters import PodCounts, Reading, part
from penstock.metrics.problems import Problem, SourceUnavailable
from penstock.metrics.provider import of_track
from penstock.stats.sequential.project import streams

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ERRORS = canary.Analysis(name="errors", kind=canary.Kind.ERRORS, margin=0.01)


def test_durations_are_no_proof_that_the_gateway_saw_a_pod() -> None:
    gateway = Reading(NOW, {part("a", "envoy-1"): PodCounts(None, 1, 10), part("a", "envoy-2"): PodCounts(None, 0, 5)})
    runtime = Reading(NOW, {pod: PodCounts(NOW, 3, 16, ((0.1, 9), (math.inf, 16))) for pod in ("a", "b")})
    joined = measures.with_buckets(gateway, runtime)
    # The counts of each Envoy stay its own, and the durations know when their pod started.
    assert streams(ERRORS, joined, None) == {"a@envoy-1": (None, (10, 1)), "a@envoy-2": (None, (5, 0))}
    assert joined.pods["b"].started_at == NOW
    assert joined.pods["b"].buckets[-1] == (math.inf, 16)
    assert streams(ERRORS, of_track(joined, ["b"]), None) is None
    assert next(iter(of_track(joined, ["a"]).pods)) == "a"  # whose buckets say which there are


class Metrics:
    async def proportion(self, name: str, revisions: list[str], **_: Any) -> dict[str, Reading]:
        if name == "broken":
            raise SourceUnavailable(Problem.BAD_QUERY, "unexpected end of input")
        return {revision: Reading(NOW, {}) for revision in revisions}


def test_a_broken_query_costs_its_own_analysis_only() -> None:
    source = {"name": "prometheus"}
    declared = [
        Analysis.model_validate(
            {
                "name": name,
                "type": "Proportion",
                "margin": "0.1",
                "metricSourceRef": source,
                "events": "e",
                "total": "t",
            }
        )
        for name in ("broken", "whole")
    ]
    tracks: Any = SimpleNamespace(stable="1", candidate="2", declared=declared)
    sources: Any = SimpleNamespace(user_metrics=lambda *_: Metrics())
    found, troubles = asyncio.run(measures.user_readings(sources, "ns", tracks))
    assert {revision: len(readings) for revision, readings in found.items()} == {"1": 1, "2": 1}
    assert troubles == ["broken: InvalidQuery: unexpected end of input"]
