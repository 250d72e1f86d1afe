"""What the API server must accept and refuse of a FeatureSet."""

from typing import Any

from tests.contract.crd_cases import Case, Changes
from tests.contract.manifests import DIGEST, Json

FEATURE_SET: Json = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "FeatureSet",
    "metadata": {"name": "flights"},
    "spec": {
        "features": [{"name": "distance", "type": "Float64"}],
        "source": {"uri": "s3://bucket/flights/*.parquet", "format": "Parquet"},
    },
}

FULL_FEATURE_SET: Json = FEATURE_SET | {
    "spec": {
        "owner": {"team": "ops-analytics"},
        "features": [
            {
                "name": "distance",
                "type": "Float64",
                "nullable": True,
                "minimum": "0",
                "maximum": "6e3",
                "maxNullFraction": "0.01",
                "default": "800.5",
                "description": "Miles.",
            },
            {"name": "carrier", "type": "String", "categories": ["AA", "UA"], "default": "AA"},
            {"name": "weekend", "type": "Boolean", "default": "false"},
            {"name": "at", "type": "Timestamp"},
        ],
        "entityKey": ["flight_id"],
        "timestampField": "at",
        "label": {"name": "late", "type": "Boolean"},
        "source": {
            "uri": "s3://bucket/flights/*.parquet",
            "format": "Parquet",
            "digest": DIGEST,
            "freshnessSeconds": 86400,
            "credentialsSecretRef": {"name": "bucket"},
        },
        "baseline": {"dataset": {"uri": "oci://registry.example.com/base:1", "format": "Parquet"}},
        "validation": {
            "schedule": "0 6 * * *",
            "deadlineSeconds": 600,
            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
            "scratchGibibytes": 4,
            "checks": {
                "maxPSI": "0.25",
                "maxNullFraction": "0.1",
                "maxInvalidFraction": "0.001",
                "uniqueKeys": True,
                "rowCount": {"min": 100, "max": 1000000},
            },
            "onFailure": "Warn",
        },
    }
}


def _feature(**changes: Any) -> Changes:
    return {"spec.features": [{"name": "distance", "type": "Float64", **changes}]}


def _each(path: str, *values: Any) -> list[Changes]:
    return [{path: value} for value in values]


_NUMBER = 'a number is written as text, such as "0", "-1.5" or "6e3"'
_CHECKS = "spec.validation.checks"

FEATURE_SET_CASES = [
    Case(
        "feature set name",
        "the name of a FeatureSet has at most 40 lower-case letters, digits and '-', starts with a letter "
        "and ends with a letter or digit",
        bad=_each("metadata.name", "1-a", "a.b", "a" * 41),
        good=_each("metadata.name", "a", "a" * 40, "a-1"),
        base=FEATURE_SET,
    ),
    Case(
        "column name",
        "a column's name has letters, digits, '_', '-' and '.' only and starts with a letter or '_'",
        bad=[_feature(name="1a"), _feature(name="a b"), _feature(name="ä")],
        good=[_feature(name="_a.b-C1"), _feature(name="a" * 128)],
        base=FEATURE_SET,
    ),
    Case(
        "number",
        _NUMBER,
        bad=[_feature(minimum="x"), _feature(maximum="1."), _feature(minimum="0x1"), _feature(minimum="NaN")],
        good=[_feature(minimum="-1.5", maximum="6e3")],
        base=FEATURE_SET,
    ),
    Case(
        "fraction",
        'a fraction is written as text from "0" to "1", such as "0.01"',
        bad=[_feature(maxNullFraction="1.5"), _feature(maxNullFraction="-0.1"), _feature(maxNullFraction="5%")],
        good=[_feature(maxNullFraction=value) for value in ("0", "1", "0.01", "1.0")],
        base=FEATURE_SET,
    ),
    Case(
        "range of what has no order",
        "minimum and maximum are for the types Float64, Float32 and Int64",
        bad=[_feature(type="String", minimum="1"), _feature(type="Boolean", maximum="1")],
        good=[_feature(type="Int64", minimum="1")],
        base=FEATURE_SET,
    ),
    Case(
        "range",
        "minimum is larger than maximum",
        bad=[_feature(minimum="2", maximum="1"), _feature(minimum="-1", maximum="-1e1")],
        good=[_feature(minimum="2", maximum="2"), _feature(minimum="9", maximum="10")],
        base=FEATURE_SET,
    ),
    Case(
        "categories",
        "categories are for the type String",
        bad=[_feature(type="Int64", categories=["1"])],
        good=[_feature(type="String", categories=["1"]), _feature(type="Int64", categories=[])],
        base=FEATURE_SET,
    ),
    Case(
        "default",
        "default is not a value of the feature's type",
        bad=[
            _feature(default="x"),
            _feature(type="Int64", default="1.5"),
            _feature(type="Boolean", default="True"),
        ],
        good=[
            _feature(default="-1.5e3"),
            _feature(type="Int64", default="-7"),
            _feature(type="Boolean", default="true"),
        ],
        base=FEATURE_SET,
    ),
    Case(
        "default of a moment",
        "a feature of type Timestamp has no default",
        bad=[_feature(type="Timestamp", default="2026-01-01")],
        good=[_feature(type="Timestamp")],
        base=FEATURE_SET,
    ),
    Case(
        "default among the categories",
        "default is not one of the categories",
        bad=[_feature(type="String", categories=["a"], default="b")],
        good=[_feature(type="String", categories=["a"], default="a"), _feature(type="String", default="b")],
        base=FEATURE_SET,
    ),
    Case(
        "dataset uri",
        "a dataset's uri is s3://BUCKET/KEY, https://HOST/PATH, pvc://CLAIM/PATH or oci://REGISTRY/REPOSITORY;"
        " the last part of an s3 or pvc path may have * and ?",
        bad=_each(
            "spec.source.uri",
            "http://example.com/a",
            "file:///etc/passwd",
            "s3://b/a",
            "s3://bucket",
            "https://user:secret@example.com/a",
            "pvc://claim",
            "/data/a.parquet",
        ),
        good=_each(
            "spec.source.uri",
            "s3://bucket/a b".replace(" ", "-"),
            "https://example.com:8443/a.csv?x=1",
            "pvc://claim/folder/*.csv",
            "oci://localhost:5000/data/flights:1",
        ),
        base=FEATURE_SET,
    ),
    Case(
        "dataset path",
        "a dataset's uri has no segment ..",
        bad=_each("spec.source.uri", "pvc://claim/../other/a", "s3://bucket/a/.."),
        good=_each("spec.source.uri", "pvc://claim/a..b/c"),
        base=FEATURE_SET,
    ),
    Case(
        "baseline",
        "a baseline is either fromSource: true or a dataset",
        bad=_each(
            "spec.baseline",
            {},
            {"fromSource": False},
            {"fromSource": True, "dataset": {"uri": "pvc://claim/a", "format": "CSV"}},
        ),
        good=_each("spec.baseline", {"fromSource": True}, {"dataset": {"uri": "pvc://claim/a", "format": "CSV"}}),
        base=FEATURE_SET,
    ),
    Case(
        "row count",
        "rowCount.min is larger than rowCount.max",
        bad=_each(f"{_CHECKS}.rowCount", {"min": 2, "max": 1}, {"max": 0}),
        good=_each(f"{_CHECKS}.rowCount", {"min": 2, "max": 2}, {"min": 5}),
        base=FEATURE_SET,
    ),
    Case(
        "psi",
        "the number is larger than 0",
        bad=_each(f"{_CHECKS}.maxPSI", "0", "-1"),
        good=_each(f"{_CHECKS}.maxPSI", "0.25"),
        base=FEATURE_SET,
    ),
    Case(
        "schedule",
        'schedule is a cron line of five fields, such as "0 6 * * *" for every day at 6:00 UTC',
        bad=_each("spec.validation.schedule", "every day", "0 0 6 * * *"),
        good=_each("spec.validation.schedule", "*/5 * * * 1-5"),
        base=FEATURE_SET,
    ),
    Case(
        "label among the features",
        "the label is among the features: a model would read what it is to predict",
        bad=_each("spec.label", {"name": "distance", "type": "Float64"}),
        good=_each("spec.label", {"name": "late", "type": "Boolean"}),
        base=FEATURE_SET,
    ),
    Case(
        "freshness without time",
        "source.freshnessSeconds needs timestampField, the column that says how old a row is",
        bad=_each("spec.source.freshnessSeconds", 60),
        good=[{"spec.source.freshnessSeconds": 60, "spec.timestampField": "at"}],
        base=FEATURE_SET,
    ),
]

TYPE_IS_KEPT = "the type of a feature cannot be changed: add a feature of another name and remove this one"
