"""What the counts of a shadow mean. Numbers in, a verdict with its numbers out; missing evidence is never a Pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from penstock.domain.gates.verdict import Verdict
from penstock.domain.shadow.accumulate import samples
from penstock.domain.shadow.intervals import (
    Interval,
    clopper_pearson,
    confidence_sequence,
    design_effect,
    log_evidence,
)
from penstock.domain.shadow.latency import middle_of
from penstock.domain.shadow.plan import Expectation, ShadowPlan
from penstock.domain.shadow.view import Cells, Counts, Latencies, ShadowView

# Durations come in groups (a slow moment slows several requests), so that a group of so many counts as one.
_ALIKE_DURATIONS = 4
# In standard deviations: so many copies fewer than `percent` lets expect is no chance any more.
_TOO_FEW_COPIES = 4.0
# The confidence sequence is narrowest at this many times the weight of its prior.
_LOOKS_PER_WEIGHT = 12
# Where more than this part of the pairs has nothing to compare, the rest does not speak for it.
_MOST_INCOMPARABLE = 0.1


class ShadowReason(StrEnum):
    """Why."""

    AGREES = "Agrees"
    DISAGREES = "Disagrees"
    SLOWER = "Slower"
    NOTHING_SEEN = "NothingSeen"
    TOO_FEW = "TooFewSamples"
    MOSTLY_UNOBSERVED = "MostlyUnobserved"
    NOTHING_TO_COMPARE = "NothingToCompare"
    NOT_SHOWN = "NotShown"
    MAY_BE_SLOWER = "MayBeSlower"


@dataclass(frozen=True, slots=True)
class LatencyFinding:
    """One quantile of both tracks in seconds, and by which factor the candidate's is larger.

    `upper` None: nothing bounds it.
    """

    quantile: float
    champion: float
    candidate: float
    factor: float
    lower: float
    upper: float | None
    n: int


@dataclass(frozen=True, slots=True)
class ShadowVerdict:
    """A verdict with its numbers.

    `n` requests are judged, `differing` of them differ or have no good answer of the candidate. `disagreement` is their
    fraction, `expected` the holdout's, `excess` the difference and `lower` to `upper` what it may be. `threshold`: the
    plan's limit. `burst`: the design effect that the interval is widened by. `short`: how many samples the plan still
    wants.
    """

    verdict: Verdict
    reason: ShadowReason
    message: str
    n: int = 0
    differing: int = 0
    missing: int = 0
    disagreement: float | None = None
    expected: float | None = None
    excess: float | None = None
    lower: float | None = None
    upper: float | None = None
    threshold: float = 0.0
    burst: float = 1.0
    short: int = 0
    latency: LatencyFinding | None = None


@dataclass(frozen=True, slots=True)
class _Proportion:
    n: int
    differing: int
    missing: int


def judge(view: ShadowView, expectation: Expectation, plan: ShadowPlan) -> ShadowVerdict:
    """Say what the counts show.

    Fail: more excess disagreement than allowed, or a slower candidate, is shown. Pass: `minSamples` are there, it is
    shown that the excess is within the limit, and the latency in sight is too. All looks together are wrong about
    disagreement with at most the plan's alpha.
    """
    tally, threshold = view.counts.tally, plan.max_excess
    seen = _proportion(view.counts, plan.percent)
    short = max(0, plan.min_samples - samples(tally))
    if not seen.n:
        if tally.incomparable:
            sentence = "The answers have no output that could be compared; name one in the gate's spec.output."
            return ShadowVerdict(Verdict.NO_DATA, ShadowReason.NOTHING_TO_COMPARE, sentence, short=short)
        sentence = "No copied request has been compared yet."
        return ShadowVerdict(Verdict.NO_DATA, ShadowReason.NOTHING_SEEN, sentence, threshold=threshold, short=short)

    disagreement = seen.differing / seen.n
    expected = expectation.differing / expectation.rows if expectation.rows else 0.0
    interval, burst = _excess(view, expectation, plan, expected)
    latency = _latency(view.counts.latencies, plan)

    def verdict(kind: Verdict, reason: ShadowReason, message: str) -> ShadowVerdict:
        return ShadowVerdict(
            kind,
            reason,
            message,
            n=seen.n,
            differing=seen.differing,
            missing=seen.missing,
            disagreement=disagreement,
            expected=expected,
            excess=disagreement - expected,
            lower=interval.lower,
            upper=interval.upper,
            threshold=threshold,
            burst=burst,
            short=short,
            latency=latency,
        )

    told = (
        f"{seen.differing} of {seen.n} answers differ ({disagreement:.2%}; {_parts(view, seen)}), the holdout lets"
        f" expect {expected:.2%}: {disagreement - expected:+.2%} ({interval.lower:+.2%} to {interval.upper:+.2%}),"
        f" allowed {threshold:+.2%}."
    )
    if short:
        return verdict(
            Verdict.INCONCLUSIVE,
            ShadowReason.TOO_FEW,
            f"{plan.min_samples - short} of {plan.min_samples} answers are compared. {told}",
        )
    if interval.lower > threshold:
        return verdict(Verdict.FAIL, ShadowReason.DISAGREES, told)
    limit = None if plan.max_latency_increase_percent is None else 1 + plan.max_latency_increase_percent / 100
    if latency is not None and limit is not None and latency.lower > limit:
        return verdict(Verdict.FAIL, ShadowReason.SLOWER, f"{_slower(latency, limit)} {told}")
    if tally.unobserved > seen.n:
        sentence = f"For {tally.unobserved} requests nobody could see whether the candidate answered. {told}"
        return verdict(Verdict.INCONCLUSIVE, ShadowReason.MOSTLY_UNOBSERVED, sentence)
    if tally.incomparable > _MOST_INCOMPARABLE * (seen.n + tally.incomparable):
        sentence = f"{tally.incomparable} pairs of answers have no output that could be compared. {told}"
        return verdict(Verdict.INCONCLUSIVE, ShadowReason.NOTHING_TO_COMPARE, sentence)
    if interval.upper > threshold:
        return verdict(Verdict.INCONCLUSIVE, ShadowReason.NOT_SHOWN, told)
    if limit is not None and (latency is None or latency.factor > limit):
        sentence = _slower(latency, limit) if latency else "No duration was seen."
        return verdict(Verdict.INCONCLUSIVE, ShadowReason.MAY_BE_SLOWER, f"{sentence} {told}")
    return verdict(Verdict.PASS, ShadowReason.AGREES, told)


def _proportion(counts: Counts, percent: int) -> _Proportion:
    """Count what differs, and what a candidate left unanswered.

    Where only a part is copied nobody can tell a request without answer from one without copy. There only what is
    missing beyond chance counts: copies are drawn independently of each other.
    """
    tally = counts.tally
    answered = tally.pairs + tally.candidate_errors
    share = percent / 100
    eligible = answered + tally.incomparable + tally.unpaired
    chance = _TOO_FEW_COPIES * math.sqrt(eligible * share * (1 - share))
    missing = min(tally.unpaired, max(0, math.floor(eligible * share - answered - tally.incomparable - chance)))
    return _Proportion(answered + missing, tally.disagreements + tally.candidate_errors + missing, missing)


def _excess(view: ShadowView, expectation: Expectation, plan: ShadowPlan, expected: float) -> tuple[Interval, float]:
    """The interval of the excess, and the design effect in it.

    Half of alpha goes to the holdout's interval, a quarter each to the look at minSamples and to all looks. The three
    hold together, so what is in all of them is the interval; where the first look contradicts the rest, traffic has
    changed since and only the present counts.
    """
    holdout = Interval(0.0, 0.0)
    if expectation.rows:
        holdout = clopper_pearson(expectation.differing, expectation.rows, plan.alpha / 2)
    burst = design_effect(view.counts.blocks)
    now = _proportion(view.counts, plan.percent)
    live = confidence_sequence(
        now.differing / burst, now.n / burst, plan.alpha / 4, expected, plan.min_samples / _LOOKS_PER_WEIGHT
    )
    if view.first is not None:
        then = _proportion(view.first, plan.percent)
        at_first = design_effect(view.first.blocks)
        once = clopper_pearson(then.differing / at_first, then.n / at_first, plan.alpha / 4)
        both = Interval(max(live.lower, once.lower), min(live.upper, once.upper))
        live = both if both.lower <= both.upper else live
    return Interval(live.lower - holdout.upper, live.upper - holdout.lower), burst


def _latency(latencies: Latencies, plan: ShadowPlan) -> LatencyFinding | None:
    """Compare one quantile; each track's interval holds at every look with 1 - alpha / 2.

    How many durations are below the true quantile is a binomial count, whatever their distribution: an interval for
    its proportion is one for the rank, and so for the quantile.
    """
    mine, theirs = sum(latencies.champion.values()), sum(latencies.candidate.values())
    if plan.max_latency_increase_percent is None or not mine or not theirs:
        return None
    champion = _quantile_interval(latencies.champion, mine, plan)
    candidate = _quantile_interval(latencies.candidate, theirs, plan)
    at_champion = _at(latencies.champion, plan.latency_quantile * mine)
    at_candidate = _at(latencies.candidate, plan.latency_quantile * theirs)
    return LatencyFinding(
        plan.latency_quantile,
        at_champion,
        at_candidate,
        at_candidate / at_champion,
        candidate[0] / champion[1] if champion[1] is not None else 0.0,
        candidate[1] / champion[0] if candidate[1] is not None and champion[0] else None,
        theirs,
    )


def _quantile_interval(cells: Cells, n: int, plan: ShadowPlan) -> tuple[float, float | None]:
    """Bounds of the quantile: the ranks at which a count that large would still be believed."""
    independent = n / _ALIKE_DURATIONS

    weight = plan.min_samples / _ALIKE_DURATIONS / _LOOKS_PER_WEIGHT

    def is_believed(below: float) -> bool:
        quantile = plan.latency_quantile
        evidence = log_evidence(below * independent, independent, quantile, quantile, weight)
        return evidence < -math.log(plan.alpha / 2)

    lower: float = 0.0
    upper: float | None = None
    for cell, below, up_to in _cumulative(cells):
        if not is_believed(up_to / n) and up_to / n < plan.latency_quantile:
            lower = middle_of(cell)
        if upper is None and not is_believed(below / n) and below / n > plan.latency_quantile:
            upper = middle_of(cell)
    if upper is None and not is_believed(1.0):
        upper = middle_of(max(cells) + 1)
    return lower, upper


def _cumulative(cells: Cells) -> Iterator[tuple[int, int, int]]:
    total = 0
    for cell, count in sorted(cells.items()):
        yield cell, total, total + count
        total += count


def _at(cells: Cells, rank: float) -> float:
    for cell, _, up_to in _cumulative(cells):
        if up_to >= rank:
            return middle_of(cell)
    return middle_of(max(cells))


def _parts(view: ShadowView, seen: _Proportion) -> str:
    tally = view.counts.tally
    return f"{tally.disagreements} otherwise, {tally.candidate_errors} failed, {seen.missing} not answered"


def _slower(latency: LatencyFinding, limit: float) -> str:
    return (
        f"The {latency.quantile:g} quantile of the candidate's answers takes {latency.candidate * 1000:.2f} ms,"
        f" {latency.factor:.2f} times the champion's {latency.champion * 1000:.2f} ms (at least {latency.lower:.2f}"
        f" times); allowed {limit:.2f} times."
    )
