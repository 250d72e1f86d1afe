"""A profile: counts per feature on a fixed grid, mergeable by addition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from penstock.profile.errors import ProfileError
from penstock.stats.blocks import BlockCounts, merge_blocks
from penstock.stats.columns import Column, FeatureType, count_columns
from penstock.stats.grid import CategoricalGrid, Grid, GridError, NumericGrid
from penstock.stats.groups import group
from penstock.stats.histogram import Histogram, empty, merge

FORMAT_VERSION = 1
MAX_FEATURES = 2048
MAX_NAME_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class FeatureProfile:
    """One feature: its name, type and counts. Raises `ProfileError` if the grid is none of that type."""

    name: str
    type: FeatureType
    histogram: Histogram

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MAX_NAME_CHARACTERS:
            raise ProfileError(f"A feature's name has 1 to {MAX_NAME_CHARACTERS} characters.")
        categorical = self.type in (FeatureType.STRING, FeatureType.BOOLEAN)
        if categorical is not isinstance(self.grid, CategoricalGrid):
            raise ProfileError(f"Feature '{self.name}' of type {self.type} has a grid of another kind.")

    @property
    def grid(self) -> Grid:
        """Where the values are counted."""
        return self.histogram.grid

    @property
    def nulls(self) -> int:
        """Rows without a value: null or NaN."""
        return self.histogram.nulls

    @property
    def minimum(self) -> float | None:
        """The smallest finite value of a numeric feature; None without any."""
        moments = self.histogram.moments
        return moments.minimum if moments is not None and moments.finite else None

    @property
    def maximum(self) -> float | None:
        """The largest finite value of a numeric feature; None without any."""
        moments = self.histogram.moments
        return moments.maximum if moments is not None and moments.finite else None

    @property
    def infinite(self) -> int:
        """Rows with an infinity."""
        return self.histogram.moments.infinite if self.histogram.moments is not None else 0

    @property
    def distinct(self) -> int | None:
        """Known categories that occur, and one more if others do; None for a numeric feature."""
        if isinstance(self.grid, NumericGrid):
            return None
        return int((self.histogram.values > 0).sum())


@dataclass(frozen=True, slots=True)
class Profile:
    """What a dataset looks like.

    `schema_digest` and `dataset_digest` are "sha256:…" (or empty if unknown), `created_at` a time in RFC 3339; all
    three are the caller's. `rows` counts the rows; every feature's counts add up to it, else `ProfileError` is raised.
    `blocks`: the same rows by blocks of days, if they were counted so; rows without a time are in none.
    """

    rows: int
    features: tuple[FeatureProfile, ...]
    schema_digest: str = ""
    dataset_digest: str = ""
    created_at: str = ""
    blocks: BlockCounts | None = None
    by_name: Mapping[str, FeatureProfile] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.features) > MAX_FEATURES:
            raise ProfileError(f"A profile has at most {MAX_FEATURES} features, not {len(self.features)}.")
        object.__setattr__(self, "by_name", {feature.name: feature for feature in self.features})
        if len(self.by_name) != len(self.features):
            raise ProfileError("A profile's features must have different names.")
        for feature in self.features:
            if feature.histogram.rows != self.rows:
                raise ProfileError(
                    f"Feature '{feature.name}' has {feature.histogram.rows} rows counted, the profile {self.rows}."
                )
        if self.blocks is not None:
            self._check_blocks(self.blocks)

    def _check_blocks(self, blocks: BlockCounts) -> None:
        if blocks.tables.keys() != self.by_name.keys():
            raise ProfileError("A profile's blocks count the same features as the profile.")
        for name, table in blocks.tables.items():
            histogram = self.by_name[name].histogram
            if len(table.groups) != len(histogram.values) or len(table.counts) != blocks.blocks:
                raise ProfileError(f"Feature '{name}': the counts per block do not fit the grid.")
            whole = [*group(histogram.values, table.groups), histogram.nulls]
            if (table.counts < 0).any() or (table.counts.sum(0) > whole).any():
                raise ProfileError(f"Feature '{name}': the blocks have more rows than the profile.")

    @property
    def grids(self) -> dict[str, Grid]:
        """The grids to count a window on that is to be compared with this profile."""
        return {feature.name: feature.grid for feature in self.features}

    @property
    def histograms(self) -> dict[str, Histogram]:
        """The counts per feature."""
        return {feature.name: feature.histogram for feature in self.features}


class ProfileBuilder:
    """Counts a dataset batch by batch; memory is that of the counts."""

    def __init__(self, types: Mapping[str, FeatureType], grids: Mapping[str, Grid]) -> None:
        if types.keys() != grids.keys():
            raise ProfileError("Every feature needs a type and a grid.")
        self._types = dict(types)
        self._grids = dict(grids)
        self._counted = {name: empty(grid) for name, grid in self._grids.items()}
        self._rows = 0

    def add(self, columns: Mapping[str, Column], rows: int) -> None:
        """Counts a batch of so many rows; raises `GridError` for a column that is missing or does not fit its grid."""
        batch = count_columns(self._grids, columns)
        for name, histogram in batch.items():
            if histogram.rows != rows:
                raise GridError(f"Feature '{name}': the batch has {rows} rows, the column {histogram.rows}.")
        self._counted = {name: merge(histogram, batch[name]) for name, histogram in self._counted.items()}
        self._rows += rows

    def profile(self, *, schema_digest: str = "", dataset_digest: str = "", created_at: str = "") -> Profile:
        """What was counted so far."""
        features = [FeatureProfile(name, self._types[name], self._counted[name]) for name in self._counted]
        return Profile(self._rows, tuple(features), schema_digest, dataset_digest, created_at)


def merge_profiles(
    profiles: Sequence[Profile], *, schema_digest: str = "", dataset_digest: str = "", created_at: str = ""
) -> Profile:
    """The profile of several parts of a dataset together; raises `ProfileError` if features or grids differ.

    It has counts per block only where all parts have them, on the same groups: parts whose baseline differs do not.
    """
    if not profiles:
        raise ProfileError("There is no profile to merge.")
    first, *others = profiles
    counted = first.histograms
    for other in others:
        if [(f.name, f.type) for f in other.features] != [(f.name, f.type) for f in first.features]:
            raise ProfileError("Profiles with different features cannot be merged.")
        try:
            counted = {name: merge(histogram, other.by_name[name].histogram) for name, histogram in counted.items()}
        except GridError as error:
            raise ProfileError(str(error)) from None
    features = tuple(FeatureProfile(f.name, f.type, counted[f.name]) for f in first.features)
    rows, blocks = sum(profile.rows for profile in profiles), merge_blocks([profile.blocks for profile in profiles])
    return Profile(rows, features, schema_digest, dataset_digest, created_at, blocks)
