"""How far apart a model treats groups: the largest difference of a rate between any two of them.

Demographic parity compares the share of positive decisions, equal opportunity that among positive rows (recall),
equalized odds both recall and the share of false alarms (Hardt, Price & Srebro 2016; Agarwal et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from penstock.stats.evaluation.estimate import Bools, Estimate, Floats, Ints, Options, Problem
from penstock.stats.evaluation.resampling import stream

DEMOGRAPHIC_PARITY = "demographic_parity_difference"
EQUALIZED_ODDS = "equalized_odds_difference"
EQUAL_OPPORTUNITY = "equal_opportunity_difference"
NAMES = (DEMOGRAPHIC_PARITY, EQUALIZED_ODDS, EQUAL_OPPORTUNITY)
LEAST_ROWS = 30
"""A rate of fewer rows is not compared: its interval says nothing, and would keep every other group from showing."""
_MOST_VALUES = 1 << 22


@dataclass(frozen=True, slots=True)
class Disparity:
    """The difference with its interval; `groups` were compared, `left_out` had too few rows for it."""

    found: Estimate
    groups: int
    left_out: int


def disparity(
    metric: str, labels: Bools, decisions: Bools, groups: Ints, options: Options, *, least_rows: int = LEAST_ROWS
) -> Disparity:
    """Return how far apart the groups are; `groups`: each row's group [n] as a number from 0, below 0 for none.

    The interval is simultaneous: it is that of the difference of every two groups, by the bootstrap distribution of the
    largest studentized error (max-t; Hothorn, Bretz & Westfall 2008; Romano & Wolf 2005), so that a difference that is
    only the largest of many by chance is not taken for one. Rows are redrawn within groups (and labels); rates are
    drawn around (hits + 1) / (n + 2) (Agresti & Caffo 2000), since a rate of 0 of 40 rows does not mean never.
    """
    known = groups >= 0
    size = int(groups.max(initial=-1)) + 1
    cells = groups[known] * 4 + labels[known] * 2 + decisions[known]
    table = np.bincount(cells, minlength=4 * size).reshape(-1, 4)
    families = _families(metric, table)
    present = int(np.count_nonzero(table.sum(axis=1)))
    used = [(hits[of >= least_rows], of[of >= least_rows]) for hits, of in families]
    used = [(hits, of) for hits, of in used if len(of) >= 2]
    compared = min((len(of) for _, of in used), default=0)
    n = int(table.sum())
    if len(used) < len(families):
        return Disparity(Estimate(n, problem=Problem.TOO_FEW if n else Problem.NO_ROWS), compared, present - compared)
    value = max(float(np.ptp(hits / of)) for hits, of in used)
    random = stream(options.seed, metric, "fairness")
    worst = np.zeros(options.resamples)
    bounds: list[tuple[Floats, Floats]] = []
    for hits, of in used:
        centre = (hits + 1) / (of + 2)
        gaps, errors = _gaps(centre, of)
        bounds.append((gaps, errors))
        step = max(1, _MOST_VALUES // len(gaps))
        for start in range(0, options.resamples, step):
            count = min(step, options.resamples - start)
            drawn = random.binomial(of, centre, size=(count, len(of)))
            drawn_gaps, drawn_errors = _gaps((drawn + 1) / (of + 2), of)
            farthest = (np.abs(drawn_gaps - gaps) / drawn_errors).max(axis=1)
            worst[start : start + count] = np.maximum(worst[start : start + count], farthest)
    reach = float(np.quantile(worst, options.confidence))
    lower = max(0.0, *(float((np.abs(gaps) - reach * errors).max()) for gaps, errors in bounds))
    upper = min(1.0, max(float((np.abs(gaps) + reach * errors).max()) for gaps, errors in bounds))
    return Disparity(Estimate(n, value, min(lower, value), max(upper, value)), compared, present - compared)


def _families(metric: str, table: Ints) -> list[tuple[Ints, Ints]]:
    """Hits and what they are a share of, [groups] each, from counts [groups, 4] of (label, decision)."""
    false_alarms = (table[:, 1], table[:, 0] + table[:, 1])
    found = (table[:, 3], table[:, 2] + table[:, 3])
    if metric == DEMOGRAPHIC_PARITY:
        return [(table[:, 1] + table[:, 3], table.sum(axis=1))]
    return [found] if metric == EQUAL_OPPORTUNITY else [found, false_alarms]


def _gaps(rates: Floats, of: Ints) -> tuple[Floats, Floats]:
    """Differences of every two rates [.., groups] and their standard errors, [.., pairs]."""
    variances = rates * (1 - rates) / (of + 2)
    left, right = np.triu_indices(rates.shape[-1], k=1)
    gaps = rates[..., left] - rates[..., right]
    return gaps, np.sqrt(variances[..., left] + variances[..., right])
