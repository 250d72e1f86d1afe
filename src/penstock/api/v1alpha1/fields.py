"""Bounded scalar types, and the schema extensions that fields of the API carry."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic.config import JsonDict

PATTERN_MESSAGE = "x-pattern-message"
WRITTEN_DEFAULT = "x-written-default"
RULES = "x-kubernetes-validations"

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exact."""


def cel(*rules: tuple[str, str]) -> JsonDict:
    """Return the schema extension for CEL rules, given as pairs of rule and message."""
    return {RULES: [{"rule": rule, "message": message} for rule, message in rules]}


def explained(message: str) -> JsonDict:
    """Make a pattern answer with `message` instead of showing its regular expression."""
    return {PATTERN_MESSAGE: message}


def list_map(*keys: str) -> JsonDict:
    """Return the schema extension of a list whose items are told apart by `keys`."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


SET: JsonDict = {"x-kubernetes-list-type": "set"}
ATOMIC: JsonDict = {"x-kubernetes-list-type": "atomic"}
WRITTEN: JsonDict = {WRITTEN_DEFAULT: True}
"""Has the API server write this field's default into the object: a later release cannot change it."""
IMMUTABLE = cel(("self == oldSelf", "spec is immutable: create another object instead"))


def _to_whole_second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def rfc3339(moment: datetime) -> str:
    """Return a moment as the API writes it: UTC, whole seconds."""
    return moment.isoformat()[:19] + "Z"  # strftime leaves years before 1000 unpadded


def _integer_to_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Timestamp = Annotated[
    AwareDatetime, AfterValidator(_to_whole_second), PlainSerializer(rfc3339, return_type=str, when_used="json")
]
"""A moment in UTC, in whole seconds."""

Text = Annotated[str, Field(max_length=256)]
LongText = Annotated[str, Field(max_length=4096)]
Count = Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER)]
Sequence = Annotated[int, Field(ge=1, le=9_999_999_999)]
"""The number of a DecisionRecord: from 1, at most ten digits."""
ReplicaCount = Annotated[int, Field(ge=0, le=100_000)]

_SHA256_PATTERN = "^sha256:[0-9a-f]{64}$"

Hash = Annotated[
    str,
    Field(
        max_length=71,
        pattern=_SHA256_PATTERN,
        json_schema_extra=explained("a hash is sha256: and 64 lower-case hexadecimal digits"),
    ),
]

Digest = Annotated[
    str,
    Field(
        max_length=71,
        pattern=_SHA256_PATTERN,
        json_schema_extra=explained(
            "a digest is sha256: and 64 lower-case hexadecimal digits; `penstock digest FILE` prints it"
        ),
    ),
]

Revision = Annotated[
    str,
    Field(
        max_length=12,
        pattern="^[0-9a-f]{12}$",
        json_schema_extra=explained("a revision is 12 lower-case hexadecimal digits"),
    ),
]

Uid = Annotated[
    str,
    Field(
        max_length=36,
        pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        json_schema_extra=explained("a uid is written 8-4-4-4-12 in lower-case hexadecimal digits"),
    ),
]

MODEL_NAME_PATTERN = "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"
MODEL_NAME_MESSAGE = (
    "the name of a Model has at most 40 lower-case letters, digits and '-', starts with a letter "
    "and ends with a letter or digit"
)
ModelName = Annotated[
    str, Field(max_length=40, pattern=MODEL_NAME_PATTERN, json_schema_extra=explained(MODEL_NAME_MESSAGE))
]

ObjectName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        json_schema_extra=explained(
            "a name has lower-case letters, digits, '-' and '.' only, as the object's own name"
        ),
    ),
]

NamespaceName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        json_schema_extra=explained("a namespace has lower-case letters, digits and '-' only"),
    ),
]

CamelCaseWord = Annotated[str, Field(min_length=1, max_length=128, pattern="^[A-Z][A-Za-z0-9]*$")]
"""A CamelCase word that programs may compare."""

MESSAGE_LIMIT = 2048
Message = Annotated[str, Field(max_length=MESSAGE_LIMIT)]

ImageByDigest = Annotated[
    str,
    Field(
        max_length=512,
        pattern="^[a-zA-Z0-9][-a-zA-Z0-9._/:]*@sha256:[0-9a-f]{64}$",
        json_schema_extra=explained(
            "an image is pinned by digest: end it with @sha256: and 64 lower-case hexadecimal digits"
        ),
    ),
]

Quantity = Annotated[
    str,
    BeforeValidator(_integer_to_text),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 32,
        }
    ),
]
"""A Kubernetes quantity such as 500m, 2 or 1Gi; integers are read as text."""

Decimal = Annotated[
    str,
    Field(
        min_length=1,
        max_length=48,
        pattern="^-?[0-9]{1,20}([.][0-9]{1,20})?([eE][-+]?[0-9]{1,2})?$",
        json_schema_extra=explained('a number is written as text, such as "0", "-1.5" or "6e3"'),
    ),
]

PositiveDecimal = Annotated[
    Decimal, Field(json_schema_extra=cel(("double(self) > 0.0", "the number is larger than 0")))
]

Fraction = Annotated[
    str,
    Field(
        min_length=1,
        max_length=12,
        pattern="^(0([.][0-9]{1,9})?|1([.]0{1,9})?)$",
        json_schema_extra=explained('a fraction is written as text from "0" to "1", such as "0.01"'),
    ),
]
