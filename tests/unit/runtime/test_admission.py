"""What is too much is refused at the door, in the form of every other answer and without harm to the connection."""

import contextlib
import http.client
import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.unit.runtime import models
from tests.unit.runtime.server import DEADLINE_SECONDS, DIGEST, REVISION, Server, running
from tests.unit.runtime.test_process import INFER, ROW, address, wait_until_in_flight

BODY = json.dumps({"inputs": ROW}).encode()
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.save_onnx(tmp_path_factory.mktemp("onnx"), models.logistic())


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """A server that takes in one request at a time."""
    with running(folder, "ONNX", PENSTOCK_MAX_IN_FLIGHT="1") as ready:
        yield ready


@contextlib.contextmanager
def filled(server: Server) -> Iterator[None]:
    """One request under way, of which the body never ends."""
    with socket.create_connection(address(server)) as connection:
        connection.sendall(f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{".encode())
        wait_until_in_flight(server, 1)
        yield
    wait_until_in_flight(server, 0)


@pytest.fixture
def kept(server: Server) -> Iterator[http.client.HTTPConnection]:
    """One connection that is used again and again."""
    connection = http.client.HTTPConnection(*address(server), timeout=DEADLINE_SECONDS)
    with contextlib.closing(connection):
        connection.connect()
        connection.auto_open = 0
        yield connection


def test_refusal_looks_like_any_answer_and_keeps_the_connection(
    server: Server, kept: http.client.HTTPConnection
) -> None:
    with filled(server):
        for identifier in ("first", "second"):
            kept.request("POST", INFER, BODY, {**JSON, "x-request-id": identifier})
            answer = kept.getresponse()
            said = json.loads(answer.read())
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert said == {"error": "1 requests are in flight, which is the limit; try again"}
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-request-id"] == identifier
            assert answer.headers["x-penstock-revision"] == REVISION
            assert answer.headers["x-penstock-digest"] == DIGEST
        kept.request("GET", "/v2/health/ready")
        ready = kept.getresponse()
        ready.read()
        assert ready.status == 200
    kept.request("POST", INFER, BODY, JSON)
    assert kept.getresponse().status == 200


def test_body_that_comes_after_its_refusal_is_skipped(server: Server) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n".encode()
    with socket.create_connection(address(server), timeout=DEADLINE_SECONDS) as connection:
        with filled(server):
            connection.sendall(head + BODY[:10])
            assert status(connection) == 503
        connection.sendall(BODY[10:20])
        connection.sendall(BODY[20:] + head + BODY)
        assert status(connection) == 200


def test_requests_behind_each_other_are_refused_one_by_one(server: Server) -> None:
    request = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n".encode() + BODY
    with filled(server), socket.create_connection(address(server), timeout=DEADLINE_SECONDS) as connection:
        connection.sendall(request * 3)
        assert [status(connection) for _ in range(3)] == [503, 503, 503]


def test_connection_that_is_not_to_be_kept_is_closed_after_its_refusal(server: Server) -> None:
    with filled(server):
        answer = server.client.post(INFER, content=BODY, headers={**JSON, "connection": "close"})
    assert (answer.status_code, answer.headers["connection"]) == (503, "close")


def test_refusals_are_counted(server: Server) -> None:
    def counted() -> float:
        lines = httpx.get(server.metrics_url).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if 'requests_total{code="503"' in line)

    before = counted()
    with filled(server):
        assert server.infer(ROW).status_code == 503
    assert counted() == before + 1


def test_quick_model_refuses_what_arrives_at_once(folder: Path) -> None:
    """Each request takes less time than the next one needs to be read, so that none of them is ever seen waiting."""
    request = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n".encode() + BODY
    with running(folder, "ONNX", PENSTOCK_MAX_IN_FLIGHT="4") as server, contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(address(server), timeout=DEADLINE_SECONDS)) for _ in range(20)
        ]
        for connection in connections:  # accepted, and read at least once
            connection.sendall(request)
            assert status(connection) == 200
        server.process.send_signal(signal.SIGSTOP)
        for connection in connections:
            connection.sendall(request)
        server.process.send_signal(signal.SIGCONT)
        statuses = [status(connection) for connection in connections]
        assert set(statuses) == {200, 503}
        assert statuses.count(200) >= 4
        wait_until_in_flight(server, 0)


def test_leaving_server_ends_the_connections_that_it_refuses(folder: Path) -> None:
    settings = {"PENSTOCK_MAX_IN_FLIGHT": "1", "PENSTOCK_DRAIN_SECONDS": "30"}
    with running(folder, "ONNX", **settings) as server, filled(server):
        server.terminate()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while server.client.get("/v2/health/ready").status_code != 503:
            assert time.monotonic() < deadline
        answer = server.infer(ROW)
        assert (answer.status_code, answer.headers["connection"]) == (503, "close")


def status(connection: socket.socket) -> int:
    """Read one answer and return its status."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1)
    size = int(received.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while size:
        size -= len(connection.recv(size))
    return int(received.split()[1])
