"""The last answers to requests of a shadow, in bounded memory, for whoever compares the two tracks.

Only requests that the route has marked as copied are kept, and of those that come too fast only some: the same ones on
both tracks, because their ids decide. What a ring has kept stays for half a minute at least, so that a reader that
comes more often than that misses nothing, and is told if it did.
"""

import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import numpy as np
import orjson

from penstock.domain.shadow.marking import HEADER, MOST_LEVELS, chance_of, is_chosen, row_of
from penstock.runtime.http import Headers
from penstock.runtime.tensors import Array

CAPACITY = 4096
COVERED_SECONDS = 30.0
PAGE_ENTRIES = 512
# How often the level may change: each time that so many entries were kept.
_STRETCH = CAPACITY // 4
_STRETCH_SECONDS = COVERED_SECONDS / 4
# Below this rate one level less still covers what it must.
_SLOW_SECONDS = 4 * _STRETCH_SECONDS
_KEPT_VALUES = 8
_KEPT_CHARACTERS = 128
_HEADER = HEADER.encode()


class _Entry(NamedTuple):
    number: int
    identifier: bytes
    is_shadow: bool
    status: int
    seconds: float
    at: float
    rows: int
    outputs: dict[str, Any]


def marked_for(headers: Headers) -> bytes | None:
    """The revision that gets a copy of the request, None if it is none of a shadow."""
    for name, value in headers:
        if name == _HEADER:
            return value
    return None


class Ring:
    """Notes answers from the server's thread; pages of them are for another one."""

    def __init__(self, model: str, revision: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_leaving = False
        self._model, self._revision, self._clock = model, revision, clock
        self._instance = secrets.token_hex(8)
        self._started = self._stretch_began = clock()
        self._lock = threading.Lock()
        self._entries: deque[_Entry] = deque(maxlen=CAPACITY)
        self._next = 0
        self._level = 0

    def note(
        self, identifier: bytes, *, is_shadow: bool, status: int, seconds: float, outputs: Mapping[str, Array] | None
    ) -> None:
        """One request that was answered; `outputs` None if it was refused or failed."""
        chance = chance_of(identifier)
        if not is_chosen(chance, self._level):
            return
        outputs = {name: array for name, array in (outputs or {}).items() if array.ndim and len(array)}
        rows = len(next(iter(outputs.values()))) if outputs else 0
        kept = {name: _kept(array[row_of(chance, len(array))]) for name, array in outputs.items()}
        with self._lock:
            now = self._clock()
            self._entries.append(_Entry(self._next, identifier, is_shadow, status, seconds, now, rows, kept))
            self._next += 1
            if not self._next % _STRETCH:
                self._adjust(now)

    def page(self, query: str) -> tuple[str, bytes]:
        """The entries after a cursor (`after=`, see `document`), as JSON."""
        after = parse_qs(query).get("after", [""])[0]
        return "application/json", orjson.dumps(self.document(after))

    def document(self, after: str) -> dict[str, Any]:
        """What is kept after the cursor of an earlier page; all there is after an empty one.

        `lost`: how many entries between the cursor and the first one here are gone. `more`: the page is full. `age`:
        how many seconds ago the process began, and of an entry, the answer was given. `leaving`: the pod is going.
        """
        with self._lock:
            oldest = self._entries[0].number if self._entries else self._next
            wanted = _place(after, self._instance)
            start = max(wanted, oldest)
            entries = list(islice(self._entries, start - oldest, start - oldest + PAGE_ENTRIES))
            following, level, now = self._next, self._level, self._clock()
        reached = entries[-1].number + 1 if entries else start
        ring = {
            "instance": self._instance,
            "model": self._model,
            "revision": self._revision,
            "age": now - self._started,
            "level": level,
            "leaving": self.is_leaving,
            "lost": start - wanted,
            "more": reached < following,
            "entries": [_as_json(entry, now) for entry in entries],
        }
        return {"cursor": f"{self._instance}.{reached}", "rings": [ring]}

    def _adjust(self, now: float) -> None:
        """Keep fewer if the ring would go round too fast, and more if it goes round slowly."""
        took = max(now - self._stretch_began, 1e-3)
        self._stretch_began = now
        if took < _STRETCH_SECONDS:
            self._level = min(MOST_LEVELS, self._level + math.ceil(math.log2(_STRETCH_SECONDS / took)))
        elif took > _SLOW_SECONDS:
            self._level = max(0, self._level - 1)


def merged_pages(pages: list[dict[str, Any]]) -> dict[str, Any]:
    """The documents of several processes of one model as one; each finds its own place in the cursor."""
    return {
        "cursor": ",".join(page["cursor"] for page in pages),
        "rings": [ring for page in pages for ring in page["rings"]],
    }


def _place(cursor: str, instance: str) -> int:
    """The number that a cursor names for this process; 0 for one that it does not know."""
    for part in cursor.split(","):
        name, _, number = part.rpartition(".")
        if name == instance and number.isascii() and number.isdigit() and len(number) < 18:
            return int(number)
    return 0


def _kept(row: Any) -> Any:
    """One row of one output; of a long one its beginning, and what tells it from others."""
    if not isinstance(row, np.ndarray):
        return row
    if row.size <= _KEPT_VALUES:
        return row.copy()  # a view would keep the whole batch
    digest = blake2b(repr(row.tolist()).encode() if row.dtype.hasobject else row.tobytes(), digest_size=8)
    return {
        "values": row.ravel()[:_KEPT_VALUES].copy(),
        "size": row.size,
        "top": 0 if row.dtype.kind in "OSU" else int(row.argmax()),
        "digest": digest.hexdigest(),
    }


def _as_json(entry: _Entry, now: float) -> dict[str, Any]:
    return {
        "id": entry.identifier.decode(),
        "role": "shadow" if entry.is_shadow else "primary",
        "status": entry.status,
        "seconds": entry.seconds,
        "age": now - entry.at,
        "rows": entry.rows,
        "outputs": {name: _plain(kept) for name, kept in entry.outputs.items()},
    }


def _plain(kept: Any) -> Any:
    if isinstance(kept, dict):
        return {**kept, "values": _plain(kept["values"])}
    return [_short(value) for value in np.asarray(kept).ravel().tolist()]


def _short(value: Any) -> Any:
    """A string is cut where it is very long, but stays another than all others."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str) and len(value) > _KEPT_CHARACTERS:
        return f"{value[:_KEPT_CHARACTERS]}… {blake2b(value.encode(errors='replace'), digest_size=8).hexdigest()}"
    return value
