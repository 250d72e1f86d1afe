"""The flights example: its FeatureSet, its datasets and its models go together. Nothing is downloaded here."""

from datetime import date, timedelta
from types import ModuleType

import polars as pl

from penstock.domain.features.schema import FeatureSchema
from penstock.features import Transform
from penstock.features.schema_file import read_feature_set
from penstock.runtime.features import FeatureInputs
from penstock.runtime.tensors import TensorSpec
from tests.support.flights import EXAMPLE


def test_the_feature_set_is_what_the_models_take(features: ModuleType) -> None:
    declared = read_feature_set(EXAMPLE / "featureset.yaml").spec
    schema = FeatureSchema.of(declared.features)
    assert list(schema.names) == features.data.FEATURES
    assert declared.entity_key == [features.KEY]
    assert declared.timestamp_field == features.TIMESTAMP
    assert declared.label is not None
    assert declared.label.name == features.data.LABEL
    Transform(schema)
    inputs = tuple(
        TensorSpec(name, "FP64" if name in features.data.NUMERIC else "BYTES", (-1, 1)) for name in schema.names
    )
    FeatureInputs(schema, inputs, takes_missing_texts=False)


def test_whole_days_are_held_out(features: ModuleType) -> None:
    days = [date(2013, 1, 1) + timedelta(days=number) for number in range(365) for _ in range(3)]
    parts = features.split(pl.DataFrame({"day": days}))
    of = {name: set(part["day"]) for name, part in parts.items()}
    assert (len(of["baseline"]), len(of["holdout"]), len(of["june"])) == (72, 18, 30)
    assert not of["baseline"] & of["holdout"]
    assert {day.month for day in of["baseline"] | of["holdout"]} == {1, 2, 3}
    assert all(part.height == 3 * len(of[name]) for name, part in parts.items())
    again = features.split(pl.DataFrame({"day": days[::-1]}))
    assert set(again["holdout"]["day"]) == of["holdout"]
    assert set(features.split(pl.DataFrame({"day": days}), seed=1)["holdout"]["day"]) != of["holdout"]
