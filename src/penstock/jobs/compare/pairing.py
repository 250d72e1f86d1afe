"""Joins what both tracks answered by the requests' ids. No clock and no network: times and entries come in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.domain.shadow.agreement import AnswerRule, differ
from penstock.domain.shadow.latency import cell_of
from penstock.domain.shadow.marking import chance_of, is_chosen
from penstock.domain.shadow.view import Blocks, Counts, Latencies, Tally

BLOCK_SECONDS = 5.0
MAX_PENDING = 50_000
_OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What one track said to one request, and when."""

    identifier: str
    status: int
    seconds: float
    outputs: Mapping[str, Any]
    at: float


@dataclass(slots=True)
class _Pending:
    at: float
    chance: int
    champion: Answer | None = None
    candidate: Answer | None = None


@dataclass(slots=True)
class _Numbers:
    tally: dict[str, int] = field(default_factory=dict)
    champion: dict[int, int] = field(default_factory=dict)
    candidate: dict[int, int] = field(default_factory=dict)

    def add(self, name: str, count: int = 1) -> None:
        self.tally[name] = self.tally.get(name, 0) + count


Visible = Callable[[float, int], bool]
"""Whether the copy's answer would have been seen, by when the request was first seen and by its id's chance."""


class Pairing:
    """Waits for both answers to a request, for `window` seconds, and counts what came of it.

    A request is only ever counted when its time is over, whether both answers are there or not: what was answered by
    both would otherwise be counted before what was not, and a candidate look better than it is. So the order in which
    entries come does not matter, and neither do repeated ones.
    """

    def __init__(self, rule: AnswerRule, window: float, percent: int = 100, max_pending: int = MAX_PENDING) -> None:
        self._rule, self._window, self._percent, self._max_pending = rule, window, percent, max_pending
        self._pending: dict[str, _Pending] = {}
        self._settled: dict[str, float] = {}
        self._numbers = _Numbers()
        self._blocks = Blocks()
        self._open_blocks: dict[int, list[int]] = {}
        self._level = 0
        self._began: float | None = None

    def champion(self, answer: Answer) -> None:
        """What the client got; of a request that was tried again, the answer that was good."""
        pending = self._of(answer)
        if pending is not None:
            pending.champion = _better(pending.champion, answer)

    def candidate(self, answer: Answer) -> None:
        """What the copy was answered."""
        pending = self._of(answer)
        if pending is not None:
            pending.candidate = _better(pending.candidate, answer)

    def lost(self, count: int) -> None:
        """So many answers of either track were gone before they were read."""
        self._numbers.add("lost", count)

    def settle(self, now: float, visible: Visible) -> None:
        """Count the requests whose time is over."""
        over = now - self._window
        due = sorted((item.at, identifier) for identifier, item in self._pending.items() if item.at <= over)
        for at, identifier in due:
            self._count(self._pending.pop(identifier), visible)
            self._settled[identifier] = at
        for identifier in [name for name, at in self._settled.items() if at < over - self._window]:
            del self._settled[identifier]
        for block in [block for block in self._open_blocks if (block + 1) * BLOCK_SECONDS <= over]:
            self._blocks = self._blocks.with_block(*self._open_blocks.pop(block))

    def counts(self) -> Counts:
        """Everything that was counted."""
        return Counts(
            Tally(**self._numbers.tally),
            self._blocks,
            Latencies(dict(self._numbers.champion), dict(self._numbers.candidate)),
        )

    def _of(self, answer: Answer) -> _Pending | None:
        identifier = answer.identifier
        if identifier in self._settled:
            return None
        pending = self._pending.get(identifier)
        if pending is None:
            chance = chance_of(identifier.encode())
            if not is_chosen(chance, self._level):
                return None
            pending = self._pending[identifier] = _Pending(answer.at, chance)
            if len(self._pending) > self._max_pending:
                self._choose_fewer()
        pending.at = min(pending.at, answer.at)
        return pending

    def _choose_fewer(self) -> None:
        """Half of the ids is left out from now on, on both tracks and with what waits."""
        self._level += 1
        self._pending = {
            identifier: item for identifier, item in self._pending.items() if is_chosen(item.chance, self._level)
        }

    def _count(self, item: _Pending, visible: Visible) -> None:
        champion, candidate, add = item.champion, item.candidate, self._numbers.add
        if champion is not None and candidate is not None and self._began is None:
            self._began = item.at
        if champion is None:
            add("orphans")
        elif champion.status != _OK:
            add("champion_errors")
        elif candidate is None:
            # Before the first pair nobody knows whether copies are made yet.
            if self._began is None or not visible(item.at, item.chance):
                add("unobserved")
                return
            add("unpaired")
            if self._percent == 100:
                self._block(item.at, differs=True)
        elif candidate.status != _OK:
            add("candidate_errors")
            self._block(item.at, differs=True)
        else:
            self._compare(item.at, champion, candidate)

    def _compare(self, at: float, champion: Answer, candidate: Answer) -> None:
        numbers = self._numbers
        for cells, answer in ((numbers.champion, champion), (numbers.candidate, candidate)):
            cell = cell_of(answer.seconds)
            cells[cell] = cells.get(cell, 0) + 1
        is_different = differ(self._rule, champion.outputs, candidate.outputs)
        if is_different is None:
            numbers.add("incomparable")
            return
        numbers.add("pairs")
        if is_different:
            numbers.add("disagreements")
        self._block(at, differs=is_different)

    def _block(self, at: float, *, differs: bool) -> None:
        block = self._open_blocks.setdefault(int(at // BLOCK_SECONDS), [0, 0])
        block[0] += 1
        block[1] += differs


def _better(known: Answer | None, new: Answer) -> Answer:
    """The good one of two answers to one request; of two alike always the same, whichever came first."""
    if known is None:
        return new
    return min(known, new, key=lambda item: (item.status != _OK, item.status, item.at, item.seconds))
