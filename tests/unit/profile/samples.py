"""Profiles for the tests: every type of feature, with awkward names and values."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from penstock.profile.profile import Profile, ProfileBuilder
from penstock.stats.columns import FeatureType, grid_for
from penstock.stats.frames import frame_columns

HOSTILE = "<script>alert('$x^2$')</script>\x1b[31m"
TYPES = {
    "speed": FeatureType.FLOAT64,
    "wait": FeatureType.FLOAT32,
    "hour": FeatureType.INT64,
    "carrier": FeatureType.STRING,
    "late": FeatureType.BOOLEAN,
    "at": FeatureType.TIMESTAMP,
    "constant": FeatureType.FLOAT64,
    "absent": FeatureType.FLOAT64,
    HOSTILE: FeatureType.STRING,
}


def frame(seed: int = 0, rows: int = 2000, shift: float = 0.0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    speed = random.normal(shift, 1, rows)
    speed[: rows // 100] = np.nan
    wait = random.exponential(size=rows).astype(np.float32)
    wait[:2] = [np.inf, -np.inf]
    carriers = ["AA", "Ünïted", "日本航空", None]
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "speed": speed,
            "wait": wait,
            "hour": random.integers(0, 24, rows),
            "carrier": [carriers[index] for index in random.integers(0, 4, rows)],
            "late": random.random(rows) < 0.2,
            "at": [begin + timedelta(minutes=int(minute)) for minute in random.integers(0, 10**5, rows)],
            "constant": np.full(rows, 0.1),
            "absent": pl.Series([None] * rows, dtype=pl.Float64),
            HOSTILE: [HOSTILE] * rows,
        }
    )


def build(data: pl.DataFrame, like: Profile | None = None, batches: int = 1) -> Profile:
    columns = frame_columns(data)
    grids = like.grids if like else {name: grid_for(kind, columns[name]) for name, kind in TYPES.items()}
    builder = ProfileBuilder(TYPES, grids)
    size = -(-data.height // batches)
    for part in data.iter_slices(size):
        builder.add(frame_columns(part), part.height)
    return builder.profile(
        schema_digest="sha256:" + "a" * 64, dataset_digest="sha256:" + "b" * 64, created_at="2026-01-02T03:04:05Z"
    )
