"""HTTP connections that end when a client is too slow or says too much before its request is known."""

import asyncio
import json
import socket
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penstock.runtime.admission import ADMITTED, Admission
from penstock.runtime.errors import LoadError

# Before the first byte; clients that connect ahead keep such connections for up to 90 s.
SILENT_SECONDS = 100
MAX_HEADER_BYTES = 65536
_ACCEPTED_AT_ONCE = 16


class _Refused:
    """Stands where uvicorn looks for the request under way, after one that was refused: its body is of no interest."""

    response_complete = True
    message_event = asyncio.Event()


_REFUSED: Any = _Refused()


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds on headers and on requests at a time: it has none, or none that is cheap."""

    header_seconds: float
    """From the first byte of a request to the end of its headers."""
    admission: Admission

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_bytes = 0
        self._is_in_header = False
        # Waits for the first byte.
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(SILENT_SECONDS, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on; what is left of an unfinished header must come in time."""
        waited = self._is_in_header
        super().data_received(data)
        if self.cycle is _REFUSED and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            # What came was more of a refused body: uvicorn does not wait for the next request then, for ever.
            self.on_response_complete()
        if not self._is_in_header:
            if self._timer is not None:
                self._stop_timer()
            return
        self._header_bytes += len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(431, f"the headers are larger than the limit of {MAX_HEADER_BYTES} bytes")
        elif not waited:
            self._await_header()

    def on_message_begin(self) -> None:
        """A request starts."""
        self._is_in_header, self._header_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The request is known, and taken in or refused."""
        self._is_in_header = False
        is_next = self.cycle is None or self.cycle.response_complete
        if not is_next or self.url not in self.admission.paths or self.parser.get_method() != b"POST":
            super().on_headers_complete()
        elif self.admission.is_shedding and self.parser.should_keep_alive():
            self.cycle = _REFUSED
            self.transport.write(self.admission.refuse(self.headers))
            self.on_response_complete()
        else:
            is_full = self.admission.is_full
            super().on_headers_complete()
            if not is_full:
                self.admission.in_flight += 1
                self.scope["state"][ADMITTED] = True

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets an error of the same form as any other."""
        self._refuse(400, msg)

    def _await_header(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.header_seconds, self._header_is_late)

    def _header_is_late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            # The request before is still being answered: its answer must not be cut off.
            self._await_header()
        else:
            self._refuse(408, f"the headers did not arrive within {self.header_seconds:g} seconds")

    def _refuse(self, status: int, sentence: str) -> None:
        if self.transport.is_closing():
            return
        body = json.dumps({"error": sentence}).encode()
        self.transport.write(
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            + body
        )
        self.transport.close()

    def _close(self) -> None:
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def limited_protocol(header_seconds: float, admission: Admission) -> type[LimitedProtocol]:
    """The protocol with these limits; uvicorn makes one per connection and hands it only its own settings."""
    return type("LimitedProtocol", (LimitedProtocol,), {"header_seconds": header_seconds, "admission": admission})


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that will listen there; raises `LoadError` (InvalidConfiguration) if it cannot."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise LoadError("InvalidConfiguration", f"Port {port} of {host} cannot be used: {error.strerror}.") from None
    return listener


def accepting_sockets(listener: socket.socket) -> list[socket.socket]:
    """The same socket several times over.

    libuv accepts one connection per socket and turn of the loop; under load a turn takes long, and a new connection
    would wait behind hundreds of requests of the others.
    """
    return [listener, *(listener.dup() for _ in range(_ACCEPTED_AT_ONCE - 1))]
