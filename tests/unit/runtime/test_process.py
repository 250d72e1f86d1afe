import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.runtime import models
from tests.unit.runtime.server import DEADLINE_SECONDS, Server, refusal, running

INFER = "/v2/models/flight-delay/infer"
ROW = [{"name": "X", "datatype": "FP32", "shape": [1, 4], "data": [0.1, 0.2, 0.3, 0.4]}]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.save_onnx(tmp_path_factory.mktemp("onnx"), models.logistic())


def address(server: Server) -> tuple[str, int]:
    url = server.client.base_url
    return url.host, url.port or 0


def wait_until_in_flight(server: Server, count: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    line = f'penstock_inference_in_flight{{model="flight-delay",revision="0123456789ab"}} {count:.1f}'
    while line not in httpx.get(server.metrics_url).text:
        assert time.monotonic() < deadline, f"never {count} in flight"
        time.sleep(0.01)


class Client(threading.Thread):
    """Asks over and over until told to stop; keeps every status, and every failure as its text."""

    def __init__(self, server: Server, inputs: list[dict[str, Any]]) -> None:
        super().__init__()
        self._inputs = inputs
        self.results: list[int | str] = []
        self.enough = threading.Event()
        self._base = server.client.base_url

    def run(self) -> None:
        with httpx.Client(base_url=self._base, timeout=30) as client:
            while not self.enough.is_set():
                try:
                    self.results.append(client.post(INFER, json={"inputs": self._inputs}).status_code)
                except httpx.HTTPError as error:
                    self.results.append(repr(error))


POLL_SECONDS = 0.01


def leave_under_load(
    server: Server, inputs: list[dict[str, Any]], connections: int, look: Callable[[], None] = lambda: None
) -> None:
    """Tell the server to end while so many clients ask: none may see a failure. `look` is called while it leaves."""
    clients = [Client(server, inputs) for _ in range(connections)]
    for client in clients:
        client.start()
    try:
        server.terminate()
        deadline = time.monotonic() + DEADLINE_SECONDS
        # While it leaves every request is a connection of its own: whichever process takes this one denies.
        while server.client.get("/v2/health/ready").status_code != 503:
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)  # the clients are threads of this process: they need it too
        # Readiness is what takes the endpoint out of the route; until then requests come and are answered.
        denied = [len(client.results) for client in clients]
        while any(len(client.results) < seen + 20 for client, seen in zip(clients, denied, strict=True)):
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)
        look()
    finally:
        for client in clients:
            client.enough.set()
    for client in clients:
        client.join()
        assert set(client.results) == {200}
    assert server.process.wait(DEADLINE_SECONDS) == 0


def test_no_request_fails_while_the_server_leaves(model_folder: Path) -> None:
    with running(model_folder, "ONNX", PENSTOCK_DRAIN_SECONDS="3") as server:

        def look() -> None:
            assert server.client.get("/v2/models/flight-delay/ready").json() == {"name": "flight-delay", "ready": False}
            assert server.client.get("/v2/health/live").status_code == 200

        leave_under_load(server, ROW, 3, look)


def test_a_request_under_way_is_finished_after_the_drain(model_folder: Path) -> None:
    body = httpx.Request("POST", "http://x/", json={"inputs": ROW}).content
    with running(model_folder, "ONNX") as server, socket.create_connection(address(server)) as connection:
        head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        connection.sendall(head + body[:10])
        wait_until_in_flight(server, 1)
        server.terminate()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while accepts(server):
            assert time.monotonic() < deadline, "the server went on accepting"
        connection.sendall(body[10:])
        connection.settimeout(DEADLINE_SECONDS)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert server.process.wait(DEADLINE_SECONDS) == 0


def accepts(server: Server) -> bool:
    try:
        socket.create_connection(address(server), timeout=1).close()
    except OSError:
        return False
    return True


def test_requests_over_the_limit_are_told_to_come_back(model_folder: Path) -> None:
    with running(model_folder, "ONNX", PENSTOCK_MAX_IN_FLIGHT="1") as server:
        with socket.create_connection(address(server)) as connection:
            connection.sendall(f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{".encode())
            wait_until_in_flight(server, 1)
            answer = server.infer(ROW)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert "limit" in answer.json()["error"]
        wait_until_in_flight(server, 0)
        assert server.infer(ROW).status_code == 200


def test_a_body_that_never_comes_frees_its_place(model_folder: Path) -> None:
    with (
        running(model_folder, "ONNX", PENSTOCK_BODY_SECONDS="1") as server,
        socket.create_connection(address(server), timeout=DEADLINE_SECONDS) as connection,
    ):
        connection.sendall(f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")


def raw(server: Server, sent: bytes) -> bytes:
    """Everything the server answers to these bytes until it closes the connection."""
    with socket.create_connection(address(server), timeout=DEADLINE_SECONDS) as connection:
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def test_headers_that_never_end(model_folder: Path) -> None:
    with running(model_folder, "ONNX", PENSTOCK_HEADER_SECONDS="1") as server:
        begin = f"POST {INFER} HTTP/1.1\r\nhost: x\r\n".encode()
        late = raw(server, begin)
        assert late.startswith(b"HTTP/1.1 408")
        assert b"within 1 seconds" in late
        # The same after a whole request on the connection.
        after = raw(server, b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n" + begin)
        assert [after.count(b"HTTP/1.1 200"), after.count(b"HTTP/1.1 408")] == [1, 1]
        assert raw(server, begin + b"x: " + b"y" * 100_000).startswith(b"HTTP/1.1 431")
        assert server.infer(ROW).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"no http at all\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"GET \xff HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    ],
)
def test_what_is_no_http(flight_server: Server, sent: bytes) -> None:
    answer = raw(flight_server, sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert list(json.loads(body)) == ["error"]
    assert flight_server.client.get("/v2/health/live").status_code == 200


@pytest.mark.parametrize(
    ("content", "reason", "says"),
    [(None, "LoadFailed", "exactly one *.onnx"), (b"no graph", "LoadFailed", "onnxruntime cannot load model.onnx")],
)
def test_a_model_that_cannot_be_served(tmp_path: Path, content: bytes | None, reason: str, says: str) -> None:
    if content is not None:
        (tmp_path / "model.onnx").write_bytes(content)
    message = refusal(tmp_path, "ONNX")
    assert message["reason"] == reason
    assert says in message["message"]


def test_a_port_that_is_taken(model_folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        told = refusal(model_folder, "ONNX", PENSTOCK_PORT=str(other.getsockname()[1]))
    assert told["reason"] == "InvalidConfiguration"
    assert "cannot be used" in told["message"]


def test_wrong_settings(tmp_path: Path) -> None:
    message = refusal(tmp_path, "ONNX", PENSTOCK_REVISION="latest")
    assert message["reason"] == "InvalidConfiguration"
    assert "PENSTOCK_REVISION" in message["message"]


def test_a_skops_file_with_a_foreign_type_ends_the_process(tmp_path: Path) -> None:
    message = refusal(models.save_skops(tmp_path, models.foreign()), "Skops")
    assert message["reason"] == "UnsafeFormat"
    assert "os.system" in message["message"] or "posix.system" in message["message"]
