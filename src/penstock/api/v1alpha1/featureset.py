"""The kind FeatureSet: one definition of a dataset for training, validation and serving."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from penstock.api.v1alpha1.base import ApiObject, ApiType, Column, Crd
from penstock.api.v1alpha1.conditions import ConditionStatus, ConditionType, Reason, describe
from penstock.api.v1alpha1.featuresetstatus import FeatureSetStatus
from penstock.api.v1alpha1.fields import (
    SET,
    WRITTEN,
    Count,
    Decimal,
    Digest,
    Fraction,
    LongText,
    ObjectName,
    PositiveDecimal,
    cel,
    explained,
    list_map,
)
from penstock.api.v1alpha1.model import Owner
from penstock.api.v1alpha1.serving import Resources

FEATURE_SET_NAME_PATTERN = "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"
FEATURE_SET_NAME_MESSAGE = (
    "the name of a FeatureSet has at most 40 lower-case letters, digits and '-', starts with a letter "
    "and ends with a letter or digit"
)


class FeatureType(StrEnum):
    """What the values of a column are."""

    FLOAT64 = "Float64"
    FLOAT32 = "Float32"
    INT64 = "Int64"
    BOOLEAN = "Boolean"
    STRING = "String"
    TIMESTAMP = "Timestamp"


NUMERIC_TYPES = frozenset({FeatureType.FLOAT64, FeatureType.FLOAT32, FeatureType.INT64})

ColumnName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern="^[A-Za-z_][-A-Za-z0-9_.]*$",
        json_schema_extra=explained(
            "a column's name has letters, digits, '_', '-' and '.' only and starts with a letter or '_'"
        ),
    ),
]

Category = Annotated[str, Field(max_length=128)]

DatasetUri = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        pattern=(
            "^(s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9]/[-A-Za-z0-9._~/=+@!$&(),;:*?]+"
            "|https://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?/[-A-Za-z0-9._~/%?=&+:@!$*,;()]*"
            "|pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[-A-Za-z0-9._~/=+@*?]+"
            "|oci://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*)+"
            "(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@sha256:[0-9a-f]{64})?)$"
        ),
        json_schema_extra=explained(
            "a dataset's uri is s3://BUCKET/KEY, https://HOST/PATH, pvc://CLAIM/PATH or oci://REGISTRY/REPOSITORY;"
            " the last part of an s3 or pvc path may have * and ?"
        )
        | cel(("!self.contains('/../') && !self.endsWith('/..')", "a dataset's uri has no segment ..")),
    ),
]


class Feature(ApiType):
    """One column that a model reads."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.minimum) && !has(self.maximum) || self.type in ['Float64', 'Float32', 'Int64']",
                "minimum and maximum are for the types Float64, Float32 and Int64",
            ),
            (
                "!has(self.minimum) || !has(self.maximum) || double(self.minimum) <= double(self.maximum)",
                "minimum is larger than maximum",
            ),
            (
                "!has(self.categories) || self.categories.size() == 0 || self.type == 'String'",
                "categories are for the type String",
            ),
            (
                "!has(self.default) || self.type in ['String', 'Timestamp']"
                " || (self.type == 'Boolean' ? self.default in ['true', 'false']"
                " : self.type == 'Int64' ? self.default.matches('^-?[0-9]{1,18}$')"
                " : self.default.matches('^-?[0-9]{1,20}([.][0-9]{1,20})?([eE][-+]?[0-9]{1,2})?$'))",
                "default is not a value of the feature's type",
            ),
            (
                "!has(self.default) || self.type != 'Timestamp'",
                "a feature of type Timestamp has no default",
            ),
            (
                "!has(self.default) || !has(self.categories) || self.categories.size() == 0"
                " || self.default in self.categories",
                "default is not one of the categories",
            ),
        )
    )

    name: ColumnName
    """The name of the column."""
    type: Annotated[
        FeatureType,
        Field(
            json_schema_extra=cel(
                (
                    "self == oldSelf",
                    "the type of a feature cannot be changed: add a feature of another name and remove this one",
                )
            )
        ),
    ]
    """What its values are; cannot be changed."""
    nullable: bool = False
    """Whether a value may be missing."""
    minimum: Decimal | None = None
    """The smallest value that is right."""
    maximum: Decimal | None = None
    """The largest value that is right."""
    categories: Annotated[list[Category], Field(max_length=256, json_schema_extra=SET)] = Field(default_factory=list)
    """The values that a column of type String may have; any if empty."""
    max_null_fraction: Fraction | None = None
    """The share of missing values from which on the dataset is not valid; validation.checks has one for all."""
    default: Annotated[str, Field(max_length=128)] | None = None
    """What stands for a missing value, in training as in serving."""
    description: LongText | None = None
    """What the column says, for people."""


class Label(ApiType):
    """The column that a model learns to predict."""

    name: ColumnName
    """The name of the column."""
    type: FeatureType
    """What its values are."""


class DatasetFormat(StrEnum):
    """How a dataset's files are written."""

    PARQUET = "Parquet"
    CSV = "CSV"


class SecretRef(ApiType):
    """A Secret of the same namespace."""

    name: ObjectName
    """The name of the Secret."""


class DatasetRef(ApiType):
    """Where a dataset is."""

    uri: DatasetUri
    """Where the files are: s3://, https://, pvc:// or oci://."""
    format: DatasetFormat
    """How they are written: Parquet or CSV (UTF-8, comma, with a header)."""
    digest: Digest | None = None
    """The digest that the dataset must have, as `penstock digest` prints it; any if absent."""
    credentials_secret_ref: SecretRef | None = None
    """The Secret with the credentials for the source, mounted into the Job; the operator never reads it."""


class DatasetSource(DatasetRef):
    """The dataset of a FeatureSet."""

    freshness_seconds: Annotated[int, Field(ge=1, le=315_360_000)] | None = None
    """How old the newest row may be, by timestampField; any age if absent."""


class Baseline(ApiType):
    """What the dataset is compared with, and drift is measured against."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.dataset) != (has(self.fromSource) && self.fromSource)",
                "a baseline is either fromSource: true or a dataset",
            )
        )
    )

    from_source: bool = False
    """Makes the first valid version of the source the baseline."""
    dataset: DatasetRef | None = None
    """The dataset of the baseline."""


class RowCount(ApiType):
    """How many rows a dataset may have."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("!has(self.min) || !has(self.max) || self.min <= self.max", "rowCount.min is larger than rowCount.max")
        )
    )

    min: Annotated[Count, Field(json_schema_extra=WRITTEN)] = 1
    """The fewest rows."""
    max: Count | None = None
    """The most rows."""


class Checks(ApiType):
    """What is checked beside the features' own types, ranges and categories."""

    max_psi: Annotated[PositiveDecimal | None, Field(alias="maxPSI")] = None
    """The population stability index against the baseline from which on a feature has shifted; 0.25 if absent."""
    max_null_fraction: Fraction | None = None
    """The share of missing values that a nullable feature may have; any if absent."""
    max_invalid_fraction: Fraction | None = None
    """The share of rows in which a feature may be out of range or of an unknown category; none if absent."""
    unique_keys: bool = True
    """Whether no two rows may have the same entityKey."""
    row_count: RowCount = Field(default_factory=RowCount)
    """How many rows there may be."""


class OnFailure(StrEnum):
    """What a dataset that fails its checks means for the Models that name the FeatureSet."""

    BLOCK = "Block"
    WARN = "Warn"


class Validation(ApiType):
    """When and how the dataset is validated."""

    schedule: (
        Annotated[
            str,
            Field(
                min_length=9,
                max_length=128,
                pattern="^[^ ]+( [^ ]+){4}$",
                json_schema_extra=explained(
                    'schedule is a cron line of five fields, such as "0 6 * * *" for every day at 6:00 UTC'
                ),
            ),
        ]
        | None
    ) = None
    """When the dataset is validated again, in the form of cron, UTC; only after a change if absent."""
    deadline_seconds: Annotated[int, Field(ge=30, le=86400, json_schema_extra=WRITTEN)] = 1800
    """How many seconds one validation may take."""
    resources: Resources | None = None
    """What the Job's pod asks for; 1 CPU and 1Gi of memory if absent."""
    scratch_gibibytes: Annotated[int, Field(ge=1, le=4096)] | None = None
    """How much disk the Job may use for the dataset's files, which need not fit into its memory; 16 if absent."""
    checks: Checks = Field(default_factory=Checks)
    """What is checked beside the features' own types, ranges and categories."""
    on_failure: Annotated[OnFailure, Field(json_schema_extra=WRITTEN)] = OnFailure.BLOCK
    """Block keeps Models from rolling out on a dataset that fails; Warn only says so."""


class FeatureSetSpec(ApiType):
    """What the owner of a FeatureSet declares."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.label) || !self.features.exists(f, f.name == self.label.name)",
                "the label is among the features: a model would read what it is to predict",
            ),
            (
                "!has(self.source.freshnessSeconds) || has(self.timestampField)",
                "source.freshnessSeconds needs timestampField, the column that says how old a row is",
            ),
        )
    )

    owner: Owner | None = None
    """Who answers for the data."""
    features: Annotated[list[Feature], Field(min_length=1, max_length=1000, json_schema_extra=list_map("name"))]
    """The columns that a model reads, in the order in which it reads them."""
    entity_key: Annotated[list[ColumnName], Field(max_length=8, json_schema_extra=SET)] = Field(default_factory=list)
    """The columns that together tell rows apart."""
    timestamp_field: ColumnName | None = None
    """The column that says when a row was true."""
    label: Label | None = None
    """The column that a model learns to predict."""
    source: DatasetSource
    """The dataset."""
    baseline: Baseline | None = None
    """What the dataset is compared with."""
    validation: Validation = Field(default_factory=Validation)
    """When and how the dataset is validated."""


_PENDING = {
    "type": ConditionType.READY.value,
    "status": ConditionStatus.UNKNOWN.value,
    "reason": Reason.PENDING.value,
    "message": describe(Reason.PENDING, subject="the FeatureSet"),
    "lastTransitionTime": "1970-01-01T00:00:00Z",
}


class FeatureSet(ApiObject):
    """One definition of a dataset: what models are trained on, what is validated and what they are asked."""

    crd: ClassVar[Crd] = Crd(
        plural="featuresets",
        short_name="pfs",
        columns=(
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the dataset may be used"),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it may be used or not"),
            Column("Dataset", ".status.current.summary", "The dataset's digest, rows and time of validation"),
            Column("Fresh", '.status.conditions[?(@.type=="Fresh")].status', "Whether the newest row is young enough"),
            Column("Failed", ".status.current.failedChecks", "The checks that failed"),
        ),
        rules=((f"self.metadata.name.matches('{FEATURE_SET_NAME_PATTERN}')", FEATURE_SET_NAME_MESSAGE),),
        status_default={"observedGeneration": -1, "conditions": [_PENDING]},
    )

    kind: Literal["FeatureSet"] = "FeatureSet"
    spec: FeatureSetSpec
    """What the owner declares."""
    status: FeatureSetStatus = Field(default_factory=FeatureSetStatus)
    """What the operator has seen of the dataset."""
