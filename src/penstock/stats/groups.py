"""Groups of cells on which drift is measured: 10 to 32 of about the same weight in the reference."""

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Groups = npt.NDArray[np.intp]

FEWEST = 10
MOST = 32
_ROWS_PER_GROUP = 50


def wanted_groups(rows_reference: int, rows_current: int) -> int:
    """How many groups samples of these sizes carry: 50 rows of the smaller one for each, 10 to 32."""
    return max(FEWEST, min(MOST, min(rows_reference, rows_current) // _ROWS_PER_GROUP))


def quantile_groups(counts: Counts, wanted: int) -> Groups:
    """Maps neighbouring cells, shape [cells], to groups numbered from 0, shape [cells], at most `wanted` groups.

    Groups end where the reference quantiles k / wanted fall, snapped to the end of a cell. A cell that alone has the
    weight of a group is one, so that what happens beside a constant or a frequent value is seen; such neighbours may
    be empty in the reference.
    """
    cells, total = len(counts), int(counts.sum())
    if not total:
        return np.zeros(cells, dtype=np.intp)
    cumulative = np.cumsum(counts)
    ends = np.searchsorted(cumulative, np.arange(1, wanted) * total / wanted, side="left") + 1
    heavy = np.flatnonzero(counts * wanted >= total)
    starts = np.unique(np.concatenate([ends, heavy, heavy + 1]))
    starts = starts[(starts > 0) & (starts < cells)]
    # A lighter group than the snapping can explain would only add noise; empty ones go first.
    while len(starts) >= wanted:
        weights = np.add.reduceat(counts, np.concatenate([[0], starts]))
        starts = np.delete(starts, max(0, int(np.argmin(weights)) - 1))
    groups = np.zeros(cells, dtype=np.intp)
    groups[starts] = 1
    return np.cumsum(groups, dtype=np.intp)


def category_groups(counts: Counts, wanted: int) -> Groups:
    """Maps categories, shape [categories + 1] with "other" last, to groups numbered from 0.

    The most frequent of the reference are groups of their own; the rest, when there are more than `wanted`, share the
    last one. "Other" is always a group of its own.
    """
    known = len(counts) - 1
    if known < wanted:
        return np.arange(known + 1, dtype=np.intp)
    order = np.argsort(-counts[:-1], kind="stable")
    groups = np.full(known + 1, wanted - 2, dtype=np.intp)
    groups[order[: wanted - 2]] = np.arange(wanted - 2)
    groups[known] = wanted - 1
    return groups


def group(counts: Counts, groups: Groups) -> Counts:
    """Counts per group, shape [groups]."""
    summed = np.zeros(int(groups.max(initial=-1)) + 1, dtype=np.int64)
    np.add.at(summed, groups, counts)
    return summed
