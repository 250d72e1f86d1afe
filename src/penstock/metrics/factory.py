"""Which source counts for a Model, and who may ask it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from penstock.api.v1alpha1.metricsource import MetricSource, MetricSourceSpec, SourceTls, SourceType
from penstock.metrics.http import HttpClient
from penstock.metrics.problems import Problem, SourceUnavailable
from penstock.metrics.promapi import Endpoint, Header, PrometheusApi
from penstock.metrics.prometheus import GatewayCounts, RuntimeCounts
from penstock.metrics.provider import MetricProvider
from penstock.metrics.scrape import Scrape
from penstock.metrics.userqueries import UserMetrics

YOUNG_SECONDS = 30
"""How old a sample may be at least; three scrape intervals if that is longer."""

Lookup = Callable[[str], MetricSource | None]
"""Finds a MetricSource by its name."""


class Counters(StrEnum):
    """Who counts the requests that a default MetricSource is asked for."""

    GATEWAY = "Gateway"
    RUNTIME = "Runtime"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The sources of a Model's numbers; both are the same object where one answer holds both.

    Attributes:
        requests: requests and errors.
        latency: the histogram of durations, which the gateway has only for the whole route.
        label: what status and log say: who counts and who was asked, such as "gateway (prometheus)".
        interval_seconds: between two numbers of the same pod; 0 if it is asked at each reading.
    """

    requests: MetricProvider
    latency: MetricProvider
    label: str
    interval_seconds: int = 0


class SourceFactory:
    """Makes sources out of MetricSources.

    Attributes of the configuration: `default` is the MetricSource that counts requests, the pods are asked directly
    if it is empty. `secrets` is the folder of the Secrets that the chart mounts: SECRET/KEY.
    """

    def __init__(
        self,
        lookup: Lookup,
        client: HttpClient,
        *,
        default: str = "",
        counters: Counters = Counters.GATEWAY,
        secrets: Path = Path("/etc/penstock-headers"),
    ) -> None:
        self._lookup = lookup
        self._client = client
        self._default = default
        self._counters = counters
        self._secrets = secrets
        self._scrape = Scrape(client)

    def choose(self, namespace: str, *, routed_by_gateway: bool) -> Chosen:
        """Return what counts the requests of a Model of `namespace`.

        The choice follows from the configuration alone, never from who answers at the moment: counts of two sources
        must not be mixed within a rollout. Raises SourceUnavailable if the default source is missing or not for it.
        """
        if not self._default:
            return Chosen(self._scrape, self._scrape, f"{Scrape.label} (scrape)")
        spec = self._admitted(self._default, namespace)
        if spec.type is SourceType.SCRAPE:
            return Chosen(self._scrape, self._scrape, f"{Scrape.label} (scrape)")
        api, window = self._api(spec), _window(spec)
        runtime = RuntimeCounts(api, window)
        requests: MetricProvider = runtime
        if self._counters is Counters.GATEWAY and routed_by_gateway:
            requests = GatewayCounts(api, window)
        return Chosen(requests, runtime, f"{requests.label} ({self._default})", spec.scrape_interval_seconds)

    def user_metrics(self, source: str, namespace: str) -> UserMetrics:
        """Return what answers the queries of a Model of `namespace` over the MetricSource `source`.

        Raises SourceUnavailable if there is none of that name, it is not for that namespace or answers no queries.
        """
        spec = self._admitted(source, namespace)
        if spec.type is not SourceType.PROMETHEUS:
            raise SourceUnavailable(
                Problem.BAD_SOURCE, f"MetricSource {source} answers no queries; name one of type: Prometheus"
            )
        return UserMetrics(
            self._api(spec), tenant_label=spec.tenant_label, namespace=namespace, window_seconds=_window(spec)
        )

    def _admitted(self, name: str, namespace: str) -> MetricSourceSpec:
        source = self._lookup(name)
        if source is None:
            raise SourceUnavailable(Problem.MISSING, f"there is no MetricSource {name}")
        if not source.spec.admits(namespace):
            raise SourceUnavailable(
                Problem.NOT_ADMITTED, f"MetricSource {name} is not for namespace {namespace}; see allowedNamespaces"
            )
        return source.spec

    def _api(self, spec: MetricSourceSpec) -> PrometheusApi:
        if spec.url is None:
            raise SourceUnavailable(Problem.BAD_SOURCE, "the MetricSource has no url")
        reference = spec.header_secret_ref
        header = Header(reference.header, self._secrets / reference.name / reference.key) if reference else None
        return PrometheusApi(self._client, Endpoint(spec.url, _tls(spec.tls), header))


def _window(spec: MetricSourceSpec) -> int:
    return max(YOUNG_SECONDS, 3 * spec.scrape_interval_seconds)


def _tls(tls: SourceTls | None) -> ssl.SSLContext | bool:
    if tls is None:
        return True
    if tls.insecure_skip_verify:
        return False
    if tls.ca_bundle is None:
        return True
    try:
        return ssl.create_default_context(cadata=tls.ca_bundle)
    except (ssl.SSLError, ValueError) as error:
        raise SourceUnavailable(Problem.BAD_SOURCE, "tls.caBundle holds no certificate that can be read") from error
