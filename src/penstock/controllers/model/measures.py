"""From what a canary declares to what its tests take: analyses, readings of several sources put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.api.v1alpha1.analysis import Analysis as Declared
from penstock.api.v1alpha1.analysis import AnalysisType, Better
from penstock.domain.canary.analysis import Analysis, AnalysisResult, Kind, Worse
from penstock.domain.canary.counters import Reading, pod_of
from penstock.domain.canary.judge import judge
from penstock.domain.lifecycle.observed import Finding
from penstock.metrics.factory import SourceFactory
from penstock.metrics.problems import SourceUnavailable
from penstock.stats.sequential.latency import cumulative

if TYPE_CHECKING:
    from penstock.controllers.model.meter import Tracks
    from penstock.metrics.userqueries import UserMetrics

_OWN = frozenset({AnalysisType.PROPORTION, AnalysisType.MEAN, AnalysisType.GUARDRAIL})


def analyses(declared: Iterable[Declared], warmup: int) -> tuple[Analysis, ...]:
    """Return the analyses as the tests know them."""
    return tuple(_analysis(item, warmup) for item in declared)


def _analysis(item: Declared, warmup: int) -> Analysis:
    margin = float(item.margin) if item.margin is not None else 0.0
    if item.type is AnalysisType.LATENCY:
        margin = item.max_increase_percent / 100
    return Analysis(
        name=item.name,
        kind=Kind(item.type.value),
        margin=margin,
        worse=Worse.LOWER if item.better is Better.HIGHER else Worse.HIGHER,
        quantile=float(item.quantile),
        warmup_seconds=warmup,
        minimum=float(item.min) if item.min is not None else None,
        maximum=float(item.max) if item.max is not None else None,
    )


def findings(results: Iterable[AnalysisResult]) -> tuple[Finding, ...]:
    """Return what each analysis shows, with the numbers by which it can be judged again."""
    found = []
    for result in results:
        verdict = judge(result)
        found.append(Finding(result.name, verdict.verdict.value, verdict.message, result.n, result.as_json()))
    return tuple(found)


def with_buckets(reading: Reading, latency: Reading) -> Reading:
    """Return the counts of one source with the durations of another, which knows pods by their names.

    Durations have a key of their own, with the start of the pod they are about: who counts the requests starts anew on
    its own, and has not counted a pod only because that shows durations.
    """
    durations = {
        pod_of(key): replace(counts, errors=0, total=0, buckets=cumulative(counts), durations_only=True)
        for key, counts in latency.pods.items()
    }
    return replace(reading, pods={**durations, **reading.pods})


def joined(reading: Reading, user: Mapping[str, list[Reading]], revision: str) -> Reading:
    """Return a track's reading with the owner's own metrics of that revision."""
    own = {name: counts for item in user.get(revision, []) for name, counts in item.user.items()}
    return replace(reading, user=own) if own else reading


async def user_readings(
    sources: SourceFactory, namespace: str, tracks: Tracks
) -> tuple[dict[str, list[Reading]], list[str]]:
    """Ask for the owner's own metrics; return them by revision, and a sentence about each that has no numbers."""
    revisions = [revision for revision in (tracks.stable, tracks.candidate) if revision]
    found: dict[str, list[Reading]] = {revision: [] for revision in revisions}
    troubles: list[str] = []
    for item in tracks.declared:
        if item.type not in _OWN or item.metric_source_ref is None:
            continue
        try:
            answer = await _answer(sources.user_metrics(item.metric_source_ref.name, namespace), item, revisions)
        except SourceUnavailable as problem:
            # It alone is without numbers: a broken query must not hide what the other sources show.
            troubles.append(trouble_with(item.name, problem))
            continue
        for revision, reading in answer.items():
            found.setdefault(revision, []).append(reading)
    return found, troubles


def trouble_with(analysis: str, problem: SourceUnavailable) -> str:
    """Return the sentence about an analysis whose source gives no numbers."""
    return f"{analysis}: {problem.reason}: {problem.message}"


async def _answer(metrics: UserMetrics, item: Declared, revisions: list[str]) -> dict[str, Reading]:
    if item.type is AnalysisType.PROPORTION:
        return await metrics.proportion(item.name, revisions, events=item.events or "", total=item.total or "")
    if item.type is AnalysisType.MEAN:
        return await metrics.mean(
            item.name,
            revisions,
            sum=item.sum or "",
            sum_of_squares=item.sum_of_squares or "",
            count=item.count or "",
        )
    return await metrics.guardrail(item.name, revisions, query=item.query or "")
