"""How fast evidence grows that a share is below another one plus a margin: for the Go test and for planning it."""

from __future__ import annotations

import math

_STEPS = 50
LEAST, MOST = 1e-6, 1 - 1e-6
"""Shares outside are taken to be at the nearer of these."""


def nearest_null(share: float, margin: float, n_candidate: float, n_champion: float) -> tuple[float, float]:
    """Return the shares (candidate, champion) with candidate = champion + margin that explain equal shares best.

    "Best" is the least Kullback-Leibler divergence from both tracks having `share`, weighted by their requests: the
    projection onto the null hypothesis whose likelihood ratio is an e-value for the whole of it, for any numbers of
    requests (Turner, Ly & Grünwald 2024, "Generic E-variables for exact sequential k-sample tests", J. Stat. Plan.
    Inference 230; docs/canary.md has the proof). Its root is found by bisection; `margin` in (0, 1).
    """
    low, high = max(share - margin, 0.0), min(share, 1.0 - margin)
    weight = n_candidate / (n_candidate + n_champion)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        above = middle + margin
        slope = weight * (share - above) * middle * (1 - middle) + (1 - weight) * (share - middle) * above * (1 - above)
        if slope > 0:
            low = middle
        else:
            high = middle
    champion = min(max((low + high) / 2, LEAST / 2), 1 - margin - LEAST / 2)
    return champion + margin, champion


def growth(share: float, margin: float, weight: float) -> float:
    """Return the expected growth of log e per request of the *candidate*, in nats, if both tracks have `share`.

    `weight`: the candidate's share of the traffic, in (0, 1).
    """
    share = min(max(share, LEAST), MOST)
    candidate, champion = nearest_null(share, margin, weight, 1 - weight)
    return _divergence(share, candidate) + _divergence(share, champion) * (1 - weight) / weight


def _divergence(p: float, q: float) -> float:
    q = min(max(q, LEAST / 2), 1 - LEAST / 2)
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
