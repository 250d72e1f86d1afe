"""What chance alone makes of whole blocks of days: p-values that do not take rows to be independent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from penstock.stats.blocks import FEWEST_BLOCKS, BlockCounts, BlockTable
from penstock.stats.decision import DriftPolicy, Measures, effect_of
from penstock.stats.drift import psi, psi_bias
from penstock.stats.groups import Counts, group
from penstock.stats.histogram import Histogram

DRAWS = 999
# So many tests share 1,000 draws: one that no draw reaches has then a corrected p-value of at most 0.02.
_TESTS_PER_DRAWS = 20
# So many draws stay in the processor's cache.
_PART = 1_000

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def seed_of(*texts: str) -> int:
    """A seed for `choose` from what identifies the data: the same data always give the same draws."""
    return int.from_bytes(sha256("\0".join(texts).encode()).digest(), "big")


def choose(blocks: int, chosen: int, draws: int, seed: int) -> Bools:
    """Random windows: `draws` times `chosen` of so many blocks without repetition, shape [draws, blocks]."""
    keys = np.random.default_rng(seed).random((draws, blocks))
    windows = np.zeros((draws, blocks), np.bool_)
    np.put_along_axis(windows, np.argpartition(keys, chosen - 1, axis=1)[:, :chosen], values=True, axis=1)
    return windows


def null_psi(counts: Counts, windows: Bools) -> Floats:
    """PSI, less its bias, of each window against the other blocks; counts [blocks, groups], result [draws].

    Infinite where one side has no value: nothing observed is then more extreme.
    """
    parts = [_null_psi(counts, windows[start : start + _PART]) for start in range(0, len(windows), _PART)]
    return np.concatenate(parts)


def _null_psi(counts: Counts, windows: Bools) -> Floats:
    new = windows.astype(np.float64) @ counts.astype(np.float64)
    old = counts.sum(0) - new
    n, m = old.sum(1, keepdims=True), new.sum(1, keepdims=True)
    used = (old + new) > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        p, q = np.maximum(old, 0.5) / n, np.maximum(new, 0.5) / m
        raw = ((q - p) * np.log(q / p)).sum(1, where=used)
        bias = np.maximum(used.sum(1) - 1, 0) * (1 / n + 1 / m)[:, 0]
        return np.where((n > 0)[:, 0] & (m > 0)[:, 0], raw - bias, np.inf)


def null_missing(counts: Counts, windows: Bools) -> Floats:
    """How far the share of nulls, the last column, is from that of the other blocks: 0 to 1, shape [draws]."""
    rows, nulls = counts.sum(1), counts[:, -1]
    new_rows, new_nulls = windows @ rows, windows @ nulls
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.abs(new_nulls / new_rows - (nulls.sum() - new_nulls) / (rows.sum() - new_rows))
    return np.where(np.isnan(change), np.inf, change)


def p_value(null: Floats, observed: float) -> float:
    """Share of the draws, and of what was observed, that are at least as extreme (Davison & Hinkley 1997, 4.11)."""
    # Equal counts may differ in the last bit from another order of summation.
    return (1 + int(np.count_nonzero(null >= observed - 1e-12))) / (1 + len(null))


def under_blocks(
    measures: Sequence[Measures],
    reference: Mapping[str, Histogram],
    current: Mapping[str, Histogram],
    blocks: BlockCounts | None,
    *,
    current_blocks: int,
    seed: int,
    policy: DriftPolicy,
) -> list[Measures]:
    """The measures with the p-values of whole blocks, where the reference has at least 8 of them.

    The null distribution is that of windows of `current_blocks` blocks of the reference, at most half of them, against
    its other blocks. All features see the same windows: 999, and more of them for features whose effect is large enough
    to matter where many tests are corrected for. Without blocks the measures are returned as they are.
    """
    if blocks is None or blocks.blocks < FEWEST_BLOCKS or current_blocks < 1:
        return list(measures)
    more = -(-2 * len(measures) // _TESTS_PER_DRAWS)
    chosen = min(current_blocks, blocks.blocks // 2)
    windows = choose(blocks.blocks, chosen, more * (DRAWS + 1) - 1, seed)
    found: list[Measures] = []
    for measured in measures:
        table = blocks.tables.get(measured.feature)
        if table is None:
            found.append(measured)
            continue
        effect = effect_of(measured, policy.effect)
        matters = effect is not None and effect >= policy.threshold
        gone = abs(measured.missing_change) >= policy.missing_threshold
        old, new = reference[measured.feature], current[measured.feature]
        found.append(
            replace(
                measured,
                blocks_reference=blocks.blocks,
                blocks_current=current_blocks,
                block_p_value=_shift_p_value(table, old, new, windows if matters else windows[:DRAWS]),
                missing_block_p_value=_missing_p_value(measured, table, windows if gone else windows[:DRAWS]),
            )
        )
    return found


def _shift_p_value(table: BlockTable, old: Histogram, new: Histogram, windows: Bools) -> float | None:
    grouped_old, grouped_new = group(old.values, table.groups), group(new.values, table.groups)
    if not grouped_old.sum() or not grouped_new.sum():
        return None
    observed = psi(grouped_old, grouped_new) - psi_bias(grouped_old, grouped_new)
    return p_value(null_psi(table.counts[:, :-1], windows), observed)


def _missing_p_value(measured: Measures, table: BlockTable, windows: Bools) -> float | None:
    # The blocks tell nulls only: infinities of the reference would be missing from the draws.
    if measured.infinite_reference or not measured.rows_current:
        return None
    return p_value(null_missing(table.counts, windows), abs(measured.missing_change))
