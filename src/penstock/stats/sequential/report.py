"""From the state of a test to the numbers that a verdict is made from and that are recorded with it."""

from __future__ import annotations

import math
from dataclasses import replace

from penstock.domain.canary.analysis import Analysis, AnalysisResult, Worse
from penstock.stats.sequential import absolute, go, harm, interval, mean, share
from penstock.stats.sequential.guardrail import GuardrailState
from penstock.stats.sequential.latency import Bounds, seconds_at
from penstock.stats.sequential.mean import MeanState
from penstock.stats.sequential.share import ShareState

_LEAST_TO_BELIEVE = 100
"""Requests of the champion below which its share in this rollout says nothing of it."""


def report(
    analysis: Analysis,
    state: ShareState | MeanState | GuardrailState | None,
    cut: Bounds | None,
    *,
    place: tuple[int, int | None, int, int, int],
    sources: bool,
    dispersion: tuple[float, bool],
    usual: tuple[float, float],
    at: int,
) -> AnalysisResult:
    """Return the result of one analysis.

    `place`: its index, that of errors, how many there are, the step, how many there will be. `usual`: requests and
    events in the champion's history.
    """
    factor, known = dispersion
    common = AnalysisResult(
        name=analysis.name,
        kind=analysis.kind,
        at=at,
        sources=sources,
        n=0,
        step_n=0,
        champion_n=0,
        champion=None,
        candidate=None,
        difference=None,
        lower=None,
        upper=None,
        margin=analysis.margin if cut is None else cut.margin,
        step_difference=None,
        log_harm=0.0,
        harm_threshold=harm.threshold(*place),
        log_go=0.0,
        go_threshold=go.THRESHOLD,
        dispersion=factor,
        burstiness_known=known,
        worse=analysis.worse,
        champion_share=usual[1] / usual[0] if usual[0] else None,
        slower_than=None if cut is None else cut.at,
    )
    if isinstance(state, ShareState):
        return _shares(common, analysis, state, cut)
    if isinstance(state, MeanState):
        return _means(common, state)
    if isinstance(state, GuardrailState):
        return replace(common, n=state.looks, candidate=state.value, outside=state.outside)
    return common


def _shares(common: AnalysisResult, analysis: Analysis, state: ShareState, cut: Bounds | None) -> AnalysisResult:
    n1, x1, n2, x2 = state.rollout
    step_n, step_x, _, _ = state.step
    factor = common.dispersion
    champion, candidate = (x2 / n2 if n2 else None), (x1 / n1 if n1 else None)
    half = interval.of_shares(n1, x1, n2, x2, factor)
    found = replace(
        common,
        n=n1,
        step_n=step_n,
        champion_n=n2,
        champion=champion,
        candidate=candidate,
        champion_share=champion if n2 >= _LEAST_TO_BELIEVE else common.champion_share,
        step_difference=share.worsening(harm.since(state.harm, analysis.worse), analysis.worse),
        log_harm=harm.log_e(state.harm, analysis.worse),
        log_go=share.log_go(state),
    )
    if cut is not None:
        return _seconds(found, analysis, state, cut, half)
    bound = analysis.broken_above
    if bound is not None and n2 >= _LEAST_TO_BELIEVE and x2 / n2 > bound:
        found = replace(
            found,
            champion_broken=True,
            absolute=bound,
            log_absolute_harm=absolute.log_harm(step_n, step_x, bound, factor),
            log_absolute_go=absolute.log_go(n1, x1, bound, factor),
        )
    return _with_difference(found, champion, candidate, half)


def _seconds(
    found: AnalysisResult, analysis: Analysis, state: ShareState, cut: Bounds, half: float | None
) -> AnalysisResult:
    """Return the result with the tracks' quantiles in seconds instead of shares of slow requests."""
    n1, x1, n2, x2 = state.rollout
    below1, above1, below2, above2 = state.beside
    new, old = (below1, x1, above1), (below2, x2, above2)
    champion = seconds_at(analysis.quantile, n2, old, cut)
    candidate = seconds_at(analysis.quantile, n1, new, cut)
    if champion is None or candidate is None or half is None:
        return _with_difference(found, champion, candidate, None)
    # The interval of the shares, carried over to the quantile: as many more or fewer slow requests of the candidate.
    less, more = 1 - min(0.9, half * n1 / (x1 + 0.5)), 1 + half * n1 / (x1 + 0.5)
    low = seconds_at(analysis.quantile, n1, [round(count * less) for count in new], cut)
    high = seconds_at(analysis.quantile, n1, [min(n1, round(count * more)) for count in new], cut)
    return replace(
        found,
        champion=champion,
        candidate=candidate,
        difference=candidate - champion,
        lower=None if low is None else low - champion,
        upper=None if high is None else high - champion,
    )


def _means(common: AnalysisResult, state: MeanState) -> AnalysisResult:
    (n1, sum1, _), (n2, sum2, _) = state.candidate, state.champion
    champion, candidate = (sum2 / n2 if n2 else None), (sum1 / n1 if n1 else None)
    directions = {Worse.HIGHER: (1,), Worse.LOWER: (-1,), Worse.EITHER: (1, -1)}[common.worse]
    factor = common.dispersion
    harms = [mean.log_harm(state, direction, factor) for direction in directions]
    largest = max(harms)
    step_total, step_weight, _ = state.step
    worsened = step_total / step_weight if step_weight else None
    half = None
    if n1 and n2:
        half = interval.half_width(
            factor * (mean.variance(state.candidate) / n1 + mean.variance(state.champion) / n2), n1
        )
    if worsened is not None and common.worse is not Worse.HIGHER:
        worsened = -worsened if common.worse is Worse.LOWER else abs(worsened)
    found = replace(
        common,
        n=round(n1),
        step_n=state.step_n,
        champion_n=round(n2),
        step_difference=worsened,
        log_harm=largest + math.log(sum(math.exp(log - largest) for log in harms) / len(harms)),
        log_go=min(mean.log_go(state, direction, common.margin, factor) for direction in directions),
    )
    return _with_difference(found, champion, candidate, half)


def _with_difference(
    found: AnalysisResult, champion: float | None, candidate: float | None, half: float | None
) -> AnalysisResult:
    if champion is None or candidate is None:
        return replace(found, champion=champion, candidate=candidate)
    difference = candidate - champion
    return replace(
        found,
        champion=champion,
        candidate=candidate,
        difference=difference,
        lower=None if half is None else difference - half,
        upper=None if half is None else difference + half,
    )
