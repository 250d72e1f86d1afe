"""What the model server counts, for Prometheus and for the operator's own scrape."""

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from penstock.runtime.settings import Settings

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class _Role(NamedTuple):
    by_code: dict[int, Counter]
    duration: Histogram
    name: str


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(self, settings: Settings) -> None:
        self._registry = CollectorRegistry()
        self._labels = {"model": settings.model_name, "revision": settings.revision}
        self._requests = Counter(
            "penstock_inference_requests",
            "Inference requests by HTTP status; role shadow: copies, whose answers nobody gets.",
            ("model", "revision", "code", "role"),
            registry=self._registry,
        )
        self._duration = Histogram(
            "penstock_inference_duration_seconds",
            "Time from the request's first byte in the server to its answer.",
            ("model", "revision", "role"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "penstock_inference_in_flight",
            "Inference requests being worked on.",
            ("model", "revision"),
            registry=self._registry,
        ).labels(**self._labels)
        self._load = Gauge(
            "penstock_model_load_seconds",
            "Time it took to load the model.",
            ("model", "revision"),
            registry=self._registry,
        ).labels(**self._labels)
        Gauge(
            "penstock_model_info",
            "What is loaded; always 1.",
            ("model", "revision", "digest", "format"),
            registry=self._registry,
        ).labels(**self._labels, digest=settings.digest, format=settings.model_format).set(1)
        # A counter that exists from the start shows its first increment as an increase.
        self._primary = _Role({}, self._duration.labels(**self._labels, role="primary"), "primary")
        self._shadow: _Role | None = None  # few pods ever get copies
        self._of_code(200, self._primary)

    def loaded(self, seconds: float) -> None:
        """Notes how long the load took."""
        self._load.set(seconds)

    def watch_in_flight(self, read: Callable[[], int]) -> None:
        """Reads the number of requests in flight when it is asked for, not on every request."""
        self._in_flight.set_function(read)

    def answered(self, code: int, seconds: float, *, is_shadow: bool = False) -> None:
        """Counts one inference request, a copy apart from those that somebody waits for."""
        role = self._primary
        if is_shadow:
            if self._shadow is None:
                self._shadow = _Role({}, self._duration.labels(**self._labels, role="shadow"), "shadow")
            role = self._shadow
        self._of_code(code, role).inc()
        role.duration.observe(seconds)

    def page(self, _query: str = "") -> tuple[str, bytes]:
        """All of it, as Prometheus reads it."""
        return CONTENT_TYPE_LATEST, generate_latest(self._registry)

    def _of_code(self, code: int, role: "_Role") -> Counter:
        counter = role.by_code.get(code)
        if counter is None:
            counter = role.by_code[code] = self._requests.labels(**self._labels, code=str(code), role=role.name)
        return counter
