"""How many inference requests are worked on at a time, and the answer to the rest."""

from collections.abc import Callable, Iterable

import orjson

from penstock.runtime.errors import RequestError
from penstock.runtime.http import Headers, request_id
from penstock.runtime.metrics import Metrics
from penstock.runtime.ring import marked_for

ADMITTED = "penstock.admitted"
"""Key in the state of an ASGI scope whose request was counted by its connection."""
_RETRY_AFTER = ((b"retry-after", b"1"),)


class Admission:
    """Counts requests from their headers to their answers, and refuses what is too many for next to nothing.

    Requests that arrive together are read one after the other before the first is worked on. Who counts only what is
    worked on never sees more than one of a quick model, whatever waits; and a refusal that costs as much as an answer
    leaves no time for answers.
    """

    def __init__(
        self,
        most: int,
        paths: Iterable[str],
        identity: Headers,
        metrics: Metrics,
        stays: Callable[[], bool],
        revision: bytes = b"",
    ) -> None:
        """`paths`: of inference. `identity`: headers that every answer bears. `revision`: the one that is served.

        `stays` says whether connections may be kept: while the server leaves, each answer has to end its own.
        """
        self.in_flight = 0
        self.paths = frozenset(path.encode() for path in paths)
        self._most = most
        self._metrics = metrics
        self._stays = stays
        self._revision = revision
        self._sentence = f"{most} requests are in flight, which is the limit; try again"
        body = orjson.dumps({"error": self._sentence})
        fixed = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        lines = b"".join(b"%s: %s\r\n" % header for header in (*identity, *fixed, *_RETRY_AFTER))
        self._start = b"HTTP/1.1 503 Service Unavailable\r\n" + lines + b"x-request-id: "
        self._end = b"\r\n\r\n" + body
        metrics.watch_in_flight(lambda: self.in_flight)

    @property
    def is_full(self) -> bool:
        """Whether one more would be too many."""
        return self.in_flight >= self._most

    @property
    def is_shedding(self) -> bool:
        """Whether one more may be refused by `refuse`."""
        return self.is_full and self._stays()

    def enter(self) -> None:
        """Counts a request that its connection did not; raises `RequestError` (503) if it is too many."""
        if self.is_full:
            raise busy(self._sentence)
        self.in_flight += 1

    def leave(self) -> None:
        """A counted request is answered."""
        self.in_flight -= 1

    def refuse(self, headers: Headers) -> bytes:
        """The whole response to a request that is too many."""
        self._metrics.answered(503, 0.0, is_shadow=marked_for(headers) == self._revision)
        return self._start + request_id(headers) + self._end


def busy(sentence: str) -> RequestError:
    """A refusal that asks to come back."""
    return RequestError(503, sentence, _RETRY_AFTER)
