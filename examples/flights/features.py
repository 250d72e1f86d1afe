"""Writes the datasets of `featureset.yaml`: Parquet files of flights joined with the weather at their airport.

    python examples/flights/features.py OUT_DIR

writes OUT_DIR/baseline.parquet (a random 80 % of the days of January to March), OUT_DIR/holdout.parquet (the other days
of the same quarter: what differs between the two is chance, and 18 days of weather have much of it) and
OUT_DIR/june.parquet (another season).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import data
import numpy as np
import polars as pl

SEED = 2013
HOLDOUT_SHARE = 0.2
KEY, TIMESTAMP = "flight_id", "scheduled"
# One reading of February says 1048 miles per hour.
HIGHEST_WIND = 100.0


def main() -> None:
    """Write the files and say what is in them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "penstock" / "data")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, part in split(flights_with_weather(options.cache), seed=options.seed).items():
        part.write_parquet(options.out / f"{name}.parquet", statistics=True)
        days = part["day"].n_unique()
        print(f"{name}: {part.height:,} flights of {days} days, {part[data.LABEL].mean():.1%} late", flush=True)


def flights_with_weather(cache: Path) -> pl.DataFrame:
    """Return one row per flight that arrived, in order of time.

    Columns: `flight_id`, `scheduled` (the hour, UTC), the features of the FeatureSet, `late` (0 or 1) and `day`, the
    local date of departure. Weather that was not reported is null; hours without any report are left out.
    """
    flights, weather = data.read(cache)
    measured = [name for name in data.NUMERIC if name in weather.columns and name != "hour"]
    table = flights.merge(weather[["origin", "time_hour", *measured]], on=["origin", "time_hour"], how="inner")
    table = table.dropna(subset=["arr_delay", "temp", "dewp", "humid"])
    table["wind_speed"] = table["wind_speed"].where(table["wind_speed"] <= HIGHEST_WIND)
    table = table.sort_values(["time_hour", "carrier", "flight", "origin"])
    columns: dict[str, pl.Series] = {}
    for name in data.NUMERIC:
        kind = pl.Int64 if name == "hour" else pl.Float64
        columns[name] = pl.Series(table[name].to_numpy(), dtype=kind, nan_to_null=True)
    for name in [*data.CATEGORICAL, "time_hour"]:
        columns[name] = pl.Series(table[name].tolist(), dtype=pl.String)
    for name in ("year", "month", "day", "flight"):
        columns[name] = pl.Series(table[name].to_numpy())
    columns[data.LABEL] = pl.Series((table["arr_delay"] > data.LATE_MINUTES).to_numpy().astype(np.int64))
    day = pl.date("year", "month", "day")
    return pl.DataFrame(columns).select(
        pl.format("{}-{}-{}-{}", day, "carrier", "flight", "origin").alias(KEY),
        pl.col("time_hour").str.to_datetime(time_zone="UTC", time_unit="us").alias(TIMESTAMP),
        *data.FEATURES,
        data.LABEL,
        day.alias("day"),
    )


def split(table: pl.DataFrame, *, seed: int = SEED) -> dict[str, pl.DataFrame]:
    """Return `baseline` and `holdout`, days of the first quarter chosen at random, and `june`.

    Whole days, because the flights of one day share their weather: rows chosen at random would look more alike than
    any two periods are. The same seed gives the same days.
    """
    month = pl.col("day").dt.month()
    quarter = table.filter(month <= 3)
    days = quarter["day"].unique().sort()
    held = np.random.default_rng(seed).choice(len(days), size=round(HOLDOUT_SHARE * len(days)), replace=False)
    is_held = pl.col("day").is_in(days.gather(np.sort(held)).implode())
    return {
        "baseline": quarter.filter(~is_held),
        "holdout": quarter.filter(is_held),
        "june": table.filter(month == 6),
    }


if __name__ == "__main__":
    main()
