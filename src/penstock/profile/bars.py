"""What is drawn of a feature: shares of its rows per bar, with labels; the same in terminal, page and picture."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from penstock.profile.profile import FeatureProfile
from penstock.stats.columns import FeatureType
from penstock.stats.decision import FeatureDrift, Verdict
from penstock.stats.grid import CategoricalGrid, NumericGrid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Bars:
    """Shares of the non-null rows, in 0 to 1.

    A numeric feature has neighbouring bars from `low` to `high` and the shares below and above; a categorical one a bar
    per label, the frequent ones first and "(other)" last.
    """

    shares: tuple[float, ...]
    labels: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    below: float = 0.0
    above: float = 0.0


def numeric_bars(feature: FeatureProfile, count: int) -> Bars:
    """At most `count` bars of a numeric feature."""
    grid = feature.grid
    if not isinstance(grid, NumericGrid):
        raise TypeError(f"'{feature.name}' is categorical.")
    values = feature.histogram.values
    shares = values / max(1, int(values.sum()))
    bars = min(count, grid.cells)
    starts = np.arange(bars) * grid.cells // bars
    inside = np.add.reduceat(shares[1:-1], starts)
    return Bars(tuple(inside.tolist()), (), grid.low, grid.high, float(shares[0]), float(shares[-1]))


def category_order(feature: FeatureProfile, count: int) -> list[int]:
    """Indices of the at most `count` categories drawn: the most frequent, "(other)" not among them."""
    known = feature.histogram.values[:-1]
    return [int(index) for index in np.argsort(-known, kind="stable")[:count]]


def category_bars(feature: FeatureProfile, order: list[int]) -> Bars:
    """Bars of a categorical feature: the categories of these indices, then all others together."""
    grid = feature.grid
    if not isinstance(grid, CategoricalGrid):
        raise TypeError(f"'{feature.name}' is numeric.")
    values = feature.histogram.values
    shares = values / max(1, int(values.sum()))
    drawn = shares[order]
    labels = (*(grid.categories[index] for index in order), "(other)")
    return Bars((*drawn.tolist(), max(0.0, float(shares.sum() - drawn.sum()))), labels)


def number(value: float | None, kind: FeatureType = FeatureType.FLOAT64) -> str:
    """A number for people, a timestamp as its date and time, "–" for None."""
    if value is None:
        return "–"
    if kind != FeatureType.TIMESTAMP:
        return f"{value:.4g}"
    try:
        return (_EPOCH + timedelta(microseconds=value)).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError):
        return f"{value:.4g} µs"


def share(value: float) -> str:
    """A share as percent."""
    return f"{100 * value:.2f} %" if 0 < value < 0.1 else f"{100 * value:.1f} %"


def summary(feature: FeatureProfile) -> str:
    """One line on a feature's values."""
    histogram = feature.histogram
    parts = [f"{histogram.rows:,} rows", f"null {share(feature.nulls / max(1, histogram.rows))}"]
    if feature.infinite:
        parts.append(f"infinite {share(feature.infinite / max(1, histogram.rows))}")
    if isinstance(feature.grid, CategoricalGrid):
        more = "+" if histogram.values[-1] else ""
        return ", ".join([*parts, f"{feature.distinct}{more} values"])
    parts += [f"min {number(feature.minimum, feature.type)}", f"mean {number(histogram.mean, feature.type)}"]
    parts.append(f"max {number(feature.maximum, feature.type)}")
    if feature.type != FeatureType.TIMESTAMP:
        parts.append(f"sd {number(histogram.deviation)}")
    return ", ".join(parts)


def drift_line(drift: FeatureDrift) -> str:
    """One line on a decision."""
    measures = drift.measures
    parts = [f"{drift.verdict} ({drift.reason})"]
    if measures.psi is not None and measures.psi_corrected is not None:
        parts.append(f"PSI {measures.psi_corrected:.3f} (raw {measures.psi:.3f})")
    if measures.jensen_shannon is not None:
        parts.append(f"JS {measures.jensen_shannon:.3f}")
    if measures.ks is not None:
        parts.append(f"KS {measures.ks:.3f}")
    if drift.p_adjusted is not None:
        parts.append(f"p {drift.p_adjusted:.2g}")
    nulls = f"null {share(measures.null_reference)} → {share(measures.null_current)}"
    infinite = measures.infinite_reference or measures.infinite_current
    parts.append(nulls)
    if infinite:
        parts.append(f"infinite {share(measures.infinite_reference)} → {share(measures.infinite_current)}")
    return ", ".join(parts)


def is_alarm(drift: FeatureDrift) -> bool:
    """Whether a decision should stand out."""
    return drift.verdict == Verdict.DRIFTED
