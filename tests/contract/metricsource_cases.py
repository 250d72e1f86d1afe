"""What the API server must accept and refuse of a MetricSource."""

from typing import Any

from tests.contract.crd_cases import Case, Changes
from tests.contract.manifests import ABSENT, Json

METRIC_SOURCE: Json = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "MetricSource",
    "metadata": {"name": "prometheus"},
    "spec": {"type": "Prometheus", "url": "https://prometheus.monitoring.svc:9090"},
}

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

FULL_METRIC_SOURCE: Json = METRIC_SOURCE | {
    "spec": {
        "type": "Prometheus",
        "url": "https://prometheus.example.com/tenant/a",
        "tls": {"caBundle": PEM, "insecureSkipVerify": False},
        "headerSecretRef": {"name": "prometheus", "key": "token", "header": "X-Scope-OrgID"},
        "allowedNamespaces": ["airline", "harbour"],
        "tenantLabel": "exported_namespace",
        "scrapeIntervalSeconds": 30,
    }
}


def _each(path: str, *values: Any) -> list[Changes]:
    return [{path: value} for value in values]


def _header(*values: Json) -> list[Changes]:
    return [{"spec.headerSecretRef": {"name": "a", "key": "b"} | value} for value in values]


METRIC_SOURCE_CASES = [
    Case(
        "metric source url",
        "url is http://HOST or https://HOST, with a port and a path where needed, and without user, query and fragment",
        bad=_each(
            "spec.url",
            "prometheus:9090",
            "ftp://prometheus",
            "http://user:secret@prometheus",
            "http://prometheus?query=up",
            "http://prometheus/#here",
            "http://",
            "http://-a",
            "http://a b",
        ),
        good=_each("spec.url", "http://a", "https://a.b.svc:9090/", "http://10.0.0.1:9090/select/0/prometheus"),
        base=METRIC_SOURCE,
    ),
    Case(
        "metric source needs a url",
        "type: Prometheus needs a url, which is for it alone",
        bad=[{"spec.url": ABSENT}, {"spec.type": "Scrape"}],
        good=[{}, {"spec": {"type": "Scrape"}}],
        base=METRIC_SOURCE,
    ),
    Case(
        "metric source of pods",
        "tls and headerSecretRef are for type: Prometheus",
        bad=[
            {"spec": {"type": "Scrape", "headerSecretRef": {"name": "a", "key": "b"}}},
            {"spec": {"type": "Scrape", "tls": {"insecureSkipVerify": True}}},
        ],
        good=[{"spec": {"type": "Scrape", "allowedNamespaces": ["a"]}}],
        base=METRIC_SOURCE,
    ),
    Case(
        "metric source tls needs https",
        "tls needs a url that begins with https://",
        bad=[{"spec.url": "http://a", "spec.tls": {"insecureSkipVerify": True}}],
        good=[{"spec.tls": {"insecureSkipVerify": True}}],
        base=METRIC_SOURCE,
    ),
    Case(
        "metric source tls says one thing",
        "caBundle has no effect with insecureSkipVerify: true; write one of them",
        bad=_each("spec.tls", {"caBundle": PEM, "insecureSkipVerify": True}),
        good=_each("spec.tls", {"caBundle": PEM, "insecureSkipVerify": False}, {"caBundle": PEM}, {}),
        base=METRIC_SOURCE,
    ),
    Case(
        "metric source caBundle",
        "caBundle is a certificate in PEM form, or several; it begins with -----BEGIN CERTIFICATE-----",
        bad=_each("spec.tls", {"caBundle": "TUlJ"}, {"caBundle": ""}),
        good=_each("spec.tls", {"caBundle": PEM}),
        base=METRIC_SOURCE,
    ),
    Case(
        "metric source secret key",
        "a key of a Secret has letters, digits, '-', '_' and '.' only",
        bad=_header({"key": "a/b"}, {"key": "a b"}),
        good=_header({"key": "a.b-c_D"}),
        base=METRIC_SOURCE,
    ),
    Case(
        "metric source secret key stays in its folder",
        "a key of a Secret does not start with ..",
        bad=_header({"key": ".."}, {"key": "..data"}),
        good=_header({"key": ".a"}),
        base=METRIC_SOURCE,
    ),
    Case(
        "metric source header",
        "the name of a header has letters, digits and '-' only",
        bad=_header({"header": "A b"}, {"header": "A:"}, {"header": "A\nb"}),
        good=_header({}, {"header": "X-Scope-OrgID"}),
        base=METRIC_SOURCE,
    ),
    Case(
        "metric source header of the connection",
        "this header belongs to the connection; name one that the server reads, such as Authorization",
        bad=_header({"header": "Host"}, {"header": "content-length"}),
        good=_header({"header": "Authorization"}),
        base=METRIC_SOURCE,
    ),
    Case(
        "metric source tenant label",
        "a label has letters, digits and '_' only and does not start with a digit",
        bad=_each("spec.tenantLabel", "a-b", "1a", 'a"}', "k8s.namespace"),
        good=_each("spec.tenantLabel", "namespace", "_a1"),
        base=METRIC_SOURCE,
    ),
    Case(
        "metric source tenant label is a label",
        "the label of the tenant is not the metric's name",
        bad=_each("spec.tenantLabel", "__name__"),
        good=_each("spec.tenantLabel", "__tenant_id__"),
        base=METRIC_SOURCE,
    ),
    Case(
        "metric source namespaces",
        "a namespace has lower-case letters, digits and '-' only",
        bad=_each("spec.allowedNamespaces", ["A"], ["*"]),
        good=_each("spec.allowedNamespaces", ["a", "b-1"]),
        base=METRIC_SOURCE,
    ),
]

METRIC_SOURCE_BOUNDS: list[tuple[Changes, str]] = [
    ({"spec.type": "OpenCost"}, 'supported values: "Prometheus", "Scrape"'),
    ({"spec.type": ABSENT}, "Required value"),
    ({"spec.url": "http://" + "a" * 506}, "Too long"),
    ({"spec.tls": {"caBundle": "-----BEGIN CERTIFICATE-----" + "a" * 65536}}, "Too long"),
    ({"spec.allowedNamespaces": []}, "should have at least 1 items"),
    ({"spec.allowedNamespaces": ["a", "a"]}, "Duplicate value"),
    ({"spec.allowedNamespaces": [f"n{number}" for number in range(1001)]}, "must have at most 1000 items"),
    ({"spec.allowedNamespaces": ["a" * 64]}, "Too long"),
    ({"spec.tenantLabel": "a" * 129}, "Too long"),
    ({"spec.tenantLabel": ""}, "should be at least 1 chars long"),
    ({"spec.scrapeIntervalSeconds": 0}, "should be greater than or equal to 1"),
    ({"spec.scrapeIntervalSeconds": 301}, "should be less than or equal to 300"),
    ({"spec.headerSecretRef": {"name": "a"}}, "Required value"),
    ({"spec.headerSecretRef": {"name": "a", "key": "a" * 254}}, "Too long"),
    ({"spec.headerSecretRef": {"name": "a", "key": "b", "header": "A" * 65}}, "Too long"),
    ({"spec.query": "up"}, 'unknown field "spec.query"'),
]
