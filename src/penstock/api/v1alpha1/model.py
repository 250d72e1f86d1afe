"""The kind Model: what its owner declares."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from penstock.api.v1alpha1.base import ApiObject, ApiType, Column, Crd, Scale
from penstock.api.v1alpha1.conditions import ConditionStatus, ConditionType, Reason, describe
from penstock.api.v1alpha1.fields import (
    MODEL_NAME_MESSAGE,
    MODEL_NAME_PATTERN,
    SET,
    Digest,
    LongText,
    NamespaceName,
    ObjectName,
    Revision,
    cel,
    explained,
)
from penstock.api.v1alpha1.modelstatus import ModelStatus
from penstock.api.v1alpha1.rollout import Rollout
from penstock.api.v1alpha1.serving import Serving


class Owner(ApiType):
    """Who answers for a Model."""

    team: Annotated[str, Field(min_length=1, max_length=128)]
    """The team that answers for the Model."""
    contact: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Where to reach the team: an address, a channel or a page."""


class Risk(StrEnum):
    """How much harm a wrong prediction can do."""

    MINIMAL = "Minimal"
    LIMITED = "Limited"
    HIGH = "High"


class Card(ApiType):
    """What people should know before they use a Model."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.risk) || self.risk != 'High' || (has(self.purpose) && has(self.limitations))",
                "a Model with risk: High needs card.purpose and card.limitations",
            )
        )
    )

    purpose: LongText | None = None
    """What the Model is for."""
    limitations: LongText | None = None
    """Where the Model should not be used and what it gets wrong."""
    risk: Risk | None = None
    """How much harm a wrong prediction can do; High needs purpose and limitations."""


class Format(StrEnum):
    """How the artifact is stored."""

    ONNX = "ONNX"
    SKOPS = "Skops"
    CUSTOM = "Custom"


_OCI_URI = (
    "oci://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?"
    "(/[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*)+"
    "(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_HTTPS_URI = "https://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?/[-A-Za-z0-9._~/%?=&+:@!$*,;()]*"


class Artifact(ApiType):
    """The bytes of a model: where they are and what they must be."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!self.uri.startsWith('oci://') || !self.uri.contains('@') || self.uri.endsWith('@' + self.digest)",
                "the digest in artifact.uri and artifact.digest differ; write the same one or leave it out of the uri",
            )
        )
    )

    uri: Annotated[
        str,
        Field(
            max_length=1024,
            pattern=f"^({_OCI_URI}|{_HTTPS_URI})$",
            json_schema_extra=explained(
                "artifact.uri is oci://REGISTRY/REPOSITORY[:TAG][@DIGEST] or https://HOST/PATH, without a password"
            ),
        ),
    ]
    """Where the artifact is: oci://registry/repository:tag or https://host/path."""
    digest: Digest
    """The sha256 that the artifact must have: of the manifest for oci://, of the file's bytes for https://."""
    format: Format
    """How the artifact is stored; Custom is for a server of your own."""


class GatewayRef(ApiType):
    """The Gateway that carries the traffic."""

    name: ObjectName
    """The name of the Gateway."""
    namespace: NamespaceName | None = None
    """The namespace of the Gateway; the Model's if absent."""
    section_name: ObjectName | None = None
    """The listener of the Gateway; all of them if absent."""


Hostname = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern="^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$",
        json_schema_extra=explained("a hostname has lower-case letters, digits, '-' and '.' only, without a wildcard")
        | cel(("!isIP(self)", "a hostname is a DNS name, not an IP address")),
    ),
]

PathPrefix = Annotated[
    str,
    Field(
        min_length=1,
        max_length=256,
        pattern="^[-A-Za-z0-9._~/]*$",
        json_schema_extra=explained("pathPrefix has letters, digits, '-', '.', '_', '~' and '/' only")
        | cel(
            ("self.startsWith('/')", "pathPrefix starts with /"),
            ("!self.contains('//')", "pathPrefix has no empty segment: write / once"),
            (
                "!self.split('/').exists(segment, segment == '.' || segment == '..')",
                "pathPrefix has no segment . or ..: write the path it means",
            ),
            ("self == '/' || !self.endsWith('/')", "pathPrefix does not end with /: leave the last one out"),
        ),
    ),
]


class Route(ApiType):
    """How clients reach a Model."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.pathPrefix) || self.pathPrefix != '/' || (has(self.hostnames) && self.hostnames.size() > 0)",
                "pathPrefix: / would take the whole Gateway; name route.hostnames too or choose a longer path",
            )
        )
    )

    gateway_ref: GatewayRef | None = None
    """The Gateway that carries the traffic; the operator's default if absent."""
    hostnames: Annotated[list[Hostname], Field(max_length=16, json_schema_extra=SET)] = Field(default_factory=list)
    """The hostnames under which the Model answers; all of the listener's if empty."""
    path_prefix: PathPrefix | None = None
    """The path under which the Model answers; /NAMESPACE/MODEL if absent."""


class FeatureSetRef(ApiType):
    """A FeatureSet of the same namespace."""

    name: ObjectName
    """The name of the FeatureSet."""


class Features(ApiType):
    """The data that a Model was trained on and is asked about."""

    feature_set_ref: FeatureSetRef
    """The FeatureSet: no revision rolls out while its data is not valid, and requests are checked against it."""


class Fallback(ApiType):
    """The revision that takes over while the stable one has no pod that is ready."""

    revision: Revision
    """The revision; it was stable once and keeps warmReplicas pods."""


class ModelSpec(ApiType):
    """What the owner of a Model declares."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "self.artifact.format != 'Custom'"
                " || (has(self.serving) && has(self.serving.runtime) && self.serving.runtime == 'Custom')",
                "artifact.format: Custom needs serving.runtime: Custom",
            ),
            (
                "!has(self.card) || !has(self.card.risk) || self.card.risk != 'High'"
                " || (has(self.rollout) && has(self.rollout.approval) && has(self.rollout.approval.required)"
                " && self.rollout.approval.required && has(self.rollout.gates) && self.rollout.gates.size() > 0)",
                "a Model with risk: High needs rollout.gates and rollout.approval.required: true",
            ),
        )
    )

    owner: Owner | None = None
    """Who answers for the Model."""
    card: Card | None = None
    """What people should know before they use the Model."""
    artifact: Artifact
    """The bytes of the model: where they are and what they must be."""
    features: Features | None = None
    """The data that the Model was trained on and is asked about."""
    serving: Serving = Field(default_factory=Serving)
    """How the Model is served."""
    route: Route = Field(default_factory=Route)
    """How clients reach the Model."""
    rollout: Rollout = Field(default_factory=Rollout)
    """How a new revision replaces the one that serves."""
    fallback: Fallback | None = None
    """The revision that takes over while the stable one has no pod that is ready."""
    suspend: bool = False
    """Freezes the rollout; traffic stays as it is."""


_PENDING = {
    "type": ConditionType.READY.value,
    "status": ConditionStatus.UNKNOWN.value,
    "reason": Reason.PENDING.value,
    "message": describe(Reason.PENDING),
    "lastTransitionTime": "1970-01-01T00:00:00Z",
}


class Model(ApiObject):
    """A machine-learning model in production: what is served, how, and how it changes."""

    crd: ClassVar[Crd] = Crd(
        plural="models",
        short_name="pmdl",
        columns=(
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the Model serves"),
            Column("Revision", ".status.stable.revision", "The revision that serves"),
            Column("Candidate", ".status.candidate.stage", "The stage of the new revision"),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why the Model is ready or not"),
            Column("URL", ".status.url", "Where clients reach the Model", priority=1),
        ),
        rules=((f"self.metadata.name.matches('{MODEL_NAME_PATTERN}')", MODEL_NAME_MESSAGE),),
        scale=Scale(".spec.serving.replicas", ".status.replicas", ".status.selector"),
        status_default={"observedGeneration": -1, "conditions": [_PENDING]},
    )

    kind: Literal["Model"] = "Model"
    spec: ModelSpec
    """What the owner declares."""
    status: ModelStatus = Field(default_factory=ModelStatus)
    """What the operator has seen and done."""
