"""The Go test: is the candidate's share shown to be less than the champion's plus the margin?

Each block of traffic is bet on by a likelihood ratio: both tracks having the share that was usual so far, against the
pair with difference = margin that explains this best. That pair is chosen so that the ratio's mean is at most 1 for
every pair with at least that difference (`domain.canary.boundary.nearest_null`); so the product is an e-process of
H0 "candidate >= champion + margin", for a share that moves with time too.

An outage that hits both tracks would ruin a good candidate's evidence in one block, since usual shares are bet on. A
part `IDLE` of the evidence is therefore left out of every bet, and kept where the *champion* shows an outage; else what
it would save is thrown away, so that a candidate that fails in bursts of its own loses all that its failures cost.
Both only ever make the factor smaller than IDLE + (1 - IDLE) ratio, whose mean is at most 1. While the last block was
such an outage nothing is bet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from penstock.domain.canary.boundary import LEAST, MOST, nearest_null
from penstock.stats.sequential.nats import LEAST as LEAST_LOG
from penstock.stats.sequential.nats import PER_NAT, stored

ALPHA = 0.05
THRESHOLD = -math.log(ALPHA)
"""What log e must reach, for each analysis: all of them must, so the chance that a bad one passes is not multiplied."""
IDLE = 0.02
PATIENCE = 60
"""Blocks in a row after which an outage is taken for what is usual now."""
_PRIOR_REQUESTS = 50_000
"""What the champion's history counts for at most, in requests."""


@dataclass(frozen=True, slots=True)
class Go:
    """State: log e (millionths of a nat), what is usual (requests, events), and blocks of outage in a row."""

    log: int = 0
    usual_n: int = 0
    usual_x: int = 0
    outage: int = 0

    def as_json(self) -> list[int]:
        """Return plain integers."""
        return [self.log, self.usual_n, self.usual_x, self.outage]

    @property
    def log_e(self) -> float:
        """The log of the e-value, in nats."""
        return self.log / PER_NAT


def begin(history_n: float = 0.0, history_x: float = 0.0) -> Go:
    """Return the state before anything was seen; the champion's history says what is usual."""
    scale = min(1.0, _PRIOR_REQUESTS / history_n) if history_n > 0 else 0.0
    return Go(0, round(history_n * scale), round(history_x * scale), 0)


def observe(state: Go, margin: float, candidate: tuple[int, int], champion: tuple[int, int], dispersion: float) -> Go:
    """Return the state after a block with (requests, events that are worse when more) of each track."""
    (n1, x1), (n2, x2) = candidate, champion
    if n1 + n2 == 0:
        return state
    usual = min(max((state.usual_x + 0.5) / (state.usual_n + 100), LEAST), MOST)
    outage = state.usual_n > 0 and x2 > 3 * usual * n2 + 8 * dispersion
    added = 0 if state.outage else stored(_log_factor(usual, margin, candidate, champion, dispersion, outage))
    log = max(state.log + added, LEAST_LOG)
    if not outage:
        return Go(log, state.usual_n + n1 + n2, state.usual_x + x1 + x2, 0)
    if state.outage >= PATIENCE:
        return Go(log, n2, x2, 0)
    return replace(state, log=log, outage=state.outage + 1)


def _log_factor(
    usual: float,
    margin: float,
    candidate: tuple[int, int],
    champion: tuple[int, int],
    dispersion: float,
    outage: bool,
) -> float:
    (n1, x1), (n2, x2) = candidate, champion
    null1, null2 = nearest_null(usual, margin, n1, n2)
    log_ratio = (
        x1 * math.log(usual / null1)
        + (n1 - x1) * (math.log1p(-usual) - math.log1p(-null1))
        + x2 * math.log(usual / null2)
        + (n2 - x2) * (math.log1p(-usual) - math.log1p(-null2))
    ) / dispersion
    if log_ratio < 0 and not outage:
        return log_ratio
    return math.log(IDLE + (1 - IDLE) * math.exp(min(log_ratio, 500.0)))


def from_json(value: list[int]) -> Go:
    """Return the state that `as_json` was called on."""
    return Go(*value)
