"""Judges the slices of a metric: a breach must be shown in spite of how many were looked at."""

from __future__ import annotations

import math
from decimal import Decimal

from penstock.api.v1alpha1.evaluationgate import SliceRule
from penstock.domain.gates.bounds import NOT_FINITE, Bound, Measured, judge_interval
from penstock.domain.gates.task import Problem, SliceResult, SlicesResult
from penstock.domain.gates.verdict import Requirement, Verdict


def judge_slices(name: str, rule: SliceRule, bound: Bound, found: SlicesResult | None, level: Decimal) -> Requirement:
    """Judge all slices of one metric by those that the Job named, of which the first two decide for all.

    Fail needs a p-value that Holm's correction leaves small: among twenty slices one looks bad by chance. Pass needs no
    correction, as every single slice has to show it. What is between keeps the gate from passing only if `required`.
    `level`: the gate's confidence.
    """
    threshold = f"every slice {bound}"
    if found is None:
        return Requirement(name, Verdict.NO_DATA, threshold, reason="MetricMissing")
    if found.problem is not None:
        verdict, reason = judge_interval(bound, Measured(None, None, None, 0, found.problem))
        return Requirement(name, verdict, threshold, reason=reason, blocking=rule.required)
    if found.count == 0:
        return Requirement(name, Verdict.NO_DATA, threshold, reason=Problem.TOO_FEW.value, blocking=rule.required)
    if len(found.worst) < min(found.count, 2):
        # They did not fit into the answer. A breach may be among them, so that this is never only a warning.
        return Requirement(name, Verdict.NO_DATA, threshold, slices=found.count, reason="ResultTooLarge")
    judged = [(item, _judge(item, bound, level)) for item in found.worst]
    for verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE):
        worst = next((item for item, said in judged if said is verdict), None)
        if worst is not None:
            return _shown(name, threshold, worst, verdict, found.count, rule.required)
    return _shown(name, threshold, found.worst[0], Verdict.PASS, found.count, rule.required)


def _judge(item: SliceResult, bound: Bound, level: Decimal) -> Verdict:
    verdict, _ = judge_interval(bound, Measured(item.value, item.lower, item.upper, item.n))
    if verdict in (Verdict.ERROR, Verdict.NO_DATA):
        return Verdict.ERROR
    if item.p is None or not math.isfinite(item.p):
        return Verdict.ERROR
    if Decimal(repr(item.p)) <= (1 - level) / 2:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE if verdict is Verdict.FAIL else verdict


def _shown(name: str, threshold: str, item: SliceResult, verdict: Verdict, count: int, required: bool) -> Requirement:
    return Requirement(
        name,
        verdict,
        threshold,
        item.value,
        item.lower,
        item.upper,
        item.n,
        slice=item.slice,
        slices=count,
        reason=NOT_FINITE if verdict is Verdict.ERROR else "",
        blocking=required,
    )
