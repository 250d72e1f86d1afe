"""The verdict of an analysis, from its recorded numbers alone: what was decided can be decided again from the log."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from penstock.domain.canary.analysis import AnalysisResult, Kind, Verdict

GUARDRAIL_LOOKS = 3
"""Looks in a row outside its bounds after which a Guardrail stops a rollout: one strange value is no harm."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and the sentence that explains it."""

    name: str
    verdict: Verdict
    message: str


def judge(result: AnalysisResult) -> Judgement:
    """Return what one analysis shows.

    Fail: the candidate is shown to be worse, and by more than the margin as far as can be told. Pass: it is shown not
    to be worse by the margin. Inconclusive: neither yet. NoData: the source gave no numbers; what was shown to be harm
    before stays harm. Where the champion is itself above the analysis' absolute bound, the candidate is judged by
    that bound alone, so that a broken champion holds nobody up; and it does not fail while it is the better of the two.
    """
    if result.kind is Kind.GUARDRAIL:
        return _guardrail(result)
    numbers = (result.log_harm, result.log_go, result.margin)
    if not all(math.isfinite(number) for number in numbers):
        return Judgement(result.name, Verdict.NO_DATA, "the metric is not finite")
    if result.champion_broken:
        return _by_bound(result)
    worse_by = result.step_difference
    shown = result.log_harm >= result.harm_threshold
    if shown and worse_by is not None and worse_by > result.margin:
        return Judgement(
            result.name,
            Verdict.FAIL,
            f"worse than the champion by {worse_by:.3g} in this step (margin {result.margin:.3g}); "
            f"log e {result.log_harm:.2f} of {result.harm_threshold:.2f}",
        )
    return _collecting(result, result.log_go, f"not worse than the champion by {result.margin:.3g} or more")


def may_promote(results: Iterable[AnalysisResult]) -> bool:
    """Return whether every analysis passes and at least one of them is evidence: a Guardrail never is."""
    found = list(results)
    return all(judge(result).verdict is Verdict.PASS for result in found) and any(
        result.kind is not Kind.GUARDRAIL for result in found
    )


def _by_bound(result: AnalysisResult) -> Judgement:
    bound, harm, go = result.absolute, result.log_absolute_harm, result.log_absolute_go
    if bound is None or harm is None or go is None:
        return Judgement(result.name, Verdict.NO_DATA, "the champion is broken and there is no absolute bound")
    better = result.step_difference is not None and result.step_difference < 0
    if harm >= result.harm_threshold and not better:
        return Judgement(result.name, Verdict.FAIL, f"above {bound:.3g}, as the champion is")
    return _collecting(result, go, f"below {bound:.3g}; the champion is above it")


def _collecting(result: AnalysisResult, log_go: float, shown: str) -> Judgement:
    if not result.sources:
        return Judgement(result.name, Verdict.NO_DATA, "no numbers of both tracks")
    if result.n == 0 or result.champion_n == 0:
        return Judgement(result.name, Verdict.NO_DATA, "no requests yet")
    if log_go >= result.go_threshold:
        return Judgement(result.name, Verdict.PASS, f"{shown}; log e {log_go:.2f}, n {result.n}")
    return Judgement(
        result.name,
        Verdict.INCONCLUSIVE,
        f"collecting: log e {log_go:.2f} of {result.go_threshold:.2f}, n {result.n}",
    )


def _guardrail(result: AnalysisResult) -> Judgement:
    outside = result.outside or 0
    if outside >= GUARDRAIL_LOOKS:
        return Judgement(result.name, Verdict.FAIL, f"outside its bounds for {outside} looks in a row")
    if not result.sources or result.candidate is None:
        return Judgement(result.name, Verdict.NO_DATA, "no value")
    if outside:
        return Judgement(result.name, Verdict.INCONCLUSIVE, f"outside its bounds for {outside} looks in a row")
    return Judgement(result.name, Verdict.PASS, "within its bounds, which is no evidence to go on")
