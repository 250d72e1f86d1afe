"""How far two samples are from each other, from their counts on one grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import erfc, sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, kolmogorov

from penstock.stats.decision import Measures
from penstock.stats.grid import Grid, GridError, NumericGrid
from penstock.stats.groups import Counts, category_groups, group, quantile_groups, wanted_groups
from penstock.stats.histogram import Histogram

# The chi-square approximation needs expected counts of 5 and more (Cochran 1954, Biometrics 10).
_LEAST_EXPECTED = 5.0


def psi(reference: Counts, current: Counts) -> float:
    """Population stability index of two tables of counts of the same shape [groups]: Σ (q - p) · ln(q / p).

    p and q are the reference's and the current shares; a group without rows is given half a row (p = 0.5 / n), so that
    its weight falls with the sample. Raises `ValueError` if a side has no rows. Source: Siddiqi 2006, Credit Risk
    Scorecards; it is the symmetrised Kullback-Leibler divergence (Jeffreys 1946).
    """
    _check(reference, current)
    p, q = np.maximum(reference, 0.5) / reference.sum(), np.maximum(current, 0.5) / current.sum()
    used = (reference + current) > 0
    return float(((q - p) * np.log(q / p))[used].sum())


def psi_bias(reference: Counts, current: Counts) -> float:
    """What PSI is on average without any shift: (B - 1) · (1/n + 1/m), B being the groups with rows on either side.

    Source: Yurdakul & Naranjo 2020, Journal of Risk Model Validation 14(4): PSI / (1/n + 1/m) is then about chi-square
    with B - 1 degrees of freedom.
    """
    groups = int(np.count_nonzero(reference + current))
    return max(0, groups - 1) * (1 / int(reference.sum()) + 1 / int(current.sum()))


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """Jensen-Shannon distance, 0 to 1: the root of the divergence to base 2 (Lin 1991; Endres & Schindelin 2003).

    Raises `ValueError` if a side has no rows.
    """
    _check(reference, current)
    p, q = reference / reference.sum(), current / current.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(p > 0, p * np.log2(p / middle), 0.0).sum()
        right = np.where(q > 0, q * np.log2(q / middle), 0.0).sum()
    return sqrt(min(1.0, max(0.0, float(left + right) / 2)))


def binned_ks(reference: Counts, current: Counts) -> float:
    """Largest difference of the two distribution functions at the cells' limits, 0 to 1; counts in ascending order.

    Never above the exact Kolmogorov-Smirnov distance, and below it by at most the heaviest cell's share. Raises
    `ValueError` if a side has no rows.
    """
    _check(reference, current)
    return float(np.abs(_distribution(reference) - _distribution(current)).max())


def ks_p_value(distance: float, n_reference: int, n_current: int) -> float:
    """Two-sided, by the limit distribution at √(n·m/(n+m)) · D (Smirnov 1948); on the safe side for counts in cells."""
    return float(kolmogorov(sqrt(n_reference * n_current / (n_reference + n_current)) * distance))


def wasserstein(grid: NumericGrid, reference: Counts, current: Counts) -> float:
    """Wasserstein-1 distance in the feature's unit: Σ |F - G| · cell width (Vallender 1974); counts: [cells + 2].

    Values count as lying in the middle of their cell, those outside the grid half a cell beside it: exact to one cell's
    width for samples inside the grid, too small for others. Raises `ValueError` if a side has no rows.
    """
    _check(reference, current)
    return float(np.abs(_distribution(reference) - _distribution(current)).sum() * grid.width)


@dataclass(frozen=True, slots=True)
class ChiSquare:
    """A test of homogeneity; `p_value` is 1 without degrees of freedom."""

    statistic: float
    degrees_of_freedom: int
    p_value: float


def chi_square(reference: Counts, current: Counts) -> ChiSquare:
    """Pearson's test of two samples for the same distribution over groups, counts of shape [groups].

    The 2 × B contingency table with (B - 1) degrees of freedom and no continuity correction (Pearson 1900); the
    reference is a sample too, not an exact expectation. Groups with an expected count below 5 on a side share one
    group; where that one stays below, it joins the smallest other. Raises `ValueError` if a side has no rows.
    """
    _check(reference, current)
    table = _pooled(np.stack([reference, current]).astype(np.float64))
    degrees = table.shape[1] - 1
    if degrees < 1:
        return ChiSquare(0.0, 0, 1.0)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return ChiSquare(statistic, degrees, float(chdtrc(degrees, statistic)))


def measure(feature: str, reference: Histogram, current: Histogram) -> Measures:
    """Every measure of one feature; raises `GridError` if the two were counted on different grids."""
    if reference.grid != current.grid:
        raise GridError(f"'{feature}' was counted on two different grids: count the window on the reference's grid.")
    old, new = reference.values, current.values
    n, m = int(old.sum()), int(new.sum())
    common = Measures(
        feature=feature,
        rows_reference=reference.rows,
        rows_current=current.rows,
        n_reference=n,
        n_current=m,
        null_reference=_share(reference.nulls, reference.rows),
        null_current=_share(current.nulls, current.rows),
        infinite_reference=_share(_infinite(reference), reference.rows),
        infinite_current=_share(_infinite(current), current.rows),
        missing_p_value=_missing_p_value(reference, current),
    )
    if not n or not m:
        return common
    return _with_measures(common, reference.grid, old, new)


def _with_measures(common: Measures, grid: Grid, old: Counts, new: Counts) -> Measures:
    numeric = isinstance(grid, NumericGrid)
    n, m = common.n_reference, common.n_current
    groups = (quantile_groups if numeric else category_groups)(old, wanted_groups(n, m))
    grouped_old, grouped_new = group(old, groups), group(new, groups)
    raw = psi(grouped_old, grouped_new)
    test = chi_square(grouped_old, grouped_new)
    distance = binned_ks(old, new) if numeric else None
    return replace(
        common,
        groups=len(grouped_old),
        psi=raw,
        psi_corrected=max(0.0, raw - psi_bias(grouped_old, grouped_new)),
        jensen_shannon=jensen_shannon(grouped_old, grouped_new),
        ks=distance,
        ks_p_value=None if distance is None else ks_p_value(distance, n, m),
        wasserstein=wasserstein(grid, old, new) if isinstance(grid, NumericGrid) else None,
        chi_square=test.statistic if test.degrees_of_freedom else None,
        degrees_of_freedom=test.degrees_of_freedom,
        p_value=test.p_value if test.degrees_of_freedom else None,
    )


def _check(reference: Counts, current: Counts) -> None:
    if reference.shape != current.shape:
        raise ValueError("The two tables of counts must have the same shape.")
    if not reference.sum() or not current.sum():
        raise ValueError("A distance needs rows on both sides.")


def _distribution(counts: Counts) -> npt.NDArray[np.float64]:
    shares: npt.NDArray[np.float64] = np.cumsum(counts) / counts.sum()
    return shares


def _pooled(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    table = table[:, table.sum(0) > 0]
    smaller_share = table.sum(1).min() / table.sum()
    rare = table.sum(0) * smaller_share < _LEAST_EXPECTED
    if not rare.any():
        return table
    rest, pooled = table[:, ~rare], table[:, rare].sum(1, keepdims=True)
    if pooled.sum() * smaller_share >= _LEAST_EXPECTED or not rest.shape[1]:
        return np.concatenate([rest, pooled], axis=1)
    rest[:, [int(np.argmin(rest.sum(0)))]] += pooled
    return rest


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _infinite(histogram: Histogram) -> int:
    return histogram.moments.infinite if histogram.moments is not None else 0


def _missing_p_value(reference: Histogram, current: Histogram) -> float:
    """Two proportions by the pooled normal approximation, that is chi-square with one degree of freedom."""
    n, m = reference.rows, current.rows
    gone_old, gone_new = reference.nulls + _infinite(reference), current.nulls + _infinite(current)
    if not n or not m or gone_old + gone_new in (0, n + m):
        return 1.0
    pooled = (gone_old + gone_new) / (n + m)
    z = (gone_new / m - gone_old / n) / sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return erfc(abs(z) / sqrt(2))
