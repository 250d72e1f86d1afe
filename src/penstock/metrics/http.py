"""Requests to sources of numbers: bounded in time and size, and nothing is followed."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from penstock.metrics.problems import ConnectionRefused, Problem, SourceUnavailable

_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        url: where it goes.
        seconds: how long everything may take.
        most_bytes: how large the answer may be.
        form: what is sent as a form by POST; a GET without.
        tls: how the server proves who it is; True for the authorities of the system.
    """

    url: str
    seconds: float
    most_bytes: int
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | bool = True


class HttpClient:
    """Connections to all sources; made on first use, within a running loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, request: Request) -> tuple[int, bytes]:
        """Return status and body. Raises SourceUnavailable if there is no whole answer in time."""
        if self._session is None:
            # No cookies are kept: one source's must not reach another.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS), cookie_jar=aiohttp.DummyCookieJar()
            )
        method = "GET" if request.form is None else "POST"
        try:
            async with self._session.request(
                method,
                request.url,
                data=request.form,
                headers=request.headers,
                ssl=request.tls,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=request.seconds),
            ) as response:
                return response.status, await _bounded(response, request.most_bytes)
        except TimeoutError as error:
            raise SourceUnavailable(
                Problem.TIMEOUT, f"{_place(request.url)} did not answer within {request.seconds:g} s"
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            refused = isinstance(error, aiohttp.ClientConnectorError) and error.errno == errno.ECONNREFUSED
            raise (ConnectionRefused if refused else SourceUnavailable)(
                Problem.UNREACHABLE, f"{_place(request.url)} does not answer: {str(error) or type(error).__name__}"
            ) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > most:
            raise SourceUnavailable(
                Problem.TOO_LARGE, f"the answer of {_place(str(response.url))} is larger than {most} bytes"
            )
        parts.append(chunk)
    return b"".join(parts)


def _place(url: str) -> str:
    """The host alone: paths of a shared server may say more than a tenant should read."""
    return url.split("/")[2]
