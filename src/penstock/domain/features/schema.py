"""The feature schema as a plain value: the part of a FeatureSet that a model is bound to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.api.lineage import schema_digest
from penstock.api.v1alpha1.featureset import Feature, FeatureType

SCHEMA_VERSION = "penstock.dev/features/1"
"""Prefixed to every digest, so that a later change of the recipe can never collide with an older one."""


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One column that a model reads.

    `minimum`, `maximum` and `default` are text as in the FeatureSet; `categories` are in their declared order,
    which is the order of their codes in training and serving.
    """

    name: str
    type: FeatureType
    nullable: bool = False
    minimum: str | None = None
    maximum: str | None = None
    categories: tuple[str, ...] = ()
    default: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what the digest is taken of; values that are not set are left out."""
        content: dict[str, Any] = {"name": self.name, "type": self.type.value, "nullable": self.nullable}
        for key in ("minimum", "maximum", "default"):
            if (value := getattr(self, key)) is not None:
                content[key] = value
        if self.categories:
            content["categories"] = list(self.categories)
        return content


@dataclass(frozen=True, slots=True)
class FeatureSchema:
    """The columns of a FeatureSet in the order in which a model reads them."""

    features: tuple[FeatureSpec, ...]

    @property
    def digest(self) -> str:
        """`sha256:<hex>` over names, order, types, ranges, categories and defaults; not over descriptions."""
        return schema_digest(SCHEMA_VERSION, [feature.as_json() for feature in self.features])

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(feature.name for feature in self.features)

    def as_json(self) -> dict[str, Any]:
        """Return the form in which the schema is handed to Jobs, model servers and training code."""
        return {"version": SCHEMA_VERSION, "features": [feature.as_json() for feature in self.features]}

    @classmethod
    def of(cls, features: Iterable[Feature]) -> FeatureSchema:
        """Return the schema of the features that a FeatureSet declares."""
        return cls(
            tuple(
                FeatureSpec(
                    name=item.name,
                    type=item.type,
                    nullable=item.nullable,
                    minimum=item.minimum,
                    maximum=item.maximum,
                    categories=tuple(item.categories),
                    default=item.default,
                )
                for item in features
            )
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FeatureSchema:
        """Read `as_json`; raises ValueError for anything else, with a sentence that says what is wrong."""
        if content.get("version") != SCHEMA_VERSION:
            raise ValueError(f"The feature schema has version {content.get('version')!r}, not {SCHEMA_VERSION!r}.")
        try:
            return cls(tuple(_feature(item) for item in content["features"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"The feature schema cannot be read: {error!r}.") from error


def _feature(item: Mapping[str, Any]) -> FeatureSpec:
    return FeatureSpec(
        name=str(item["name"]),
        type=FeatureType(item["type"]),
        nullable=bool(item.get("nullable", False)),
        minimum=item.get("minimum"),
        maximum=item.get("maximum"),
        categories=tuple(item.get("categories", ())),
        default=item.get("default"),
    )
