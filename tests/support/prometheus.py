"""A real Prometheus and what it scrapes, as processes of a test."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from hack.cluster.build import binary
from tests.support.cluster import wait_until

SCRAPE_SECONDS = 1
_HTTP = httpx.Client(trust_env=False, timeout=5)


def free_port() -> int:
    """A port of the loopback address that nobody has now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Exporter:
    """Shows a page of metrics that a test writes; `silent` makes it answer 503, `missing` 404."""

    def __init__(self, page: str = "", port: int = 0) -> None:
        self.page = page
        self.silent = self.missing = False
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(503 if exporter.silent else 404 if exporter.missing else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(exporter.page.encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = int(self._server.server_port)
        self.instance = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Prometheus:
    """One Prometheus on a port of its own; it keeps what it has stored over `stop` and `start`."""

    def __init__(self, folder: Path, jobs: Sequence[dict[str, Any]], web_config: dict[str, Any] | None = None) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        scrape = {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prometheus.yml").write_text(yaml.safe_dump({"global": scrape, "scrape_configs": list(jobs)}))
        self._web: list[str] = []
        if web_config is not None:
            (folder / "web.yml").write_text(yaml.safe_dump(web_config))
            self._web = [f"--web.config.file={folder / 'web.yml'}"]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and return when it is ready."""
        command = [
            str(binary("prometheus")),
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
            *self._web,
        ]
        with (self._folder / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._is_ready, "Prometheus is ready")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None

    def ask(self, path: str, **form: str) -> Any:
        """Ask its API; returns the answer's data."""
        answer = self.answer(path, **form)
        assert answer["status"] == "success", answer
        return answer["data"]

    def answer(self, path: str, **form: str) -> dict[str, Any]:
        """Ask its API; returns the answer, whatever it says."""
        answer: dict[str, Any] = _HTTP.post(f"{self.url}/api/v1/{path}", data=form).json()
        return answer

    def _is_ready(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError((self._folder / "prometheus.log").read_text()[-2000:])
        try:
            return _HTTP.get(f"{self.url}/-/ready").status_code in (200, 401)
        except httpx.TransportError:
            return False


def job(name: str, *instances: str, path: str = "/metrics", **labels: str) -> dict[str, Any]:
    """A job of static targets."""
    return {
        "job_name": name,
        "metrics_path": path,
        "static_configs": [{"targets": list(instances), "labels": labels}],
    }


@contextlib.contextmanager
def envoy(binary_path: Path, folder: Path, clusters: dict[str, dict[str, int]]) -> Iterator[tuple[int, int]]:
    """A real Envoy with counters per endpoint; yields the ports of traffic and of its counters.

    `clusters`: name -> {host:port of an endpoint: weight}. /N leads to the Nth of them; answers may take 1 s.
    """
    traffic, admin = free_port(), free_port()
    routes = [
        {"match": {"prefix": f"/{number}"}, "route": {"cluster": name, "timeout": "1s"}}
        for number, name in enumerate(clusters)
    ]
    filters = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{filters}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{filters}.http.router.v3.Router"}}
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    config = {
        "admin": {"address": _address("127.0.0.1", admin)},
        "static_resources": {
            "listeners": [{"name": "http", "address": _address("127.0.0.1", traffic), "filter_chains": [chain]}],
            "clusters": [_envoy_cluster(name, endpoints) for name, endpoints in clusters.items()],
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "envoy.json").write_text(json.dumps(config))
    command = [str(binary_path), "-c", str(folder / "envoy.json"), "--use-dynamic-base-id", "--concurrency", "1"]
    with (folder / "envoy.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(f"http://127.0.0.1:{admin}/ready"), "Envoy is ready")
        yield traffic, admin
    finally:
        process.terminate()
        process.wait(timeout=30)


def _envoy_cluster(name: str, endpoints: dict[str, int]) -> dict[str, Any]:
    members = []
    for endpoint, weight in endpoints.items():
        host, _, port = endpoint.rpartition(":")
        members.append({"endpoint": {"address": _address(host, int(port))}, "load_balancing_weight": weight})
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "track_cluster_stats": {"per_endpoint_stats": True},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": members}]},
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _answers(url: str) -> bool:
    try:
        return _HTTP.get(url).status_code == 200
    except httpx.TransportError:
        return False


@contextlib.contextmanager
def server(answer: Callable[[], int], host: str, port: int) -> Iterator[None]:
    """A server that answers POST with the status that `answer` returns (0: it breaks the connection off)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status = answer()
            if not status:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    listening = ThreadingHTTPServer((host, port), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        listening.shutdown()
        listening.server_close()
