"""The kind MetricSource: the only place where the address of a metrics system can stand."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from penstock.api.v1alpha1.base import ApiObject, ApiType, Column, Crd
from penstock.api.v1alpha1.fields import SET, WRITTEN, NamespaceName, ObjectName, cel, explained


class SourceType(StrEnum):
    """What answers."""

    PROMETHEUS = "Prometheus"
    SCRAPE = "Scrape"


SourceUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=512,
        pattern="^https?://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[-A-Za-z0-9._~/]*)?$",
        json_schema_extra=explained(
            "url is http://HOST or https://HOST, with a port and a path where needed, and without user, query"
            " and fragment"
        ),
    ),
]

LabelName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern="^[A-Za-z_][A-Za-z0-9_]*$",
        json_schema_extra=explained("a label has letters, digits and '_' only and does not start with a digit")
        | cel(("self != '__name__'", "the label of the tenant is not the metric's name")),
    ),
]


class SourceTls(ApiType):
    """How the server proves who it is."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.caBundle) || !has(self.insecureSkipVerify) || !self.insecureSkipVerify",
                "caBundle has no effect with insecureSkipVerify: true; write one of them",
            )
        )
    )

    ca_bundle: Annotated[
        str | None,
        Field(
            max_length=65536,
            json_schema_extra=cel(
                (
                    "self.startsWith('-----BEGIN CERTIFICATE-----')",
                    "caBundle is a certificate in PEM form, or several; it begins with -----BEGIN CERTIFICATE-----",
                )
            ),
        ),
    ] = None
    """Certificates of the authorities that are trusted, in PEM form; those of the operator's image if absent."""
    insecure_skip_verify: bool = False
    """Takes any certificate: who sits between can then invent the numbers that rollouts are judged by."""


class HeaderSecretRef(ApiType):
    """A header whose value stands in a Secret of the operator's namespace."""

    name: ObjectName
    """The Secret; it has to stand in the chart's value metrics.headerSecrets too, which mounts it."""
    key: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern="^[-._a-zA-Z0-9]+$",
            json_schema_extra=explained("a key of a Secret has letters, digits, '-', '_' and '.' only")
            | cel(("!self.startsWith('..')", "a key of a Secret does not start with ..")),
        ),
    ]
    """The key; its value is the whole header, such as Bearer and a token."""
    header: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            pattern="^[A-Za-z][-A-Za-z0-9]*$",
            json_schema_extra=explained("the name of a header has letters, digits and '-' only")
            | cel(
                (
                    "!(self.lowerAscii() in ['host', 'connection', 'content-length', 'content-type',"
                    " 'transfer-encoding'])",
                    "this header belongs to the connection; name one that the server reads, such as Authorization",
                )
            ),
        ),
    ] = "Authorization"
    """The header."""


class MetricSourceSpec(ApiType):
    """Where numbers come from, and who may ask for them."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("(self.type == 'Prometheus') == has(self.url)", "type: Prometheus needs a url, which is for it alone"),
            (
                "self.type == 'Prometheus' || !has(self.tls) && !has(self.headerSecretRef)",
                "tls and headerSecretRef are for type: Prometheus",
            ),
            (
                "!has(self.tls) || !has(self.url) || self.url.startsWith('https://')",
                "tls needs a url that begins with https://",
            ),
        )
    )

    type: SourceType
    """Prometheus asks a server that speaks its HTTP API; Scrape reads the pods of a Model directly."""
    url: SourceUrl | None = None
    """The address before /api/v1/query."""
    tls: SourceTls | None = None
    """How the server proves who it is; by the authorities of the operator's image if absent."""
    header_secret_ref: HeaderSecretRef | None = None
    """A header that goes with every request, for servers that ask who is there."""
    allowed_namespaces: Annotated[list[NamespaceName], Field(min_length=1, max_length=1000, json_schema_extra=SET)] | (
        None
    ) = None
    """The namespaces whose Models may name this source; all if absent."""
    tenant_label: Annotated[LabelName, Field(json_schema_extra=WRITTEN)] = "namespace"
    """The label that says whose a series is: each query of a Model sees those of its own namespace only."""
    scrape_interval_seconds: Annotated[int, Field(ge=1, le=300, json_schema_extra=WRITTEN)] = 10
    """How often the server reads a target; what is older than three times that, and than 30 seconds, is not used."""

    def admits(self, namespace: str) -> bool:
        """Say whether Models of `namespace` may name this source."""
        return self.allowed_namespaces is None or namespace in self.allowed_namespaces


class MetricSource(ApiObject):
    """A metrics system that rollouts may be judged by, of the whole cluster."""

    crd: ClassVar[Crd] = Crd(
        plural="metricsources",
        short_name="pms",
        columns=(
            Column("Type", ".spec.type", "What answers"),
            Column("URL", ".spec.url", "Its address"),
        ),
        scope="Cluster",
    )

    kind: Literal["MetricSource"] = "MetricSource"
    spec: MetricSourceSpec
    """Where numbers come from, and who may ask for them."""
