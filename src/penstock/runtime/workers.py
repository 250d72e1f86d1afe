"""Several processes of one model behind one port: started, watched, added up and stopped together."""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from penstock.runtime.admin import Page, serve_pages
from penstock.runtime.capture import merged
from penstock.runtime.connections import bound_socket
from penstock.runtime.ring import merged_pages
from penstock.runtime.settings import Settings

# Of a worker that is asked for its numbers.
_ANSWER_SECONDS = 5
_log = logging.getLogger(__name__)

Work = Callable[[Settings, socket.socket, Connection], int]
"""What a worker runs: serves on the socket, answers its parent on the connection; returns the exit status."""


def serve_workers(settings: Settings, work: Work) -> int:
    """Runs `settings.workers` processes until told to stop; returns 0, or the status of the first that failed.

    One that ends by itself ends all: the kubelet then starts the container anew, with counters that begin together.
    """
    context = multiprocessing.get_context("spawn")
    processes: list[SpawnProcess] = []
    links: list[_Link] = []
    is_leaving = False

    def leave(_signal: int, _frame: FrameType | None) -> None:
        nonlocal is_leaving
        is_leaving = True
        for process in processes:
            process.terminate()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    with bound_socket(settings.host, settings.port) as listener:
        for index in range(settings.workers):
            if not is_leaving:
                ours, theirs = context.Pipe()
                arguments = (work, settings, listener, theirs)
                process = context.Process(target=_run, args=arguments, name=f"worker-{index}", daemon=True)
                processes.append(process)
                links.append(_Link(ours))
                process.start()
                theirs.close()
    # With the parent's copy closed the port refuses as soon as the last worker has stopped accepting.
    stop_pages = serve_pages(settings.host, settings.metrics_port, _pages(links))
    try:
        wait([process.sentinel for process in processes])
        if not is_leaving:
            _log.error("a worker ended by itself, the others are stopped")
            leave(signal.SIGTERM, None)
        for process in processes:
            process.join()
    finally:
        stop_pages()
    # One that was told to leave before it could listen to that ended by the signal.
    codes = [process.exitcode or 0 for process in processes]
    return next((code for code in codes if code not in (0, -signal.SIGTERM)), 0)


def answer_parent(link: Connection, pages: dict[str, Page]) -> None:
    """Answers the parent's questions from a thread of its own; leaves as on SIGTERM if the parent is gone."""

    def answer() -> None:
        while True:
            try:
                path, query = link.recv()
                link.send(((path, query), pages[path](query)))
            except (EOFError, OSError):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=answer, name="answer-parent", daemon=True).start()


class _Link:
    """Asks one worker, one question at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def ask(self, path: str, query: str) -> bytes | None:
        """The worker's page; None if it is still loading or gone."""
        with self._lock:
            try:
                self._connection.send((path, query))
                # What comes first may be the late answer to a question before.
                while self._connection.poll(_ANSWER_SECONDS):
                    answered, (_kind, body) = self._connection.recv()
                    if answered == (path, query):
                        return bytes(body)
            except (EOFError, OSError):
                pass
            return None


class _Sum(Collector):
    """The metrics of all workers, added up."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts

    def collect(self) -> list[Metric]:
        """One family per name; what is no count is the same in every worker, or the largest."""
        families: dict[str, Metric] = {}
        values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
        for text in self._texts:
            for family in text_string_to_metric_families(text):
                families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                of_family = values.setdefault(family.name, {})
                for sample in family.samples:
                    key = (sample.name, tuple(sample.labels.items()))
                    is_count = not sample.name.endswith(("_info", "_load_seconds", "_created"))
                    before = of_family.get(key)
                    if before is None:
                        of_family[key] = sample.value
                    else:
                        of_family[key] = before + sample.value if is_count else max(before, sample.value)
        for name, family in families.items():
            for (sample_name, labels), value in values[name].items():
                family.add_sample(sample_name, dict(labels), value)
        return list(families.values())


def _pages(links: list[_Link]) -> dict[str, Page]:
    def asked(path: str, query: str = "") -> list[bytes] | None:
        # The sum without one of them would look like counters that began anew.
        answers = [link.ask(path, query) for link in links]
        return None if None in answers else [answer for answer in answers if answer is not None]

    def metrics(_query: str) -> tuple[str, bytes] | None:
        texts = asked("/metrics")
        if texts is None:
            return None
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Sum([text.decode() for text in texts]))
        return CONTENT_TYPE_LATEST, generate_latest(registry)

    def capture(_query: str) -> tuple[str, bytes] | None:
        return _merged_json(asked("/capture"), merged)

    def ring(query: str) -> tuple[str, bytes] | None:
        return _merged_json(asked("/ring", query), merged_pages)

    return {"/metrics": metrics, "/capture": capture, "/ring": ring}


def _merged_json(
    texts: list[bytes] | None, merge: Callable[[list[dict[str, Any]]], dict[str, Any]]
) -> tuple[str, bytes] | None:
    return None if texts is None else ("application/json", orjson.dumps(merge([orjson.loads(text) for text in texts])))


def _run(work: Work, settings: Settings, listener: socket.socket, link: Connection) -> None:
    sys.exit(work(settings, listener, link))
