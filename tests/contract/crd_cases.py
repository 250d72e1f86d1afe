"""What the API server must accept and refuse: one case per rule, with the sentence a user reads."""

from dataclasses import dataclass, field
from typing import Any

from tests.contract.manifests import (
    ABSENT,
    CUSTOM_MODEL,
    DIGEST,
    HEX,
    IMAGE,
    MODEL,
    OTHER_DIGEST,
    REVISION,
    UID,
    Json,
    record,
)

Changes = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A rule: what it says, manifests that pass it and manifests that do not."""

    id: str
    message: str
    bad: list[Changes]
    good: list[Changes] = field(default_factory=lambda: [{}])
    base: Json = field(default_factory=lambda: MODEL)


def _each(path: str, *values: Any) -> list[Changes]:
    return [{path: value} for value in values]


_TOLERATIONS = "spec.serving.pod.tolerations"
_REQUESTS, _LIMITS = "spec.serving.resources.requests", "spec.serving.resources.limits"
_HASH_MESSAGE = "a hash is sha256: and 64 lower-case hexadecimal digits"

MODEL_CASES = [
    Case(
        "name",
        "the name of a Model has at most 40 lower-case letters, digits and '-', starts with a letter "
        "and ends with a letter or digit",
        bad=_each("metadata.name", "1-delay", "a.b", "a" * 41),
        good=_each("metadata.name", "a", "a" * 40, "a-1"),
    ),
    Case(
        "card of a high risk",
        "a Model with risk: High needs card.purpose and card.limitations",
        bad=_each("spec.card", {"risk": "High"}, {"risk": "High", "purpose": "x"}),
        good=[
            {
                "spec.card": {"risk": "High", "purpose": "x", "limitations": "y"},
                "spec.rollout": {"gates": [{"name": "g"}], "approval": {"required": True}},
            },
            *_each("spec.card", {"risk": "Limited"}, {}),
        ],
    ),
    Case(
        "uri",
        "artifact.uri is oci://REGISTRY/REPOSITORY[:TAG][@DIGEST] or https://HOST/PATH, without a password",
        bad=_each(
            "spec.artifact.uri",
            "",
            "s3://bucket/model",
            "http://example.com/model",
            "oci://registry.example.com",
            "oci://registry.example.com/Upper",
            "oci://registry.example.com/m@sha256:short",
            "oci://registry.example.com/m\n",
            "https://user:secret@example.com/m",
            "https://example.com/a b",
            "https://example.com",
        ),
        good=_each(
            "spec.artifact.uri",
            "oci://localhost:5000/m",
            "oci://registry.example.com/a/b-c_d.e:V1.0-x",
            "https://example.com:8443/a/model.onnx?download=1&x=%20",
        ),
    ),
    Case(
        "digest in the uri",
        "the digest in artifact.uri and artifact.digest differ; write the same one or leave it out of the uri",
        bad=_each("spec.artifact.uri", f"oci://registry.example.com/m@{OTHER_DIGEST}"),
        good=_each("spec.artifact.uri", f"oci://registry.example.com/m@{DIGEST}", "https://example.com/@scope/m"),
    ),
    Case(
        "digest",
        "a digest is sha256: and 64 lower-case hexadecimal digits; `penstock digest FILE` prints it",
        bad=_each("spec.artifact.digest", HEX, "sha256:" + HEX[1:], "sha256:" + HEX.upper(), "sha512:" + HEX),
    ),
    Case(
        "format Custom",
        "artifact.format: Custom needs serving.runtime: Custom",
        bad=[{"spec.artifact.format": "Custom"}, {"spec.artifact.format": "Custom", "spec.serving": {}}],
        good=[
            {"spec.artifact.format": "Skops"},
            {"spec.artifact": CUSTOM_MODEL["spec"]["artifact"]} | {"spec.serving": CUSTOM_MODEL["spec"]["serving"]},
        ],
    ),
    Case(
        "runtime Custom",
        "runtime: Custom needs serving.custom with your server's image",
        bad=[{"spec.serving.custom": ABSENT}],
        base=CUSTOM_MODEL,
    ),
    Case(
        "runtime Penstock",
        "serving.custom is for runtime: Custom; remove it or set runtime: Custom",
        bad=[
            {"spec.serving": {"custom": {"image": IMAGE, "port": 80}}},
            {"spec.serving": {"runtime": "Penstock", "custom": {"image": IMAGE, "port": 80}}},
        ],
        good=_each("spec.serving", {}, {"runtime": "Penstock"}),
    ),
    Case(
        "image",
        "an image is pinned by digest: end it with @sha256: and 64 lower-case hexadecimal digits",
        bad=_each("spec.serving.custom.image", "", "server", "server:1", f"@{DIGEST}", f"a b@{DIGEST}", IMAGE + "0"),
        good=_each("spec.serving.custom.image", f"server@{DIGEST}", f"localhost:5000/a/b:1@{DIGEST}"),
        base=CUSTOM_MODEL,
    ),
    Case(
        "variable",
        "a variable's name has letters, digits and '_' and does not start with a digit",
        bad=_each("spec.serving.custom.env", [{"name": "1A", "value": ""}], [{"name": "A-B", "value": ""}]),
        good=_each("spec.serving.custom.env", [{"name": "_a1", "value": ""}], []),
        base=CUSTOM_MODEL,
    ),
    Case(
        "resource name",
        "a resource is cpu, memory, ephemeral-storage or an extended one such as nvidia.com/gpu",
        bad=[{_REQUESTS: {"mem": 1}}, {_LIMITS: {"gpu": 1}}, {_LIMITS: {"a/b/c": 1}}],
        good=[
            {_REQUESTS: {"cpu": 1, "memory": "64Mi", "ephemeral-storage": "1Gi"}},
            {_LIMITS: {"nvidia.com/gpu": 1}},
        ],
    ),
    Case(
        "quantity",
        "a quantity is a number with or without a unit, such as 500m, 2 or 1Gi",
        bad=_each(
            _REQUESTS, {"cpu": -1}, {"cpu": "-1"}, {"cpu": ""}, {"cpu": "1e3"}, {"memory": "1 Gi"}, {"cpu": "1."}
        ),
        good=_each(_REQUESTS, {"cpu": 0}, {"cpu": "0.5"}, {"cpu": "250m"}, {"memory": "1.5Gi"}, {"memory": "1G"}),
    ),
    Case(
        "request and limit",
        "a request is larger than its limit; lower resources.requests or raise resources.limits",
        bad=[
            {_REQUESTS: {"cpu": 2}, _LIMITS: {"cpu": "1500m"}},
            {_REQUESTS: {"memory": "1G"}, _LIMITS: {"memory": "900Mi"}},
        ],
        good=[
            {_REQUESTS: {"cpu": "1"}, _LIMITS: {"cpu": "1000m", "memory": "1Gi"}},
            {_REQUESTS: {"memory": "1G"}, _LIMITS: {"memory": "1Gi"}},
        ],
    ),
    Case(
        "extended resource",
        "an extended resource such as nvidia.com/gpu needs a limit that is written like its request",
        bad=[
            {_REQUESTS: {"nvidia.com/gpu": 1}},
            {_REQUESTS: {"nvidia.com/gpu": 1}, _LIMITS: {"nvidia.com/gpu": 2}},
        ],
        good=[
            {_REQUESTS: {"nvidia.com/gpu": 1}, _LIMITS: {"nvidia.com/gpu": "1"}},
            {_LIMITS: {"nvidia.com/gpu": 1}},
        ],
    ),
    Case(
        "label value",
        "a label value has at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends",
        bad=[
            {"spec.serving.pod.nodeSelector": {"a": "-b"}},
            {_TOLERATIONS: [{"key": "a", "value": "b c"}]},
        ],
        good=[
            {"spec.serving.pod.nodeSelector": {"a": "", "b": "x_1.y-z"}},
            {_TOLERATIONS: [{"key": "a", "value": "b"}]},
        ],
    ),
    Case(
        "label key",
        "a key of nodeSelector is a label key, such as kubernetes.io/arch",
        bad=_each("spec.serving.pod.nodeSelector", {"a b": "c"}, {"": "c"}, {"a" * 64: "c"}, {"Up.io/a": "c"}),
        good=_each("spec.serving.pod.nodeSelector", {"disk": "ssd"}, {"example.com/Zone_1": "a"}),
    ),
    Case(
        "taint key",
        "a taint's key is a label key, such as example.com/dedicated",
        bad=_each(_TOLERATIONS, [{"key": "a b"}], [{"key": "/a"}]),
        good=_each(_TOLERATIONS, [{"key": "a"}], [{"key": "example.com/a"}]),
    ),
    Case(
        "toleration without key",
        "a toleration without a key needs operator: Exists",
        bad=_each(_TOLERATIONS, [{}], [{"operator": "Equal", "value": "a"}]),
        good=_each(_TOLERATIONS, [{"operator": "Exists"}]),
    ),
    Case(
        "toleration with value",
        "a toleration with operator: Exists takes no value",
        bad=_each(_TOLERATIONS, [{"key": "a", "operator": "Exists", "value": "b"}]),
        good=_each(
            _TOLERATIONS, [{"key": "a", "operator": "Equal", "value": "b"}], [{"key": "a", "operator": "Exists"}]
        ),
    ),
    Case(
        "toleration seconds",
        "tolerationSeconds needs effect: NoExecute",
        bad=_each(
            _TOLERATIONS,
            [{"key": "a", "tolerationSeconds": 1}],
            [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}],
        ),
        good=_each(_TOLERATIONS, [{"key": "a", "effect": "NoExecute", "tolerationSeconds": 0}]),
    ),
    Case(
        "object name",
        "a name has lower-case letters, digits, '-' and '.' only, as the object's own name",
        bad=[
            {"spec.serving.pod.imagePullSecrets": [{"name": "A"}]},
            {"spec.serving.pod.priorityClassName": "a_b"},
            {"spec.route.gatewayRef": {"name": "-a"}},
            {"spec.route.gatewayRef": {"name": "a", "sectionName": "HTTPS"}},
        ],
        good=[{"spec.serving.pod.imagePullSecrets": [{"name": "a.b-c"}]}, {"spec.route.gatewayRef": {"name": "a"}}],
    ),
    Case(
        "namespace name",
        "a namespace has lower-case letters, digits and '-' only",
        bad=_each("spec.route.gatewayRef", {"name": "a", "namespace": "a.b"}),
        good=_each("spec.route.gatewayRef", {"name": "a", "namespace": "a-b"}),
    ),
    Case(
        "hostname",
        "a hostname has lower-case letters, digits, '-' and '.' only, without a wildcard",
        bad=_each("spec.route.hostnames", ["A.example.com"], ["*.example.com"], ["a..b"], ["a:80"], ["a" * 64]),
        good=_each("spec.route.hostnames", ["a.example.com", "b"], []),
    ),
    Case(
        "address as hostname",
        "a hostname is a DNS name, not an IP address",
        bad=_each("spec.route.hostnames", ["10.0.0.1"]),
        good=_each("spec.route.hostnames", ["10.0.0.1.example.com"]),
    ),
    Case(
        "path characters",
        "pathPrefix has letters, digits, '-', '.', '_', '~' and '/' only",
        bad=_each("spec.route.pathPrefix", "/a b", "/a%2fb", "/a?b", "/a#b", "/ä"),
        good=_each("spec.route.pathPrefix", "/a-b/c.d/_e/~f"),
    ),
    Case("path start", "pathPrefix starts with /", bad=_each("spec.route.pathPrefix", "a", "a/b")),
    Case(
        "path twice",
        "pathPrefix has no empty segment: write / once",
        bad=_each("spec.route.pathPrefix", "//", "/a//b"),
        good=_each("spec.route.pathPrefix", "/a/b"),
    ),
    Case(
        "path dots",
        "pathPrefix has no segment . or ..: write the path it means",
        bad=_each("spec.route.pathPrefix", "/a/../b", "/..", "/./a"),
        good=_each("spec.route.pathPrefix", "/a..b", "/.well-known/a"),
    ),
    Case(
        "path end",
        "pathPrefix does not end with /: leave the last one out",
        bad=_each("spec.route.pathPrefix", "/a/"),
        good=_each("spec.route.pathPrefix", "/a"),
    ),
    Case(
        "whole gateway",
        "pathPrefix: / would take the whole Gateway; name route.hostnames too or choose a longer path",
        bad=_each("spec.route", {"pathPrefix": "/"}, {"pathPrefix": "/", "hostnames": []}),
        good=_each("spec.route", {"pathPrefix": "/", "hostnames": ["a.example.com"]}),
    ),
    Case(
        "rollback window",
        "rollbackFullSeconds must not be longer than rollbackWindowSeconds (86400 if not set)",
        bad=_each(
            "spec.rollout", {"rollbackFullSeconds": 86401}, {"rollbackFullSeconds": 2, "rollbackWindowSeconds": 1}
        ),
        good=_each(
            "spec.rollout",
            {"rollbackWindowSeconds": 1},
            {"rollbackFullSeconds": 86400},
            {"rollbackFullSeconds": 1, "rollbackWindowSeconds": 1},
        ),
    ),
]

OPERATOR_CASES = [
    Case(
        "revision name",
        "a ModelRevision is named MODEL-UID8-REVISION after its spec",
        bad=[{"metadata.name": "flight-delay"}, {"spec.revision": "ffffffffffff"}],
        base=REVISION,
    ),
    Case(
        "revision digits",
        "a revision is 12 lower-case hexadecimal digits",
        bad=_each("spec.parentRevision", "ABCDEF012345", "0123456789a"),
        good=_each("spec.parentRevision", "abcdef012345", ABSENT),
        base=REVISION,
    ),
    Case(
        "uid",
        "a uid is written 8-4-4-4-12 in lower-case hexadecimal digits",
        bad=_each("spec.modelUID", UID.replace("-", "."), UID.upper()),
        base=REVISION,
    ),
    Case("hash", _HASH_MESSAGE, bad=_each("spec.specHash", HEX, "sha256:"), base=REVISION),
    Case(
        "record name",
        "a DecisionRecord is named MODEL-UID8-SEQUENCE after its spec, with ten digits of sequence",
        bad=[
            {"metadata.name": f"flight-delay-{UID[:8]}-1"},
            {"metadata.name": f"flight-delay-{UID[:8]}-0000000002"},
            {"metadata.name": f"flight-delay-{UID[:8]}-00000000001"},
            {"metadata.name": f"flight-dela-{UID[:8]}-0000000001"},
        ],
        base=record(),
    ),
    Case(
        "first record",
        "every record but the first names the hash of the one before it",
        bad=[{"spec.previousHash": DIGEST}],
        base=record(),
    ),
    Case(
        "later record",
        "every record but the first names the hash of the one before it",
        bad=[{"spec.previousHash": ABSENT}],
        base=record(2),
    ),
]

BOUNDS = [
    ("spec.artifact", ABSENT, "Required value"),
    ("spec.artifact.digest", ABSENT, "spec.artifact.digest: Required value"),
    ("spec.artifact.format", "Pickle", 'supported values: "ONNX", "Skops", "Custom"'),
    ("spec.serving.runtime", "Triton", 'supported values: "Penstock", "Custom"'),
    ("spec.serving.replicas", 0, "should be greater than or equal to 1"),
    ("spec.serving.replicas", 1001, "should be less than or equal to 1000"),
    ("spec.serving.replicas", 1.5, "must be of type integer"),
    ("spec.serving.resources.requests", {"cpu": 0.5}, "must be of type integer,string"),
    ("spec.serving.pod.terminationGracePeriodSeconds", 3601, "should be less than or equal to 3600"),
    ("spec.serving.pod.imagePullSecrets", [{"name": "a"}, {"name": "a"}], "Duplicate value"),
    ("spec.route.hostnames", ["a.example.com", "a.example.com"], "Duplicate value"),
    ("spec.route.hostnames", [f"h{i}.example.com" for i in range(17)], "must have at most 16 items"),
    ("spec.rollout.stageDeadlineSeconds", 29, "should be greater than or equal to 30"),
    ("spec.rollout.stageDeadlineSeconds", 2_592_001, "should be less than or equal to 2592000"),
    ("spec.rollout.warmReplicas", 101, "should be less than or equal to 100"),
    ("spec.owner", {}, "spec.owner.team: Required value"),
    ("spec.card.purpose", "x" * 4097, "may not be more than 4096"),
    ("spec.gates", [], 'unknown field "spec.gates"'),
    (
        "spec.serving.custom.env",
        [{"name": "A", "valueFrom": {}}],
        'unknown field "spec.serving.custom.env[0].valueFrom"',
    ),
]
"""Limits without a sentence of our own: path in a Model, value, and a part of the server's message."""
