"""Counts of requests out of Prometheus: what the gateway's Envoys count per pod, or what the model servers count."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from penstock.domain.canary.counters import PodCounts, Reading, part
from penstock.metrics import runtime
from penstock.metrics.problems import Problem, SourceUnavailable
from penstock.metrics.promapi import PrometheusApi, Series
from penstock.metrics.promql import escaped, literal
from penstock.metrics.provider import TrackQuery
from penstock.metrics.samples import count_of, moment_of

ERRORS = "envoy_cluster_endpoint_rq_error"
SUCCESSES = "envoy_cluster_endpoint_rq_success"


class GatewayCounts:
    """Requests as Envoy counts them for each endpoint (`enablePerEndpointStats`), summed over its clusters of a rule.

    Errors are answers with 5xx, connections that failed or were reset, and timeouts: Envoy counts all of these in
    rq_error, and a timeout in rq_timeout besides. The total is rq_success + rq_error: rq_total has the requests under
    way too, and lacks those that found no connection.

    Only the Model's first rule counts: previews have one of their own, and mirrored requests a cluster of their own.
    Each Envoy's counts of a pod have their own key, as an Envoy that starts anew counts from 0.
    """

    label = "gateway"

    def __init__(self, api: PrometheusApi, window_seconds: int) -> None:
        self._api = api
        self._window = window_seconds

    async def read(self, query: TrackQuery) -> Reading:
        """See `MetricProvider`."""
        pods = _by_instance(query.pods, query.ports)
        cluster = f"httproute/{escaped(query.namespace)}/{escaped(query.model)}/rule/0(/backend/[0-9]+)?"
        selector = (
            f'{{__name__=~"{ERRORS}|{SUCCESSES}",envoy_cluster_name=~{literal(cluster)},'
            f"envoy_endpoint_address=~{_any_of(pods)}}}"
        )
        groups: dict[tuple[str, str], list[Series]] = defaultdict(list)
        for series in await self._api.window(selector, self._window):
            pod = pods.get(series.labels.get("envoy_endpoint_address", ""))
            if pod is not None:
                groups[pod, series.labels.get("instance", "")].append(series)
        counted = {}
        for (pod, envoy), group in groups.items():
            at = newest(group, query.since)
            if at is not None:
                counted[part(pod, envoy)] = (at, _endpoint(pod, envoy, group, at))
        return _reading(counted, query, "no Envoy that Prometheus scrapes has counters of these pods")


class RuntimeCounts:
    """Requests as the built-in model servers count them; their latency too. Shadow requests are not counted."""

    label = "runtime"

    def __init__(self, api: PrometheusApi, window_seconds: int) -> None:
        self._api = api
        self._window = window_seconds

    async def read(self, query: TrackQuery) -> Reading:
        """See `MetricProvider`."""
        pods = _by_instance(query.pods, dict.fromkeys(query.pods, query.metrics_port))
        selector = f'{{__name__=~"{"|".join(runtime.NAMES)}",instance=~{_any_of(pods)}}}'
        groups: dict[str, list[Series]] = defaultdict(list)
        for series in await self._api.window(selector, self._window):
            pod = pods.get(series.labels.get("instance", ""))
            if pod is not None:
                groups[pod].append(series)
        counted = {}
        for pod, group in groups.items():
            at = newest(group, query.since)
            if at is not None:
                _refuse_duplicates(group, ("__name__", "model", "revision", "code", "le", "role"), f"pod {pod}")
                taken = [(series.name, series.labels, series.samples[at]) for series in group if at in series.samples]
                counts = runtime.counts(taken, pod)
                if counts is not None:
                    counted[pod] = (at, counts)
        return _reading(counted, query, "Prometheus has no counters of these pods' model servers")


def newest(group: Iterable[Series], since: datetime | None = None) -> float | None:
    """Return when a target was last scraped, by its series; None if not after `since`.

    All series of one scrape carry the same time, so that a series without a sample then is gone.
    """
    last = max((at for series in group for at in series.samples), default=None)
    return None if last is None or (since is not None and moment_of(last) < since) else last


def _endpoint(pod: str, envoy: str, group: list[Series], at: float) -> PodCounts:
    _refuse_duplicates(group, ("__name__", "envoy_cluster_name"), f"the Envoy at {envoy or 'an unnamed instance'}")
    sums = {ERRORS: 0, SUCCESSES: 0}
    for series in group:
        if at in series.samples:
            sums[series.name] += count_of(series.samples[at], f"{series.name} of pod {pod}")
    return PodCounts(None, errors=sums[ERRORS], total=sums[ERRORS] + sums[SUCCESSES])


def _refuse_duplicates(group: Iterable[Series], names: tuple[str, ...], what: str) -> None:
    """Refuse a target that is scraped twice: its counts would be doubled, or jump between two histories."""
    seen = set()
    for series in group:
        key = tuple(series.labels.get(name) for name in names)
        if key in seen:
            raise SourceUnavailable(
                Problem.DUPLICATE, f"Prometheus has the counters of {what} twice; scrape it by one job only"
            )
        seen.add(key)


def _reading(counted: Mapping[str, tuple[float, PodCounts]], query: TrackQuery, missing: str) -> Reading:
    if not counted:
        raise SourceUnavailable(Problem.NO_DATA, f"{missing}, or none that is young enough")
    latest = max(at for at, _ in counted.values())
    return Reading(moment_of(latest), {key: counts for key, (_, counts) in counted.items()})


def _by_instance(pods: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """Return address:port -> pod, in the form of Envoy and of Prometheus."""
    if not pods:
        raise SourceUnavailable(Problem.NO_DATA, "there is no pod to ask for")
    found = {}
    for pod, address in pods.items():
        ip = ipaddress.ip_address(address)
        found[f"[{ip}]:{ports[pod]}" if ip.version == 6 else f"{ip}:{ports[pod]}"] = pod
    return found


def _any_of(instances: Iterable[str]) -> str:
    return literal("|".join(escaped(instance) for instance in sorted(instances)))
