"""The base classes of every type of the API group, and what a kind says about its CRD."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from penstock.api.v1alpha1.fields import Timestamp

GROUP = "penstock.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class ApiType(BaseModel):
    """An immutable value of the API: camelCase in JSON, snake_case in Python.

    Unknown fields are ignored on parsing, so that an operator can read objects of a newer CRD.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values with camelCase keys; fields without a value are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class OwnerReference(ApiType):
    """The part of metav1.OwnerReference that says who owns an object."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False


class ObjectMeta(ApiType):
    """The part of metav1.ObjectMeta that Penstock reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: list[OwnerReference] = Field(default_factory=list)


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; priority 1 shows it with -o wide only."""

    name: str
    path: str
    description: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True)
class Scale:
    """The JSON paths of the scale subresource."""

    spec_replicas: str
    status_replicas: str
    selector: str


@dataclass(frozen=True)
class Crd:
    """What a CustomResourceDefinition says beside its schema."""

    plural: str
    short_name: str
    columns: tuple[Column, ...]
    rules: tuple[tuple[str, str], ...] = ()
    """CEL rules of the whole object, each with its message."""
    scale: Scale | None = None
    status_default: Mapping[str, Any] | None = None
    """What the API server writes into status on create."""
    selectable: tuple[str, ...] = field(default=())
    """JSON paths that a field selector may name."""
    scope: str = "Namespaced"
    """Namespaced or Cluster."""


class ApiObject(ApiType):
    """A top-level object of the API group; subclasses add spec, maybe status, and a Crd."""

    crd: ClassVar[Crd]

    api_version: str = API_VERSION
    kind: str
    metadata: ObjectMeta
