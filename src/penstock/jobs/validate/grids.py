"""The grids of a dataset that has no baseline to take them from: made from a sample over all of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from penstock.api.v1alpha1.featureset import Feature
from penstock.stats.columns import FeatureType, grid_for
from penstock.stats.frames import series_column
from penstock.stats.grid import Grid

SAMPLE_ROWS = 65_536


class EvenSample:
    """Every n-th row of a table whose length is not known: n doubles whenever the sample is twice as large as wanted.

    The same rows give the same sample, wherever the batches begin and end.
    """

    def __init__(self, rows: int = SAMPLE_ROWS) -> None:
        self._rows = rows
        self._every = 1
        self._seen = 0
        self._kept: list[pl.DataFrame] = []
        self._height = 0

    def add(self, batch: pl.DataFrame) -> None:
        """Take what is wanted of the next rows."""
        offset = -self._seen % self._every
        self._seen += batch.height
        if offset >= batch.height:
            return
        self._kept.append(batch.gather_every(self._every, offset))
        self._height += self._kept[-1].height
        while self._height >= 2 * self._rows:
            self._every *= 2
            self._kept = [pl.concat(self._kept).gather_every(2)]
            self._height = self._kept[0].height

    def frame(self) -> pl.DataFrame | None:
        """The sample; None without any row."""
        return pl.concat(self._kept) if self._kept else None


def grids_of(features: Iterable[Feature], sample: pl.DataFrame) -> dict[str, Grid]:
    """One grid per feature; declared categories are taken as they are. Raises stats.grid.GridError."""
    return {
        item.name: grid_for(FeatureType(item.type.value), series_column(sample[item.name]), item.categories)
        for item in features
    }


def types_of(features: Iterable[Feature]) -> Mapping[str, FeatureType]:
    """The features' types in the words of the statistics."""
    return {item.name: FeatureType(item.type.value) for item in features}
