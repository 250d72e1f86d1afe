"""Metrics of yes and no: accuracy, precision, recall, F1, from the counts of each outcome."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import binomtest

from penstock.stats.evaluation.estimate import Bools, Floats, Ints, Problem
from penstock.stats.evaluation.uncertain import Draws, Share, Uncertain

# Counts of (label, decision) in the order 00, 01, 10, 11.
_Parts = tuple[Floats, Floats]
"""Hits, and what they are a share of."""


def _accuracy(tn: Floats, fp: Floats, fn: Floats, tp: Floats) -> _Parts:
    return tp + tn, tp + tn + fp + fn


def _precision(tn: Floats, fp: Floats, fn: Floats, tp: Floats) -> _Parts:
    return tp, tp + fp


def _recall(tn: Floats, fp: Floats, fn: Floats, tp: Floats) -> _Parts:
    return tp, tp + fn


def _found_or_wrong(tn: Floats, fp: Floats, fn: Floats, tp: Floats) -> _Parts:
    return tp, tp + fp + fn


_PARTS: dict[str, Callable[[Floats, Floats, Floats, Floats], _Parts]] = {
    "accuracy": _accuracy,
    "precision": _precision,
    "recall": _recall,
    # F1 = 2q / (1 + q) of the share q = TP / (TP + FP + FN), and rises with it: an interval of q is one of F1.
    "f1": _found_or_wrong,
}
NAMES = tuple(_PARTS)


def _f1_of(share: Floats | float) -> Floats | float:
    return 2 * share / (1 + share)


def _share_of_f1(f1: float) -> float:
    return f1 / (2 - f1) if f1 < 2 else 1.0


def confusion(labels: Bools, decisions: Bools) -> Ints:
    """Return the counts [4] of (label, decision): TN, FP, FN, TP."""
    return np.bincount(labels * 2 + decisions, minlength=4)


def share(metric: str, counts: Ints) -> Uncertain | Problem:
    """Return one model's metric from `confusion`, exact (Clopper & Pearson) given what it is a share of.

    Counts of rows drawn one by one are multinomial, so hits are binomial given the rows that could have been hits.
    """
    if not counts.sum():
        return Problem.NO_ROWS
    hits, of = (int(part) for part in _PARTS[metric](*counts))
    if of == 0:
        return Problem.NOT_DEFINED
    if metric == "f1":
        return Share(hits, of, _rise_f1, _share_of_f1)
    return Share(hits, of)


def _rise_f1(value: float) -> float:
    return float(_f1_of(value))


def paired(labels: Bools, candidate: Bools, champion: Bools) -> Ints:
    """Return the counts [8] of (label, candidate's decision, champion's decision)."""
    return np.bincount(labels * 4 + candidate * 2 + champion, minlength=8)


def difference(metric: str, counts: Ints, random: np.random.Generator, resamples: int) -> Uncertain | Problem:
    """Return candidate's metric minus champion's from `paired`.

    Multinomial bootstrap of the eight counts: the same as resampling rows, for both models at once. Half a row is added
    to each count that is drawn from (Agresti & Min 2005, Statistics in Medicine 24): two models that never disagreed
    may still disagree on the next row.
    """
    n = int(counts.sum())
    if not n:
        return Problem.NO_ROWS
    one, other = _both(metric, counts.astype(np.float64)[None, :])
    if np.isnan(one[0]) or np.isnan(other[0]):
        return Problem.NOT_DEFINED
    chances = (counts + 0.5) / (n + 4)
    first, second = _both(metric, random.multinomial(n, chances, size=resamples).astype(np.float64))
    differences = first - second
    known = differences[~np.isnan(differences)]
    if len(known) < 0.95 * resamples:
        return Problem.NOT_DEFINED
    return Draws(float(one[0] - other[0]), known, n)


def mcnemar(counts: Ints) -> tuple[int, int, float]:
    """Return the rows that only the candidate got right, those that only the champion did, and the exact p-value.

    McNemar 1947, Psychometrika 12, without approximation: the binomial test of a fair coin over the rows on which one
    of the two is wrong. `counts` is of `paired`.
    """
    only_candidate = int(counts[0b001] + counts[0b110])
    only_champion = int(counts[0b010] + counts[0b101])
    unequal = only_candidate + only_champion
    p_value = float(binomtest(only_candidate, unequal).pvalue) if unequal else 1.0
    return only_candidate, only_champion, p_value


def _both(metric: str, counts: Floats) -> tuple[Floats, Floats]:
    """The metric of candidate and champion for counts [draws, 8]; NaN where it is a share of nothing."""
    values = []
    for own in (True, False):
        hits, of = _PARTS[metric](*_margin(counts, own=own))
        with np.errstate(invalid="ignore", divide="ignore"):
            found = hits / of
        values.append(np.asarray(_f1_of(found) if metric == "f1" else found))
    return values[0], values[1]


def _margin(counts: Floats, *, own: bool) -> tuple[Floats, Floats, Floats, Floats]:
    """TN, FP, FN, TP of the candidate (`own`) or the champion, each [draws]."""
    table = counts.reshape(-1, 2, 2, 2).sum(axis=3 if own else 2)
    return table[:, 0, 0], table[:, 0, 1], table[:, 1, 0], table[:, 1, 1]
