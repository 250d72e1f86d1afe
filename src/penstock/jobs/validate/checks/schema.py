"""A FeatureSet's features as a pandera schema, for the Job and for code that trains on the dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrorReason, SchemaErrors

from penstock.api.v1alpha1.featureset import Feature, FeatureType
from penstock.features.conversion import TYPES


@dataclass(frozen=True, slots=True)
class SchemaFaults:
    """Columns that are not there, and columns of a type that cannot be the feature's."""

    missing: frozenset[str]
    mistyped: frozenset[str]


def pandera_schema(features: Sequence[Feature]) -> pa.DataFrameSchema:
    """The schema with types, nullability, ranges and categories; columns that it does not name are let through."""
    return pa.DataFrameSchema({item.name: _column(item) for item in features}, strict=False)


def column_schema(types: Mapping[str, FeatureType]) -> pa.DataFrameSchema:
    """The schema of names and types only."""
    return pa.DataFrameSchema({name: pa.Column(TYPES[kind], nullable=True) for name, kind in types.items()})


def schema_faults(schema: pa.DataFrameSchema, columns: Mapping[str, pl.DataType]) -> SchemaFaults:
    """What is wrong with a file's columns as they are after the accepted conversions; no row is looked at."""
    try:
        schema.validate(pl.DataFrame(schema=dict(columns)), lazy=True)
    except SchemaErrors as errors:
        found = errors.schema_errors
        return SchemaFaults(
            missing=frozenset(
                str(fault.failure_cases)
                for fault in found
                if fault.reason_code is SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME
            ),
            mistyped=frozenset(
                str(fault.schema.name) for fault in found if fault.reason_code is SchemaErrorReason.WRONG_DATATYPE
            ),
        )
    return SchemaFaults(frozenset(), frozenset())


def limit(text: str | None) -> float | int | None:
    """A range's limit as a number: an integer where it is one, so that large integers stay exact."""
    if text is None:
        return None
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def _column(feature: Feature) -> pa.Column:
    checks = []
    if (minimum := limit(feature.minimum)) is not None:
        checks.append(pa.Check.ge(minimum))
    if (maximum := limit(feature.maximum)) is not None:
        checks.append(pa.Check.le(maximum))
    if feature.categories:
        checks.append(pa.Check.isin(feature.categories))
    return pa.Column(TYPES[feature.type], checks=checks, nullable=feature.nullable)
