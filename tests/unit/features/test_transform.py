import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.api.lineage import schema_digest
from penstock.domain.features.schema import SCHEMA_VERSION, FeatureSchema
from penstock.features import FeatureError, Transform, transform
from penstock.features.transform import as_matrix


def schema(*features: dict[str, Any]) -> FeatureSchema:
    return FeatureSchema.from_json({"version": SCHEMA_VERSION, "features": list(features)})


def encoded(feature: dict[str, Any], values: Any, *, codes: bool = True) -> Any:
    return transform({"x": values}, schema({"name": "x", **feature}), codes=codes)["x"]


CARRIER = {"type": "String", "categories": ["UA", "AA"]}


@pytest.mark.parametrize(
    ("feature", "values", "result"),
    [
        ({"type": "Float64"}, [1, 2], np.array([1.0, 2.0])),
        ({"type": "Float64"}, np.array([0.1], np.float32), np.array([np.float32(0.1)], np.float64)),
        ({"type": "Float64", "nullable": True}, [None, 1.5], np.array([np.nan, 1.5])),
        ({"type": "Float64", "default": "-7", "minimum": "0"}, [None, 1.5], np.array([-7.0, 1.5])),
        ({"type": "Float32"}, [0.1], np.array([0.1], np.float32)),
        ({"type": "Float32", "maximum": "0.1"}, np.array([0.1], np.float32), np.array([0.1], np.float32)),
        ({"type": "Int64"}, [3.0, 4.0], np.array([3, 4])),
        ({"type": "Int64"}, np.array([3], np.uint8), np.array([3])),
        ({"type": "Int64", "minimum": "0.5", "maximum": "2.5"}, [1, 2], np.array([1, 2])),
        ({"type": "Int64", "default": "9"}, [np.nan, 4.0], np.array([9, 4])),
        ({"type": "Int64", "nullable": True}, [3, 4], np.array([3.0, 4.0])),
        ({"type": "Boolean"}, [True, False], np.array([True, False])),
        ({"type": "Boolean", "nullable": True}, [True, None], np.array([1.0, np.nan])),
        ({"type": "Boolean", "default": "true"}, [None, False], np.array([True, False])),
        (CARRIER, ["AA", "UA"], np.array([1, 0])),
        ({**CARRIER, "nullable": True}, [None, "UA"], np.array([-1, 0])),
        ({**CARRIER, "default": "AA"}, [float("nan"), "UA"], np.array([1, 0])),
        ({"type": "Timestamp"}, ["1970-01-01T00:00:01Z"], np.array([1_000_000])),
        ({"type": "Timestamp"}, ["1970-01-01T01:00:00+01:00"], np.array([0])),
        ({"type": "Timestamp"}, [datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)], np.array([-1])),
        ({"type": "Timestamp"}, np.array(["1970-01-01T00:00:01"], "datetime64[ns]"), np.array([1_000_000])),
        ({"type": "Timestamp", "nullable": True}, np.array(["NaT"], "datetime64[s]"), np.array([np.nan])),
        ({"type": "Float64"}, [[1.0], [2.0]], np.array([1.0, 2.0])),
        ({"type": "Float64"}, [], np.array([])),
        (CARRIER, [], np.array([], np.int64)),
    ],
)
def test_values(feature: dict[str, Any], values: Any, result: Any) -> None:
    found = encoded(feature, values)
    assert found.dtype == result.dtype
    np.testing.assert_array_equal(found, result)


def test_categories_may_stay_texts() -> None:
    assert encoded(CARRIER, ["AA", "UA"], codes=False).tolist() == ["AA", "UA"]
    assert encoded({**CARRIER, "nullable": True}, ["AA", None], codes=False).tolist() == ["AA", None]
    assert encoded({"type": "String"}, np.array(["any", "text"])).tolist() == ["any", "text"]
    with pytest.raises(FeatureError, match="its categories are"):
        encoded(CARRIER, ["ZZ"], codes=False)


@pytest.mark.parametrize(
    ("feature", "values", "says"),
    [
        ({"type": "Float64", "minimum": "0"}, [1.0, -1.5], "is -1.5 in row 1: its minimum is 0"),
        ({"type": "Float64", "maximum": "6e3"}, [6000.1], "is 6000.1: its maximum is 6e3"),
        ({"type": "Float64", "nullable": True, "maximum": "1"}, [None, 0.0, 2.0], "is 2.0 in row 2: its maximum is 1"),
        ({"type": "Float64"}, [1.0, float("inf")], "is infinite or too large in row 1: give a finite number"),
        ({"type": "Float64"}, [1.0, float("nan")], "is null in row 1: it is not nullable and has no default"),
        ({"type": "Float64"}, [None], "is null: it is not nullable"),
        ({"type": "Float64"}, ["1"], "is '1': give numbers (Float64)"),
        ({"type": "Float64"}, [True], "has values of type bool: give numbers"),
        ({"type": "Float64"}, [10**400], "is infinite or too large"),
        ({"type": "Float64"}, [[1.0, 2.0]], "has the shape [1, 2]"),
        ({"type": "Float32"}, [1e39], "give a finite number of type Float32"),
        ({"type": "Int64"}, [1, 2.5], "is 2.5 in row 1: give whole numbers"),
        ({"type": "Int64"}, [2**63], "its maximum is 9223372036854775807"),
        ({"type": "Int64"}, [2**70], "more than Int64 holds"),
        ({"type": "Int64"}, np.array([2.0**63]), "give whole numbers"),
        ({"type": "Int64", "minimum": "0"}, [4, -1], "is -1 in row 1: its minimum is 0"),
        ({"type": "Int64", "nullable": True}, [2**53 + 1, None], "its maximum is 9007199254740992"),
        ({"type": "Int64", "minimum": "5", "nullable": True}, [None, 1], "is 1 in row 1: its minimum is 5"),
        ({"type": "Boolean"}, [1], "has values of type int64: give true or false"),
        ({"type": "Boolean"}, ["true"], "is 'true': give true or false"),
        (CARRIER, ["UA", "ZZ"], "is 'ZZ' in row 1: its categories are 'UA', 'AA'"),
        (CARRIER, [None, "UA"], "is null in row 0"),
        (CARRIER, [7], "has values of type int64: give texts"),
        (CARRIER, [["UA"], "UA"], "is ['UA'] in row 0: give texts"),
        ({"type": "Timestamp"}, ["yesterday"], "is 'yesterday': give timestamps such as 2013-01-31T12:00:00Z"),
        ({"type": "Timestamp"}, [1357000000], "has values of type int64: give timestamps"),
        ({"type": "Float64"}, pl.Series([1.0, float("nan")]), "holds NaN, which is no number"),
    ],
)
def test_refusals_name_the_feature_and_what_is_right(feature: dict[str, Any], values: Any, says: str) -> None:
    with pytest.raises(FeatureError) as caught:
        encoded(feature, values)
    assert caught.value.feature == "x"
    assert caught.value.message.startswith("feature 'x' ")
    assert says in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("feature", "says"),
    [
        ({"type": "Float32", "default": "1e99"}, "too large for Float32"),
        ({"type": "Int64", "default": "x"}, "no whole number"),
        ({"type": "Int64", "default": str(2**63)}, "too large for Int64"),
        ({"type": "Boolean", "default": "yes"}, "true or false"),
        ({**CARRIER, "default": "ZZ"}, "not one of its categories"),
        ({"type": "Timestamp", "default": "2013-01-01"}, "has none"),
    ],
)
def test_a_schema_that_contradicts_itself(feature: dict[str, Any], says: str) -> None:
    with pytest.raises(FeatureError, match=says):
        Transform(schema({"name": "x", **feature}))


def test_columns() -> None:
    both = Transform(schema({"name": "a", "type": "Int64"}, {"name": "b", "type": "Float64", "default": "0.5"}))
    found = both.apply({"other": ["left", "out"], "a": [1, 2]})
    assert list(found) == ["a", "b"]
    assert found["b"].tolist() == [0.5, 0.5]
    with pytest.raises(FeatureError, match="'a' is missing"):
        both.apply({"b": [1.0]})
    with pytest.raises(FeatureError, match="'b' has 1 rows, 'a' has 2"):
        both.apply({"a": [1, 2], "b": [1.0]})
    with pytest.raises(FeatureError, match="'a' is in the schema twice"):
        Transform(schema({"name": "a", "type": "Int64"}, {"name": "a", "type": "Int64"}))


def test_a_default_can_be_written_to() -> None:
    """A model may work in place: the next request must not see it."""
    filled = Transform(schema({"name": "a", "type": "Int64"}, {"name": "b", "type": "Float64", "default": "0.5"}))
    filled.apply({"a": [1]})["b"][0] = 7
    assert filled.apply({"a": [1]})["b"].tolist() == [0.5]


def test_what_is_given_is_not_changed() -> None:
    values = np.array([1.0, np.nan])
    encoded({"type": "Float64", "default": "2"}, values)
    np.testing.assert_array_equal(values, [1.0, np.nan])


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1.0, None]),
        pd.Series([1, None], dtype=object),
        pl.Series([1, None]),
        pl.Series([1, None], dtype=pl.UInt8),
        [1, None],
        np.array([1.0, np.nan]),
        np.array([1, pd.NA], dtype=object),
    ],
)
def test_a_missing_whole_number_in_every_kind_of_column(series: Any) -> None:
    assert encoded({"type": "Int64", "default": "-9"}, series).tolist() == [1, -9]


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(["UA", None]),
        pd.Series(["UA", None], dtype=object),
        pd.Series(["UA", None], dtype="category"),
        pl.Series(["UA", None]),
        pl.Series(["UA", None], dtype=pl.Categorical),
        pl.Series(["UA", None], dtype=pl.Enum(["AA", "UA"])),
    ],
)
def test_categories_in_every_kind_of_column(series: Any) -> None:
    assert encoded({**CARRIER, "nullable": True}, series).tolist() == [0, -1]


def test_moments_in_every_kind_of_column() -> None:
    text = ["2013-01-01T05:00:00+00:00", "2013-07-01T05:00:00.000001+00:00"]
    expected = encoded({"type": "Timestamp"}, text).tolist()
    moments = pd.to_datetime(pd.Series(text), utc=True, format="ISO8601")
    for series in (
        moments,
        moments.dt.tz_convert("America/New_York"),
        moments.dt.tz_localize(None),
        pl.Series(text).str.to_datetime(time_zone="UTC"),
        pl.Series(text).str.to_datetime(time_zone="UTC").dt.convert_time_zone("Asia/Tokyo"),
        moments.dt.to_pydatetime().tolist() if hasattr(moments.dt, "to_pydatetime") else list(moments),
    ):
        assert encoded({"type": "Timestamp"}, series).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.none() | st.floats(allow_infinity=False, allow_nan=False), min_size=1, max_size=20))
def test_rows_together_are_the_rows_alone(values: list[float | None]) -> None:
    feature = {"type": "Float64", "nullable": True}
    alone = b"".join(encoded(feature, [value]).tobytes() for value in values)
    assert encoded(feature, values).tobytes() == alone


def test_a_matrix_holds_the_same_numbers_or_refuses() -> None:
    columns = {"a": np.array([1, 2**53]), "b": np.array([True, False])}
    assert as_matrix(columns).tolist() == [[1.0, 1.0], [float(2**53), 0.0]]
    with pytest.raises(FeatureError, match="'a' has whole numbers beyond"):
        as_matrix({"a": np.array([2**53 + 1])})
    with pytest.raises(FeatureError, match="'a' would lose digits"):
        as_matrix({"a": np.array([0.1])}, np.float32)
    with pytest.raises(FeatureError, match="'a' has texts"):
        as_matrix({"a": np.array(["x"], dtype=object)})


def test_the_digest_is_that_of_the_form_that_is_handed_around() -> None:
    one = schema({"name": "x", **CARRIER}, {"name": "y", "type": "Float64", "minimum": "0"})
    document = json.loads(json.dumps(one.as_json()))
    assert schema_digest(document["version"], document["features"]) == one.digest
    assert FeatureSchema.from_json(document) == one
