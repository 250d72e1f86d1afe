"""Whether a canary gets through in time at the present rate; said early, so that a person can decide."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from penstock.api.v1alpha1.checkpoint import CandidateState
from penstock.domain.canary.analysis import AnalysisResult, Verdict
from penstock.domain.canary.judge import judge
from penstock.domain.canary.planning import Outlook, outlook

# Before that a rate is a guess.
SETTLED_SECONDS = 20.0
_MINUTE = 60


def look_ahead(
    results: Iterable[AnalysisResult], candidate: CandidateState, deadline: datetime | None, now: datetime
) -> tuple[datetime | None, str]:
    """Return when the step is expected to be done, and the sentence if that is after its deadline.

    Nothing is said before the step has been applied for a while.
    """
    canary = candidate.plan.canary if candidate.plan else None
    if canary is None or candidate.applied_at is None or deadline is None:
        return None, ""
    passed = (now - candidate.applied_at).total_seconds()
    results = list(results)
    requests = max((item.step_n for item in results), default=0)
    if passed < SETTLED_SECONDS:
        return None, ""
    step, last = canary.steps[candidate.step], candidate.step + 1 == len(canary.steps)
    rate = requests / passed * 100 / step.weight
    remaining = (deadline - now).total_seconds()
    waits, helps = [], ""
    for result in results:
        ahead = outlook(
            result,
            requests_per_second=rate,
            weight_percent=step.weight,
            min_requests=step.min_requests,
            deadline_seconds=max(0.0, remaining),
        )
        waits.append(_seconds(ahead.seconds_to_requests, step.min_requests > result.step_n))
        if last and judge(result).verdict is not Verdict.PASS and ahead.in_time is not None:
            waits.append(_seconds(ahead.seconds_to_go, True))
            helps = helps or _advice(result, ahead)
    longest = max(waits, default=0.0)
    if longest <= remaining:
        return (now + timedelta(seconds=longest) if longest > 0 else None), ""
    when = "never" if longest == float("inf") else f"in {longest / _MINUTE:.0f} min"
    said = (
        f"{requests} requests in {passed:.0f} s at {step.weight} % of the traffic: at this rate the step is done"
        f" {when}, and its deadline is in {max(0.0, remaining) / _MINUTE:.0f} min.{helps}"
    )
    return (now + timedelta(seconds=longest) if longest != float("inf") else None), said


def _seconds(expected: float | None, needed: bool) -> float:
    if not needed:
        return 0.0
    return float("inf") if expected is None else expected


def _advice(result: AnalysisResult, ahead: Outlook) -> str:
    ways = []
    if ahead.weight is not None:
        ways.append(f"a weight of {ahead.weight} %")
    if ahead.margin is not None:
        ways.append(f"a margin of {ahead.margin:.2g}")
    return f" For {result.name} {' or '.join(ways)} would do." if ways else ""
