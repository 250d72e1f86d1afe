"""A metric for every part of the rows, with p-values that allow for looking at many parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from penstock.stats.correction import holm
from penstock.stats.evaluation import decisions
from penstock.stats.evaluation.estimate import Estimate, Ints, Options, Problem
from penstock.stats.evaluation.metrics import SMALLER_IS_BETTER, Rows, measured
from penstock.stats.evaluation.uncertain import Uncertain, estimate


@dataclass(frozen=True, slots=True)
class Slice:
    """One part. `found.n` is what the metric is a share of; `rows` are all rows of the part."""

    name: str
    rows: int
    found: Estimate
    p_breach: float | None
    """The one-sided p-value of "this part keeps the bound", Holm-adjusted over all parts that have one."""


@dataclass(frozen=True, slots=True)
class Slices:
    """The parts with enough rows, the worst first, and how many had too few."""

    parts: tuple[Slice, ...]
    small: int


def sliced(
    metric: str,
    rows: Rows,
    columns: Sequence[tuple[Sequence[str], Ints]],
    options: Options,
    *,
    least_rows: int,
    bound: float,
) -> Slices:
    """Return the metric of every value of every column.

    `columns`: the values' names and each row's value as an index into them, [n], below 0 for none. `bound`: what every
    part must reach, or not exceed where smaller is better. Counts of all parts come of one pass (`bincount`); intervals
    are each part's own, only the p-values are corrected.
    """
    names: list[str] = []
    sizes: list[int] = []
    results: list[Uncertain | Problem] = []
    small = 0
    for labels, codes in columns:
        counts = np.bincount(codes[codes >= 0], minlength=len(labels))
        large = np.flatnonzero(counts >= max(1, least_rows))
        small += int(np.count_nonzero(counts)) - len(large)
        names += [labels[index] for index in large.tolist()]
        sizes += counts[large].tolist()
        results += _measured(metric, rows, labels, codes, large, options)
    own = replace(options, least_rows=1)
    found = [estimate(result, own, bound, n=size) for result, size in zip(results, sizes, strict=True)]
    raw = [item.p_above if metric in SMALLER_IS_BETTER else item.p_below for item in found]
    tested = [index for index, p in enumerate(raw) if p is not None]
    adjusted = dict(zip(tested, holm([p for p in raw if p is not None]), strict=True))
    parts = [Slice(*item, adjusted.get(index)) for index, item in enumerate(zip(names, sizes, found, strict=True))]
    return Slices(tuple(_worst_first(parts, smaller_is_better=metric in SMALLER_IS_BETTER)), small)


def _measured(
    metric: str, rows: Rows, labels: Sequence[str], codes: Ints, chosen: Ints, options: Options
) -> list[Uncertain | Problem]:
    if metric in decisions.NAMES:
        finite = np.isfinite(rows.scores)
        outcome = rows.positive * 2 + (rows.scores >= options.threshold)
        used = codes >= 0
        table = np.bincount(codes[used] * 4 + outcome[used], minlength=4 * len(labels)).reshape(-1, 4)
        strange = np.bincount(codes[used & ~finite], minlength=len(labels)) > 0
        return [
            Problem.NOT_FINITE if strange[index] else decisions.share(metric, table[index]) for index in chosen.tolist()
        ]
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(labels) + 1))
    return [
        measured(metric, rows.taken(order[starts[index] : starts[index + 1]]), options, labels[index])
        for index in chosen.tolist()
    ]


def _worst_first(parts: list[Slice], *, smaller_is_better: bool) -> list[Slice]:
    """First the part that breaches the bound most surely, then by the bound of its interval; unknown ones are worst."""

    def badness(part: Slice) -> float:
        edge = part.found.upper if smaller_is_better else part.found.lower
        return float("inf") if edge is None else edge if smaller_is_better else -edge

    ordered = sorted(parts, key=lambda part: (-badness(part), part.name))
    surest = min(
        (part for part in ordered if part.p_breach is not None), key=lambda part: part.p_breach or 0.0, default=None
    )
    if surest is None:
        return ordered
    return [surest, *(part for part in ordered if part is not surest)]
