"""The data of the bench: a reference and a current sample, 50 numeric and 10 categorical columns, 6 of them shifted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

NUMERIC, CATEGORICAL, LEVELS = 50, 10, 20
LABELS = tuple(f"v{level}" for level in range(LEVELS))
NUMBERS = tuple(f"n{index}" for index in range(NUMERIC))
CATEGORIES = tuple(f"c{index}" for index in range(CATEGORICAL))
SHIFTED = (0, 10, 20, 30, 40)
SHIFT = 0.5
SEED = 20261121


@dataclass(frozen=True)
class Sample:
    """`numbers` of shape [50, rows], `codes` of shape [10, rows] into `LABELS`."""

    numbers: npt.NDArray[np.float64]
    codes: npt.NDArray[np.uint32]


def draw(random: np.random.Generator, rows: int, shift: float = 0.0) -> Sample:
    """Normal, log-normal, uniform, whole and heavy-tailed columns in turn; categories of falling frequency."""
    numbers = np.empty((NUMERIC, rows))
    for index in range(NUMERIC):
        moved = shift if index in SHIFTED else 0.0
        match index % 5:
            case 0:
                numbers[index] = random.normal(moved, 1.0, rows)
            case 1:
                numbers[index] = random.lognormal(0.0, 1.0, rows)
            case 2:
                numbers[index] = random.random(rows)
            case 3:
                numbers[index] = random.poisson(20.0, rows)
            case _:
                numbers[index] = random.standard_t(3, rows)
    codes = np.empty((CATEGORICAL, rows), np.uint32)
    for index in range(CATEGORICAL):
        weights = 1.0 / np.arange(1, LEVELS + 1)
        if index == 0 and shift:
            weights = weights[::-1]
        codes[index] = random.choice(LEVELS, rows, p=weights / weights.sum())
    return Sample(numbers, codes)


def write(folder: Path, rows: int) -> None:
    """Both samples as arrays, and the current one as `current.parquet` with its categories as plain strings."""
    random = np.random.default_rng(SEED)
    for name, shift in (("reference", 0.0), ("current", SHIFT)):
        sample = draw(random, rows, shift)
        np.save(folder / f"{name}-numbers.npy", sample.numbers)
        np.save(folder / f"{name}-codes.npy", sample.codes)
        columns: dict[str, pl.Series] = {key: pl.Series(key, sample.numbers[i]) for i, key in enumerate(NUMBERS)}
        for index, key in enumerate(CATEGORIES):
            columns[key] = pl.Series(key, np.array(LABELS)[sample.codes[index]])
        pl.DataFrame(columns).write_parquet(folder / f"{name}.parquet")


def read(folder: Path, name: str) -> Sample:
    """The arrays of "reference" or "current"."""
    return Sample(np.load(folder / f"{name}-numbers.npy"), np.load(folder / f"{name}-codes.npy"))
