"""The few pieces of ASGI that the server needs."""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from penstock.runtime.calls import Encoded
from penstock.runtime.errors import RequestError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

_JSON_SIZE = b"inference-header-content-length"
# int() refuses thousands of digits with an exception of its own.
_MAX_DIGITS = 18
_CLOSE = ((b"connection", b"close"),)
_REQUEST_ID = re.compile(rb"[!-~]{1,128}")


class ClientGone(Exception):
    """The client went away before its request was complete."""


def request_id(headers: Headers) -> bytes:
    """The request's `x-request-id` if it is printable and short, else a new UUID."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value
    return str(uuid.uuid4()).encode()


def json_size(headers: Headers) -> int | None:
    """The length of the JSON part where bytes of tensors follow it, None where the body is JSON alone.

    Raises `RequestError` (400) if the header is not a length.
    """
    for name, value in headers:
        if name == _JSON_SIZE:
            if not value.isdigit() or len(value) > _MAX_DIGITS or not int(value):
                raise RequestError(400, "Inference-Header-Content-Length must be the length of the body's JSON part")
            return int(value)
    return None


async def read_body(headers: Headers, receive: Receive, limit: int, seconds: float) -> bytes:
    """The whole body.

    Raises `RequestError` for more than `limit` bytes (413) or a rest that takes longer than `seconds` (408), and
    `ClientGone` if it never ends.
    """
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and (len(value) > _MAX_DIGITS or int(value) > limit):
            raise _too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        try:
            async with asyncio.timeout(seconds):
                message, body = await _read_rest(body, receive, limit)
        except TimeoutError:
            raise RequestError(408, f"the body did not arrive within {seconds:g} seconds", _CLOSE) from None
    if message["type"] == "http.disconnect":
        raise ClientGone
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _read_rest(first: bytes, receive: Receive, limit: int) -> tuple[MutableMapping[str, Any], bytes]:
    pieces, size, more = [first], len(first), True
    message: MutableMapping[str, Any] = {}
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return message, b"".join(pieces)


async def respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], answer: Encoded) -> None:
    """Sends one answer: JSON, or JSON with bytes after it."""
    headers.append((b"content-length", str(len(answer.body)).encode()))
    if answer.json_size is None:
        headers.append((b"content-type", b"application/json"))
    else:
        headers.append((b"content-type", b"application/octet-stream"))
        headers.append((_JSON_SIZE, str(answer.json_size).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _too_large(limit: int) -> RequestError:
    return RequestError(413, f"the body is larger than the limit of {limit} bytes", _CLOSE)
