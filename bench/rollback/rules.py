"""What Flagger and Argo Rollouts do by their documentation, on the same traffic.

Flagger (docs.flagger.app, "Metrics Analysis"): request-success-rate at least 99 % over 60 s, looked at every 60 s;
a minute without requests is a failed check; failed checks add up over the whole analysis, at 5 of them it rolls back.
Its latency check is p99 at most 500 ms. Argo Rollouts ("Analysis & Progressive Delivery"): an AnalysisTemplate with
`successCondition: result[0] >= 0.95` over the interval, rolled back by more than failureLimit failed measurements:
every 5 minutes with failureLimit 3 as in its example, or every minute with the default failureLimit 0. A measurement
without requests is not a number, so its successCondition does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Rule:
    """Roll back once more than `tolerated` windows of `seconds` had a success rate below `success`."""

    name: str
    seconds: int
    success: float
    tolerated: int


RULES = (
    Rule("Flagger 99 %, 60 s, threshold 5", 60, 0.99, 4),
    Rule("Argo 95 %, 5 min, failureLimit 3", 300, 0.95, 3),
    Rule("Argo 95 %, 60 s, failureLimit 0", 60, 0.95, 0),
)


@dataclass
class Watch:
    """One rule on all runs."""

    rule: Rule
    runs: int
    failed: Array = field(init=False)
    found: Array = field(init=False)
    """When each run was rolled back, in seconds; infinity if it was not."""

    def __post_init__(self) -> None:
        self.failed = np.zeros(self.runs, np.int64)
        self.found = np.full(self.runs, np.inf)
        self._n, self._x = np.zeros(self.runs, np.int64), np.zeros(self.runs, np.int64)

    def observe(self, requests: Array, errors: Array, seconds: int) -> None:
        """The candidate's requests and errors of one look that ends at `seconds`."""
        self._n += requests
        self._x += errors
        if seconds % self.rule.seconds:
            return
        failed = (self._n - self._x) < self.rule.success * self._n
        self.failed += failed | (self._n == 0)
        self._n[:] = 0
        self._x[:] = 0
        self.found = np.where((self.failed > self.rule.tolerated) & np.isinf(self.found), seconds, self.found)
