"""The counters of the built-in model server: which there are, and what a pod has counted by them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from penstock.domain.canary.counters import PodCounts
from penstock.metrics.samples import count_of, moment_of, number_of

REQUESTS = "penstock_inference_requests_total"
DURATIONS = "penstock_inference_duration_seconds_bucket"
STARTED = "penstock_inference_duration_seconds_created"
NAMES = (REQUESTS, DURATIONS, STARTED)

Sample = tuple[str, Mapping[str, str], str]
"""A metric's name, its labels and its value as text."""


def counts(samples: Iterable[Sample], pod: str) -> PodCounts | None:
    """Return what the server of a pod has counted since it started; None if there is no counter of requests.

    An error is an answer with 5xx. Series with the label role="shadow" are copies of requests: left out.
    Raises SourceUnavailable if a number is none that a counter can have.
    """
    errors = total = 0
    counted = False
    buckets: dict[float, int] = defaultdict(int)
    started: datetime | None = None
    for name, labels, value in samples:
        if labels.get("role") == "shadow":
            continue
        if name == REQUESTS:
            counted = True
            number = count_of(value, f"{name} of pod {pod}")
            total += number
            errors += number if labels.get("code", "").startswith("5") else 0
        elif name == DURATIONS:
            buckets[_bound(labels.get("le", ""), pod)] += count_of(value, f"{name} of pod {pod}")
        elif name == STARTED:
            # Workers of one pod end together and start one after the other; what counts is the last.
            moment = moment_of(number_of(value, f"{name} of pod {pod}"))
            started = moment if started is None else max(started, moment)
    return PodCounts(started, errors, total, tuple(sorted(buckets.items()))) if counted else None


def _bound(text: str, pod: str) -> float:
    return math.inf if text == "+Inf" else number_of(text, f"a bucket's bound of pod {pod}")
