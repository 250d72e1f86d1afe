"""Bootstrap by weights: which rows a resample holds how often, never copies of rows.

Efron & Tibshirani 1993. Rows are brought into an order of their own first, so that the order in which they came, and
with it the number of files or batches, changes nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import numpy as np

from penstock.stats.evaluation.estimate import Floats, Ints

BLOCKS = 4096
_CHUNK_VALUES = 1 << 22


def stream(seed: int, *purpose: str) -> np.random.Generator:
    """Random numbers for one purpose: what else is asked for does not change them."""
    return np.random.default_rng([seed, zlib.crc32("\0".join(purpose).encode())])


def row_order(*columns: Floats) -> Ints:
    """Indices that bring rows into the order of their values, the first column first."""
    return np.lexsort(columns[::-1])


def in_blocks(terms: Floats, random: np.random.Generator) -> Floats:
    """Return `terms` [n, k] with a column of ones, beyond 4096 rows summed over as many blocks dealt at random.

    Blocks of independent rows are independent, and the variance of a sum over them is that over rows.
    """
    n = len(terms)
    terms = np.column_stack([terms, np.ones(n)])
    if n <= BLOCKS:
        return terms
    return np.add.reduceat(terms[random.permutation(n)], np.arange(BLOCKS) * n // BLOCKS, axis=0)


def weighted_sums(terms: Floats, random: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """Yield sums [some, k] of `terms` [n, k] over resampled rows, `resamples` in all."""
    count = len(terms)
    step = max(1, _CHUNK_VALUES // count)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = random.integers(0, count, size=(rows, count)) + np.arange(rows)[:, None] * count
        weights = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        yield weights @ terms


def weights(n: int, random: np.random.Generator, resamples: int) -> Iterator[Ints]:
    """Yield how often each row is in a resample, [n], `resamples` times."""
    for _ in range(resamples):
        yield np.bincount(random.integers(0, n, size=n), minlength=n)


def draws_of_sums(
    terms: Floats, statistic: Callable[[Floats], Floats], random: np.random.Generator, resamples: int
) -> tuple[Floats, Floats]:
    """The statistic of each resample's sums, and that without each row or block; its sums end with their number."""
    blocks = in_blocks(terms, random)
    draws = np.concatenate([statistic(sums) for sums in weighted_sums(blocks, random, resamples)])
    return draws, statistic(blocks.sum(axis=0) - blocks)
