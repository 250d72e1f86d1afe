"""Prometheus metrics of the toolkit, named as controller-runtime names them so that its dashboards work."""

from __future__ import annotations

from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_DURATIONS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


C = TypeVar("C", Counter, Gauge, Histogram)


class Children(Generic[C]):
    """The children of a labelled metric, by label values: finding one by `labels` is slow where it is done often."""

    def __init__(self, metric: C) -> None:
        self._metric: C = metric
        self._known: dict[tuple[object, ...], C] = {}

    def __call__(self, *values: object) -> C:
        """Return the child with these label values."""
        child = self._known.get(values)
        if child is None:
            child = self._known[values] = self._metric.labels(*map(str, values))
        return child


class KubeMetrics:
    """All metrics of one process; without a registry they live in a private one and are simply not exported."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        to = registry if registry is not None else CollectorRegistry()
        self.requests = Counter(
            "rest_client_requests", "Requests to the API server by status code.", ("code", "method"), registry=to
        )
        self.request_seconds = Histogram(
            "rest_client_request_duration_seconds",
            "Seconds from sending a request to the end of the answer.",
            ("verb", "resource"),
            registry=to,
            buckets=_DURATIONS,
        )
        self.queue_depth = Gauge("workqueue_depth", "Keys ready to be handled.", ("name",), registry=to)
        self.queue_adds = Counter("workqueue_adds", "Keys added, after coalescing.", ("name",), registry=to)
        self.queue_retries = Counter("workqueue_retries", "Keys handled again after a failure.", ("name",), registry=to)
        self.queue_seconds = Histogram(
            "workqueue_queue_duration_seconds",
            "Seconds a key waited to be handled.",
            ("name",),
            registry=to,
            buckets=_DURATIONS,
        )
        self.work_seconds = Histogram(
            "workqueue_work_duration_seconds", "Seconds one handling took.", ("name",), registry=to, buckets=_DURATIONS
        )
        self.reconciles = Counter(
            "controller_runtime_reconcile",
            "Handlings by result: success, requeue_after or error.",
            ("controller", "result"),
            registry=to,
        )
        self.active_workers = Gauge(
            "controller_runtime_active_workers", "Workers that handle a key now.", ("controller",), registry=to
        )
        self.leading = Gauge(
            "leader_election_master_status", "1 while this process holds the lease.", ("name",), registry=to
        )
        self.applies = Counter(
            "kube_applies",
            "Objects applied by result: written, unchanged, skipped.",
            ("resource", "result"),
            registry=to,
        )
        self.cached = Gauge("kube_cache_objects", "Objects in the cache.", ("resource",), registry=to)
        self.watch_ends = Counter(
            "kube_watch_ends", "Ends of watches and lists of a kind, by why.", ("resource", "why"), registry=to
        )
        self.pruned = Counter(
            "kube_cache_pruned", "Objects whose deletion no watch event told.", ("resource",), registry=to
        )
        self.events = Counter(
            "kube_events", "Events by result: sent, repeated, dropped, failed.", ("result",), registry=to
        )
