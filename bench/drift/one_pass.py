"""One pass over a Parquet file: Penstock's checks and profile, and the same checks as plain Polars expressions."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bench.drift.data import CATEGORIES, LABELS, NUMBERS
from penstock.api.v1alpha1 import featureset
from penstock.domain.data.task import ValidationTask
from penstock.jobs.validate.engine import Outcome, validate
from penstock.jobs.validate.sources import Dataset, LocalFile
from penstock.profile.profile import Profile
from penstock.stats.columns import FeatureType

LIMIT = 1_000_000_000
_FORMAT = featureset.DatasetFormat.PARQUET


def types() -> dict[str, FeatureType]:
    """The types of the bench's features."""
    return {name: FeatureType.FLOAT64 for name in NUMBERS} | {name: FeatureType.STRING for name in CATEGORIES}


def validated_and_profiled(path: Path, baseline: Profile) -> Outcome:
    """What the validation Job does with a dataset once it lies on disk: checks, profile, shift against a baseline."""
    features = [
        featureset.Feature(name=name, type=featureset.FeatureType.FLOAT64, minimum=str(-LIMIT), maximum=str(LIMIT))
        for name in NUMBERS
    ]
    features += [
        featureset.Feature(name=name, type=featureset.FeatureType.STRING, categories=list(LABELS))
        for name in CATEGORIES
    ]
    digest = "sha256:" + "0" * 64
    dataset = Dataset((LocalFile(path.name, path.stat().st_size, digest, path),), digest, _FORMAT)
    source = featureset.DatasetRef(uri="pvc://bench/data", format=_FORMAT)
    return validate(
        dataset, ValidationTask(features=features, source=source), scratch=path.parent / "scratch", baseline=baseline
    )


def raw_polars(paths: Sequence[Path]) -> dict[str, int]:
    """Nulls, NaN and limits of every number, nulls and categories of every category: violations per check."""
    checks: list[pl.Expr] = []
    for name in NUMBERS:
        value = pl.col(name)
        checks += [
            value.null_count().alias(f"{name}:null"),
            value.is_nan().sum().alias(f"{name}:nan"),
            ((value < -LIMIT) | (value > LIMIT)).sum().alias(f"{name}:range"),
        ]
    for name in CATEGORIES:
        value = pl.col(name)
        checks += [
            value.null_count().alias(f"{name}:null"),
            (~value.is_in(LABELS)).sum().alias(f"{name}:category"),
        ]
    found: dict[str, int] = pl.scan_parquet(list(paths)).select(checks).collect(engine="streaming").row(0, named=True)
    return found
