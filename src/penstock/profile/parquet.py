"""Profiles of Parquet files, read in batches by Polars."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from penstock.profile.errors import ProfileError
from penstock.profile.profile import Profile, ProfileBuilder
from penstock.stats.columns import FeatureType, grid_for
from penstock.stats.frames import frame_columns, series_column
from penstock.stats.grid import Grid, GridError

BATCH_ROWS = 65_536
SAMPLE_ROWS = 32_768
_SAMPLE_PIECES = 8
_TYPES = (
    ((pl.Boolean,), FeatureType.BOOLEAN),
    ((pl.String, pl.Categorical, pl.Enum), FeatureType.STRING),
    ((pl.Date, pl.Datetime), FeatureType.TIMESTAMP),
)


def sample_parquet(paths: Sequence[Path], names: Sequence[str], rows: int = SAMPLE_ROWS) -> pl.DataFrame:
    """About `rows` rows in 8 pieces spread evenly over the files, so that sorted data do not mislead the grids.

    Raises `ProfileError` if the files cannot be read.
    """
    with _readable():
        frame = _scan(paths).select(names)
        total = int(frame.select(pl.len()).collect().item())
        if total <= rows:
            return frame.collect()
        piece = rows // _SAMPLE_PIECES
        starts = [index * (total - piece) // (_SAMPLE_PIECES - 1) for index in range(_SAMPLE_PIECES)]
        # One after the other: read at once they would take as much memory as the whole file.
        return pl.concat([frame.slice(start, piece).collect() for start in starts])


def parquet_types(paths: Sequence[Path]) -> dict[str, FeatureType]:
    """The types that the files' own schema suggests; raises `ProfileError` if Parquet cannot be read from them."""
    with _readable():
        schema = _scan(paths).collect_schema()
    return {name: _type_of(name, kind) for name, kind in schema.items()}


def parquet_grids(
    paths: Sequence[Path], types: Mapping[str, FeatureType], categories: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Grid]:
    """The grids of these features, from a sample; raises `GridError` for a column that does not fit its type."""
    sample = sample_parquet(paths, list(types))
    declared = categories or {}
    return {name: grid_for(kind, series_column(sample[name]), declared.get(name, ())) for name, kind in types.items()}


def profile_parquet(
    paths: Sequence[Path],
    types: Mapping[str, FeatureType],
    grids: Mapping[str, Grid],
    *,
    schema_digest: str = "",
    dataset_digest: str = "",
    created_at: str = "",
) -> Profile:
    """The profile of Parquet files in one pass, in batches of some 65,536 rows.

    Raises `ProfileError` if they cannot be read, `GridError` for a column that is missing or does not fit its grid.
    """
    builder = ProfileBuilder(types, grids)
    names = list(types)
    with _readable():
        for batch in _scan(paths).select(names).collect_batches(chunk_size=BATCH_ROWS):
            builder.add(frame_columns(batch, names), batch.height)
    return builder.profile(schema_digest=schema_digest, dataset_digest=dataset_digest, created_at=created_at)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except pl.exceptions.PolarsError as error:
        raise ProfileError(f"The data cannot be read: {str(error).splitlines()[0]}.") from None


def _scan(paths: Sequence[Path]) -> pl.LazyFrame:
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        raise ProfileError(f"There is no file '{missing[0]}'." if missing else "There is no file to profile.")
    return pl.scan_parquet(list(paths))


def _type_of(name: str, kind: pl.DataType) -> FeatureType:
    if kind.is_float():
        return FeatureType.FLOAT32 if kind == pl.Float32 else FeatureType.FLOAT64
    if kind.is_integer():
        return FeatureType.INT64
    for types, feature_type in _TYPES:
        if kind in types:
            return feature_type
    raise GridError(f"Column '{name}' is of type {kind}, which no feature has.")
