"""The Harm test: is a share (of errors, of slow answers) higher in the candidate than in the champion?

Given that a block of traffic had `n1` requests of the candidate and `n2` of the champion, and `k` events in both,
equal shares mean that the candidate's `x` events are drawn without replacement: hypergeometric, whatever the share is
and however it moves with time. So an outage that hits both tracks alike cancels. For a relative risk r > 1,

    e(r) = r^x / (1 + w (r - 1))^k,   w = n1 / (n1 + n2)

is the likelihood ratio of Binomial(k, r w / (1 + w (r - 1))) to Binomial(k, w). It is increasing and convex in x, so
its mean is at most 1 under the hypergeometric too (Hoeffding 1963, J. Am. Stat. Assoc. 58, theorem 4: drawing without
replacement is smaller in convex order), and for any smaller share of the candidate. Products over blocks and the mean
over r are therefore e-processes: the chance that one ever reaches 1/alpha is at most alpha (Ville 1939; Ramdas et al.
2023, Stat. Sci. 38), however often one looks, and whatever decides when to stop.

Harm may begin long after the step did, and hours without it would be held against the first bad answers. So a part of
the evidence, `LATE`, waits: some of it starts in every moment, most of it early. That is a mean over moments of
beginning, an e-process like the mean over r (fixed-share mixing: Herbster & Warmuth 1998, Mach. Learn. 32; Shin,
Ramdas & Rinaldo 2024, "E-detectors"). How large a harm is, is then to be told since it began: for each r counts are
kept that fade, block by block, by the part of its evidence that has just started.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.domain.canary.analysis import Worse
from penstock.stats.sequential.nats import PER_NAT, mixture, stored

RATIOS = (1.2, 1.6, 2.5, 5.0, 12.0, 30.0, 100.0)
"""The relative risks that are looked for: from a small rise seen in much traffic to a model that is plainly broken."""
_WEIGHTS = (1, 1, 1, 1, 3, 12, 3)
ALPHA = 0.05
"""The chance of a false rollback in a whole rollout, all analyses and steps together."""
LATE = 0.1
LATE_SECONDS = 600.0
"""Of the part that waits, LATE_SECONDS / (LATE_SECONDS + t) is left after t seconds of the step."""
PER_COUNT = 100
"""`since` is kept in hundredths of a request."""

Counts = tuple[int, int, int, int]

_HIGHER = tuple(math.log(ratio) for ratio in RATIOS)
_LOWER = tuple(-log for log in _HIGHER)


@dataclass(frozen=True, slots=True)
class Harm:
    """State per relative risk: log e (millionths of a nat), and the counts since such a harm may have begun.

    `since`: requests and events of the candidate, requests and events of the champion, in hundredths.
    """

    logs: tuple[int, ...]
    since: tuple[Counts, ...]

    def as_json(self) -> list[Any]:
        """Return plain integers."""
        return [list(self.logs), [list(counts) for counts in self.since]]


def from_json(value: Sequence[Any]) -> Harm:
    """Return the state that `as_json` was called on."""
    return Harm(tuple(value[0]), tuple((n1, x, n2, y) for n1, x, n2, y in value[1]))


def log_ratios(worse: Worse) -> tuple[float, ...]:
    """Return the logs of the relative risks that mean harm."""
    if worse is Worse.EITHER:
        return _HIGHER + _LOWER
    return _HIGHER if worse is Worse.HIGHER else _LOWER


def log_weights(worse: Worse) -> tuple[float, ...]:
    """Return the logs of the mixture's weights, which add to 1."""
    sides = 2 if worse is Worse.EITHER else 1
    total = sum(_WEIGHTS) * sides
    return tuple(math.log(weight / total) for weight in _WEIGHTS) * sides


def begin(worse: Worse) -> Harm:
    """Return the state before anything was seen."""
    width = len(log_ratios(worse))
    return Harm((stored(math.log(1 - LATE)),) * width, ((0, 0, 0, 0),) * width)


def starting(before: float, after: float) -> float:
    """Return the part of the evidence that starts between two moments, in seconds since the step began."""
    first, last = max(0.0, before), max(0.0, before, after)
    return LATE * LATE_SECONDS * (last - first) / ((LATE_SECONDS + first) * (LATE_SECONDS + last))


def observe(
    state: Harm,
    worse: Worse,
    candidate: tuple[int, int],
    champion: tuple[int, int],
    dispersion: float,
    started: float,
) -> Harm:
    """Return the state after a block with (requests, events) of each track; `started`: see `starting`.

    `dispersion` (at least 1) deflates: events that come in bursts of that many are counted as one each.
    """
    (n1, x), (n2, y) = candidate, champion
    k = x + y
    share = n1 / (n1 + n2) if k and n1 and n2 else 0.0
    logs, since = [], []
    for log, old, log_ratio in zip(state.logs, state.since, log_ratios(worse), strict=True):
        before = log / PER_NAT
        grown = _plus(before, started)
        change = (x * log_ratio - k * math.log1p(share * math.expm1(log_ratio))) / dispersion if share else 0.0
        logs.append(stored(grown + change))
        since.append(_faded(old, math.exp(before - grown), (n1, x, n2, y)))
    return Harm(tuple(logs), tuple(since))


def since(state: Harm, worse: Worse) -> Counts:
    """Return the counts (hundredths) since harm began, by the relative risk that most speaks for it."""
    weighted = [log / PER_NAT + weight for log, weight in zip(state.logs, log_weights(worse), strict=True)]
    return state.since[weighted.index(max(weighted))]


def _faded(old: Counts, kept: float, added: Counts) -> Counts:
    n1, x, n2, y = (math.floor(count * kept) + PER_COUNT * new for count, new in zip(old, added, strict=True))
    return n1, x, n2, y


def log_e(state: Harm, worse: Worse) -> float:
    """Return the log of the e-value against "not worse", in nats; what still waits is left out."""
    return mixture(state.logs, log_weights(worse))


def _plus(log: float, more: float) -> float:
    """Return log(exp(log) + more)."""
    if more <= 0:
        return log
    other = math.log(more)
    high, low = max(log, other), min(log, other)
    return high + math.log1p(math.exp(low - high))


def threshold(analysis_index: int, errors_index: int | None, analyses: int, step: int, steps: int) -> float:
    """Return what log e must reach in one analysis and step, so that the whole rollout stays below `ALPHA`.

    Evidence is scarcest where traffic is least and harm is greatest: the first step gets half of alpha, the others
    share the rest, and errors (if analysed) count double among the analyses.
    """
    shares = analyses if errors_index is None else analyses + 1
    of_analysis = (2 if analysis_index == errors_index else 1) / shares
    of_step = 1.0 if steps == 1 else 0.5 if step == 0 else 0.5 / (steps - 1)
    return -math.log(ALPHA * of_analysis * of_step)
