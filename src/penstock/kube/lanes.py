"""The line of keys in front of the workers, with a lane for those that must not wait behind a crowd."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
# Of so many keys one is from the ordinary lane while anything waits there: urgent ones may not starve the others.
SHARE = 4


class Lanes(Generic[K]):
    """First in, first out, but urgent keys before the others. A key is urgent or not when it is put in."""

    def __init__(self, is_urgent: Callable[[K], bool]) -> None:
        self._is_urgent = is_urgent
        self._urgent: deque[K] = deque()
        self._others: deque[K] = deque()
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._urgent) + len(self._others)

    def append(self, key: K) -> None:
        """Put a key at the end of its lane."""
        (self._urgent if self._is_urgent(key) else self._others).append(key)

    def popleft(self) -> K:
        """Take the key whose turn it is; IndexError if none waits."""
        turn_of_others = self._in_a_row >= SHARE - 1 and self._others
        if self._urgent and not turn_of_others:
            self._in_a_row += 1
            return self._urgent.popleft()
        self._in_a_row = 0
        return self._others.popleft()


class LaneQueue(asyncio.Queue[K]):
    """An asyncio.Queue without bound whose items stand in `Lanes`."""

    def __init__(self, is_urgent: Callable[[K], bool]) -> None:
        self._is_urgent = is_urgent
        super().__init__()

    def _init(self, maxsize: int) -> None:  # where asyncio's own queues choose what holds their items
        self._queue = Lanes(self._is_urgent)
