"""How much events come in bursts: by how much the split of events over the champion's pods varies more than by chance.

The Harm test takes it that events fall on candidate and champion like single requests do. Of a client that sends a
hundred bad requests the gateway gives each track its share, and an outage behind both hits both; such bursts do no
harm. What does is a burst that stays in one *pod*: then events fall in clumps, and a clump is one piece of evidence,
not many. What clumps there are is seen between the champion's own pods: given `k` events in a block of time, pod i with
a share s_i of the requests has k s_i of them on average, and

    Q = sum (x_i - k s_i)^2   has the mean   E = k (1 - sum s_i^2)

if events are independent, and B times that if they come in clumps of B (for clumps of different sizes: the mean of B^2
over the mean of B). The dispersion is sum Q / sum E over many blocks (McCullagh & Nelder 1989, Generalized Linear
Models, 4.5). Blocks of 5, 60 and 300 seconds, since what is independent from second to second need not be over
minutes; the largest counts. With one pod only, two blocks in a row take the place of two pods: a shared outage then
counts as a burst, which is careful, not exact, and bounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

BLOCK_SECONDS = (5, 60, 300)
FADE_SECONDS = 6 * 3600
"""Sums fade by 1/e in six hours."""
PESSIMISTIC = 8.0
"""The dispersion that is assumed where the champion's history is too short to say: bursts of eight."""
LEAST_SECONDS = 3600
"""The least history (seconds with traffic) that is believed."""
MOST = 50.0
"""A larger dispersion is not worth telling from this one: the test then hardly moves."""
_PRIOR_EVENTS = 5.0
"""The pessimistic assumption counts as much as this many events seen."""
_NEGLIGIBLE = 1.15
_SIGNIFICANT = 2.5
"""A dispersion this many standard errors above 1 is not chance."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Decayed sums over the blocks of one length: events, Q, E, and the variance that Q has by chance alone."""

    events: float = 0.0
    squares: float = 0.0
    expected: float = 0.0
    variance: float = 0.0

    def faded(self, factor: float) -> Sums:
        """Return the sums after time has passed."""
        return Sums(self.events * factor, self.squares * factor, self.expected * factor, self.variance * factor)

    def plus(self, split: Split) -> Sums:
        """Return the sums with one more block."""
        return Sums(
            self.events + split.weight * split.events,
            self.squares + split.weight * split.squares,
            self.expected + split.weight * split.expected,
            self.variance + split.weight**2 * split.variance,
        )


@dataclass(frozen=True, slots=True)
class Split:
    """How the events of one block fell; `weight` is less than 1 for blocks with unusually many."""

    events: float
    squares: float
    expected: float
    variance: float
    weight: float


def split(requests: Sequence[int], events: Sequence[int], usual: float) -> Split | None:
    """Return how `events` fell on pods with so many `requests`; None if there is nothing to split.

    `usual`: events per block so far. An outage must not drown what all other blocks show: its events are many and
    independent, so the weight of a block goes down with the square of what it has beyond `at_most`. The variance of Q
    is that of a multinomial with equal shares.
    """
    total, k = sum(requests), sum(events)
    pods = sum(1 for count in requests if count)
    if k == 0 or pods < 2:
        return None
    squares = expected = 0.0
    for count, seen in zip(requests, events, strict=True):
        share = count / total
        squares += (seen - k * share) ** 2
        expected += k * share * (1 - share)
    variance = 2 * k * (k - 1) * (pods - 1) / pods**2
    return Split(k, squares, expected, variance, min(1.0, at_most(usual) / k) ** 2)


def at_most(usual: float) -> float:
    """Return the number of events in a block that is not yet an outage, `usual` being the mean."""
    return 4 * usual + 10


def dispersion(by_block: Mapping[int, Sums], seconds: float, *, one_pod: bool = False) -> tuple[float, bool]:
    """Return the factor to deflate evidence by (at least 1), and whether it was measured rather than assumed.

    For each block length: what was seen, with the pessimistic assumption as `_PRIOR_EVENTS` events more, so that a
    champion with hardly an error is trusted little by little. What chance alone explains, and less than 15 %, is none.
    Of `one_pod` no more is believed than what is assumed without any history: most of it are shared outages.
    """
    if seconds < LEAST_SECONDS:
        return PESSIMISTIC, False
    # A block length that was never seen complete says nothing; the others still do.
    largest = max((_of(sums) for sums in by_block.values() if sums.expected > 0), default=PESSIMISTIC)
    known = any(sums.events >= _PRIOR_EVENTS for sums in by_block.values())
    return (1.0 if largest < _NEGLIGIBLE else min(largest, PESSIMISTIC if one_pod else MOST)), known


def _of(sums: Sums) -> float:
    ratio = sums.squares / sums.expected
    error = math.sqrt(sums.variance) / sums.expected
    excess = ratio - 1 if ratio - 1 > _SIGNIFICANT * error else 0.0
    return 1 + (excess * sums.events + (PESSIMISTIC - 1) * _PRIOR_EVENTS) / (sums.events + _PRIOR_EVENTS)


@dataclass(frozen=True, slots=True)
class OpenBlock:
    """A block that is being filled: since when (ms), and per pod its requests and events."""

    since: int
    pods: Mapping[str, tuple[int, int]]

    def plus(self, pods: Mapping[str, tuple[int, int]]) -> OpenBlock:
        """Return the block with more counts."""
        merged = dict(self.pods)
        for key, (requests, events) in pods.items():
            before = merged.get(key, (0, 0))
            merged[key] = (before[0] + requests, before[1] + events)
        return replace(self, pods=merged)


def sums_as_json(by_block: Mapping[int, Sums]) -> dict[str, list[str]]:
    """Return the sums by block length as decimal strings of nine digits: they are estimates, and kept in status."""
    return {
        str(length): [f"{value:.9g}" for value in (s.events, s.squares, s.expected, s.variance)]
        for length, s in by_block.items()
    }


def sums_from_json(value: Mapping[str, Any]) -> dict[int, Sums]:
    """Return the sums that `sums_as_json` was called on."""
    return {int(length): Sums(*(float(item) for item in stored)) for length, stored in value.items()}
