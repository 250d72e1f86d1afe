"""Judges a metric against the stable revision's on the same rows."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from enum import Enum

from penstock.api.v1alpha1.evaluationgate import LOWER_IS_BETTER, ChampionRule, GateMetric
from penstock.domain.gates.bounds import Bound, Measured, judge_interval
from penstock.domain.gates.task import MetricResult
from penstock.domain.gates.verdict import Requirement, Verdict, worst_of


class Champion(Enum):
    """What there is to compare with."""

    NONE = "none"
    """A first revision: nothing."""
    ITSELF = "itself"
    """It is the champion that is asked: nothing either."""
    SILENT = "silent"
    """It was not asked, did not answer all rows, or something else answered."""
    ANSWERED = "answered"


_NOBODY = {Champion.NONE: "NoChampion", Champion.ITSELF: "IsChampion"}


def own_bound(metric: GateMetric) -> Bound | None:
    """Return what the metric itself must reach, if anything."""
    return Bound.of(metric.min, metric.max)


def absolute_bound(rule: ChampionRule) -> Bound | None:
    """Return what must be reached whatever the champion does, if anything."""
    return Bound.of(rule.absolute_min, rule.absolute_max)


def regression_bound(metric: GateMetric, rule: ChampionRule) -> Bound:
    """Return the bound of the difference: candidate minus champion, in the metric's own unit."""
    most = Decimal(rule.max_regression)
    return Bound(most, at_least=False) if metric.name in LOWER_IS_BETTER else Bound(-most, at_least=True)


def judge_absolute(name: str, bound: Bound, found: MetricResult | None, reason: str = "") -> Requirement:
    """Judge a metric by itself. `reason` stands where the numbers need none of their own."""
    if found is None:
        return Requirement(name, Verdict.NO_DATA, str(bound), reason="MetricMissing")
    verdict, why = judge_interval(bound, Measured(found.value, found.lower, found.upper, found.n, found.problem))
    return Requirement(name, verdict, str(bound), found.value, found.lower, found.upper, found.n, reason=why or reason)


def judge_against(
    metric: GateMetric, rule: ChampionRule, found: MetricResult | None, champion: Champion
) -> Requirement:
    """Judge the difference and the absolute bound, whichever is worse.

    Where there is no champion, or where it fails, the absolute bound alone decides: a broken champion must not keep its
    successor out.
    """
    name, regression, absolute = f"{metric.key}/champion", regression_bound(metric, rule), absolute_bound(rule)
    if champion in _NOBODY:
        reason = _NOBODY[champion]
        if absolute is None:
            return Requirement(name, Verdict.NOT_APPLICABLE, f"difference {regression}", reason=reason)
        return judge_absolute(name, absolute, found, reason)
    if found is None:
        return Requirement(name, Verdict.NO_DATA, f"difference {regression}", reason="MetricMissing")
    if champion is Champion.SILENT or found.champion is None or not math.isfinite(found.champion):
        floor = absolute or own_bound(metric)
        if floor is None:
            return Requirement(name, Verdict.NO_DATA, f"difference {regression}", reason="ChampionFailed")
        return judge_absolute(name, floor, found, "ChampionFailed")
    compared = _compared(name, regression, found)
    if absolute is None:
        return compared
    alone = judge_absolute(name, absolute, found)
    if worst_of(alone.verdict, compared.verdict) is compared.verdict:
        return compared
    return replace(compared, verdict=alone.verdict, threshold=alone.threshold, reason=alone.reason)


def _compared(name: str, bound: Bound, found: MetricResult) -> Requirement:
    measured = Measured(found.difference, found.difference_lower, found.difference_upper, found.n, found.problem)
    verdict, reason = judge_interval(bound, measured)
    return Requirement(
        name,
        verdict,
        f"difference {bound}",
        found.value,
        found.lower,
        found.upper,
        found.n,
        champion=found.champion,
        difference=found.difference,
        difference_lower=found.difference_lower,
        difference_upper=found.difference_upper,
        reason=reason,
    )
