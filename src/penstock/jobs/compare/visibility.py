"""When the answers of a track could all be seen: an answer that is missing at another time says nothing."""

from __future__ import annotations

from collections import deque

from penstock.domain.shadow.marking import is_chosen

# The copy is sent when the champion's answer is still to come: so much may lie between the two answers.
SLACK_SECONDS = 15.0


class Visibility:
    """Remembers, for as long as it matters, when a track was not seen whole and how few ids its rings kept."""

    def __init__(self, window: float) -> None:
        self._window = window
        # Never longer than the window, after which whoever compared before has counted.
        self.slack = min(SLACK_SECONDS, window)
        self._blind: deque[tuple[float, float]] = deque()
        self._levels: deque[tuple[float, int]] = deque()

    def blind(self, start: float, end: float) -> None:
        """Some of what was answered in this time is not known and may never be."""
        if self._blind and start <= self._blind[-1][1] <= end:
            start = min(start, self._blind.pop()[0])
        self._blind.append((start, end))

    def level(self, at: float, level: int) -> None:
        """Of the track's rings the one that keeps the fewest keeps one of 2 ** level ids."""
        self._levels.append((at, level))

    def is_visible(self, at: float, chance: int) -> bool:
        """Whether the answer to a request's copy would be known, given when the request was first seen."""
        start, end = at - self.slack, at + self._window
        if any(first <= end and last >= start for first, last in self._blind):
            return False
        return is_chosen(chance, max((level for when, level in self._levels if start <= when <= end), default=0))

    def forget(self, now: float) -> None:
        """Drop what cannot matter any more."""
        oldest = now - 2 * self._window - 2 * self.slack
        while self._blind and self._blind[0][1] < oldest:
            self._blind.popleft()
        while self._levels and self._levels[0][0] < oldest:
            self._levels.popleft()
