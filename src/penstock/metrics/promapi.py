"""The HTTP API of Prometheus, as far as it is needed: raw samples with the times they were taken at."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from penstock.metrics.http import HttpClient, Request
from penstock.metrics.problems import Problem, SourceUnavailable

SECONDS = 10.0
MOST_BYTES = 8 * 1024 * 1024
_MOST_HEADER = 8192


@dataclass(frozen=True, slots=True)
class Header:
    """A header whose value is read from a file at each request, so that a renewed token counts at once."""

    name: str
    file: Path

    def value(self) -> str:
        """Return the value. Raises SourceUnavailable if there is none."""
        try:
            text = self.file.read_bytes()[: _MOST_HEADER + 1].decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SourceUnavailable(
                Problem.BAD_SOURCE, f"the Secret of the header {self.name} is not mounted or not readable"
            ) from error
        if not text or len(text) > _MOST_HEADER or not text.isprintable():
            raise SourceUnavailable(
                Problem.BAD_SOURCE, f"the Secret of the header {self.name} is empty, too long or more than one line"
            )
        return text


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that speaks the API, and how it is spoken to."""

    url: str
    tls: ssl.SSLContext | bool = True
    header: Header | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """A series and its samples by time in seconds since 1970; values stay text until they are checked."""

    labels: Mapping[str, str]
    samples: Mapping[float, str]

    @property
    def name(self) -> str:
        """The metric."""
        return self.labels.get("__name__", "")


class PrometheusApi:
    """Asks one server."""

    def __init__(self, client: HttpClient, endpoint: Endpoint) -> None:
        self._client = client
        self._endpoint = endpoint

    async def window(self, selector: str, seconds: int) -> list[Series]:
        """Return the raw samples of the last `seconds`, by the server's own clock.

        A range of a selector, not its value "now": that would carry the time of the question, and would go on
        for five minutes with the last sample of a target that has fallen silent.

        Raises SourceUnavailable; an answer that the server itself calls incomplete is none.
        """
        status, body = await self._client.fetch(
            Request(
                url=self._endpoint.url.rstrip("/") + "/api/v1/query",
                seconds=SECONDS,
                most_bytes=MOST_BYTES,
                # The last two are Thanos': one of two twins, and no answer rather than a part of one.
                form={
                    "query": f"{selector}[{seconds}s]",
                    "timeout": f"{SECONDS - 2:g}s",
                    "dedup": "true",
                    "partial_response": "false",
                },
                headers=self._headers(),
                tls=self._endpoint.tls,
            )
        )
        return _series(_answer(status, body))

    def _headers(self) -> dict[str, str]:
        header = self._endpoint.header
        return {header.name: header.value()} if header else {}


def _answer(status: int, body: bytes) -> dict[str, Any]:
    """The answer's data, unless something is wrong with it."""
    if status in (401, 403):
        raise SourceUnavailable(Problem.DENIED, f"Prometheus answers {status}: the source's header is wrong or missing")
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        reason = Problem.UNREACHABLE if status >= 500 else Problem.BAD_ANSWER
        raise SourceUnavailable(reason, f"Prometheus answers {status} without JSON")
    if status != 200 or answer.get("status") != "success":
        told = f"Prometheus answers {status}: {answer.get('error', 'no reason given')}"
        if answer.get("errorType") in ("timeout", "canceled"):
            raise SourceUnavailable(Problem.TIMEOUT, told)
        raise SourceUnavailable(Problem.UNREACHABLE if status >= 500 else Problem.BAD_QUERY, told)
    if answer.get("warnings"):
        raise SourceUnavailable(Problem.PARTIAL, f"Prometheus says that its answer is incomplete: {answer['warnings']}")
    data = answer.get("data")
    if not isinstance(data, dict) or data.get("resultType") != "matrix" or not isinstance(data.get("result"), list):
        raise SourceUnavailable(Problem.BAD_ANSWER, "Prometheus answers with something else than a range of samples")
    return data


def _series(data: dict[str, Any]) -> list[Series]:
    try:
        found = []
        for entry in data["result"]:
            if "histograms" in entry:
                raise SourceUnavailable(Problem.NOT_A_COUNTER, "a native histogram is no counter")
            labels = {str(name): str(value) for name, value in entry["metric"].items()}
            found.append(Series(labels, {float(at): str(value) for at, value in entry["values"]}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceUnavailable(Problem.BAD_ANSWER, "Prometheus answers in an unknown form") from error
    return [series for series in found if series.samples]
