"""How a Model is served: the server, its size and where its pods run."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.fields import (
    ATOMIC,
    WRITTEN,
    ImageByDigest,
    ObjectName,
    Quantity,
    cel,
    explained,
    list_map,
)

LABEL_KEY_PATTERN = "^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"


class Runtime(StrEnum):
    """Who answers predictions."""

    PENSTOCK = "Penstock"
    CUSTOM = "Custom"


class Protocol(StrEnum):
    """The HTTP protocol of a model server; V2 is the Open Inference Protocol."""

    V2 = "V2"


class EnvVar(ApiType):
    """An environment variable with a plain value."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=128,
            pattern="^[A-Za-z_][A-Za-z0-9_]*$",
            json_schema_extra=explained(
                "a variable's name has letters, digits and '_' and does not start with a digit"
            ),
        ),
    ]
    """The name of the variable."""
    value: Annotated[str, Field(max_length=4096)]
    """The value of the variable as it stands, which everybody who reads the Model can see."""


class ServerSettings(ApiType):
    """What a custom server is started with."""

    port: Annotated[int, Field(ge=1, le=65535)]
    """The port on which the server answers HTTP."""
    protocol: Annotated[Protocol, Field(json_schema_extra=WRITTEN)] = Protocol.V2
    """The protocol it speaks: V2 is the Open Inference Protocol."""
    args: Annotated[list[Annotated[str, Field(max_length=1024)]], Field(max_length=64, json_schema_extra=ATOMIC)] = (
        Field(default_factory=list)
    )
    """The arguments of the image's entry point."""
    env: Annotated[list[EnvVar], Field(max_length=64, json_schema_extra=list_map("name"))] = Field(default_factory=list)
    """The environment variables of the server."""


class CustomServer(ServerSettings):
    """A server of your own."""

    image: ImageByDigest
    """The image of the server, pinned by digest."""


_RESOURCE_RULES = cel(
    (
        "self.all(name, name in ['cpu', 'memory', 'ephemeral-storage']"
        f" || (name.contains('/') && name.matches('{LABEL_KEY_PATTERN}')))",
        "a resource is cpu, memory, ephemeral-storage or an extended one such as nvidia.com/gpu",
    ),
    (
        "self.all(name, string(self[name]).matches('^[0-9]{1,15}([.][0-9]{1,9})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$'))",
        "a quantity is a number with or without a unit, such as 500m, 2 or 1Gi",
    ),
)

ResourceList = Annotated[dict[str, Quantity], Field(max_length=8, json_schema_extra=_RESOURCE_RULES)]


class Resources(ApiType):
    """The size of one serving pod."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits)"
                " || quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",
                "a request is larger than its limit; lower resources.requests or raise resources.limits",
            ),
            (
                "!has(self.requests) || self.requests.all(name, !name.contains('/') || (has(self.limits)"
                " && name in self.limits && string(self.limits[name]) == string(self.requests[name])))",
                "an extended resource such as nvidia.com/gpu needs a limit that is written like its request",
            ),
        )
    )

    requests: ResourceList = Field(default_factory=dict)
    """What is reserved for each pod, such as cpu: 500m and memory: 1Gi."""
    limits: ResourceList = Field(default_factory=dict)
    """What each pod may use at most."""


class TolerationOperator(StrEnum):
    """How a toleration compares."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does to pods."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


LabelValue = Annotated[
    str,
    Field(
        max_length=63,
        pattern="^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        json_schema_extra=explained(
            "a label value has at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"
        ),
    ),
]


class Toleration(ApiType):
    """A taint that serving pods tolerate, as in a pod."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
                "a toleration without a key needs operator: Exists",
            ),
            (
                "!has(self.operator) || self.operator != 'Exists' || !has(self.value)",
                "a toleration with operator: Exists takes no value",
            ),
            (
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds needs effect: NoExecute",
            ),
        )
    )

    key: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=317,
                pattern=LABEL_KEY_PATTERN,
                json_schema_extra=explained("a taint's key is a label key, such as example.com/dedicated"),
            ),
        ]
        | None
    ) = None
    """The key of the taint; every taint if absent."""
    operator: TolerationOperator | None = None
    """Exists matches any value, Equal (if absent) the given one."""
    value: LabelValue | None = None
    """The value of the taint."""
    effect: TaintEffect | None = None
    """The effect of the taint; every effect if absent."""
    toleration_seconds: Annotated[int, Field(ge=0, le=86400)] | None = None
    """How long a pod stays after a NoExecute taint appears; for ever if absent."""


class SecretName(ApiType):
    """A Secret of the same namespace by name."""

    name: ObjectName
    """The name of the Secret."""


class PodSettings(ApiType):
    """Where serving pods run and how they stop."""

    node_selector: Annotated[
        dict[str, LabelValue],
        Field(
            max_length=16,
            json_schema_extra=cel(
                (
                    f"self.all(key, key.matches('{LABEL_KEY_PATTERN}'))",
                    "a key of nodeSelector is a label key, such as kubernetes.io/arch",
                )
            ),
        ),
    ] = Field(default_factory=dict)
    """The labels that a node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=16, json_schema_extra=ATOMIC)] = Field(
        default_factory=list
    )
    """The taints that serving pods tolerate."""
    termination_grace_period_seconds: Annotated[int, Field(ge=1, le=3600)] | None = None
    """How many seconds a pod may take to finish its requests when it stops; the operator's default if absent."""
    image_pull_secrets: Annotated[list[SecretName], Field(max_length=8, json_schema_extra=list_map("name"))] = Field(
        default_factory=list
    )
    """The Secrets of this namespace that the kubelet uses to pull the images."""
    priority_class_name: ObjectName | None = None
    """The PriorityClass of serving pods."""


class Serving(ApiType):
    """How a Model is served."""

    # A write to the scale subresource can create `serving` without the default of `runtime`.
    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.runtime) || self.runtime != 'Custom' || has(self.custom)",
                "runtime: Custom needs serving.custom with your server's image",
            ),
            (
                "!has(self.custom) || (has(self.runtime) && self.runtime == 'Custom')",
                "serving.custom is for runtime: Custom; remove it or set runtime: Custom",
            ),
        )
    )

    runtime: Annotated[Runtime, Field(json_schema_extra=WRITTEN)] = Runtime.PENSTOCK
    """Penstock serves with the built-in model server, Custom with your own image."""
    custom: CustomServer | None = None
    """Your own server, for runtime Custom."""
    replicas: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many pods serve the stable revision; one if absent, and what the scale subresource sets."""
    resources: Resources = Field(default_factory=Resources)
    """The size of each serving pod."""
    pod: PodSettings = Field(default_factory=PodSettings)
    """Where serving pods run and how they stop."""
