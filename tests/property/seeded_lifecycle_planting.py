"""How a slip is planted into the state machine, and taken out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.approval import rules
from penstock.domain.lifecycle import classify, evidence, people, plan
from penstock.domain.lifecycle.matrix import MATRIX
from penstock.domain.lifecycle.stages import Event
from penstock.domain.lifecycle.transitions import back, begin, clock, forward, restored, stable, step
from penstock.domain.lifecycle.transitions import people as commands
from penstock.domain.lifecycle.transitions.step import Step, ignore

_MODULES = (rules, classify, evidence, people, plan, back, begin, clock, forward, restored, stable, step, commands)


class Seed:
    """Puts things in the place of others, and back."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def name(self, owner: Any, name: str, value: Any) -> None:
        """Give a name of a module another value. Raises AttributeError if the source has no such part now."""
        old = getattr(owner, name)
        self._undo.append(lambda: setattr(owner, name, old))
        setattr(owner, name, value)

    def function(self, old: Any, new: Any) -> None:
        """Put a function in the place of another wherever that is used."""
        found = [(owner, name) for owner in _MODULES for name, value in vars(owner).items() if value is old]
        cells = [(row, event) for row in MATRIX.values() for event, cell in row.items() if cell is old]
        if not found and not cells:
            raise AttributeError(f"nobody uses {old}")
        for owner, name in found:
            self.name(owner, name, new)
        for row, event in cells:
            self._cell(row, event, new)

    def cell(self, event: Event, *stages: Stage | None) -> None:
        """Ignore an event, in some stages or in all."""
        for stage in stages or MATRIX:
            self._cell(MATRIX[stage], event, ignore)

    def _cell(self, row: Any, event: Event, new: Any) -> None:
        old = row[event]
        self._undo.append(lambda: row.__setitem__(event, old))
        row[event] = new

    def end(self) -> None:
        """Put everything back."""
        while self._undo:
            self._undo.pop()()


BUGS: dict[str, Callable[[Seed], None]] = {}


def bug(plant: Callable[[Seed], None]) -> Callable[[Seed], None]:
    """Register a bug by the name of the function that plants it."""
    BUGS[plant.__name__] = plant
    return plant


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant a bug for the time of a block."""
    seed = Seed()
    try:
        BUGS[name](seed)
        yield
    finally:
        seed.end()


def after(old: Any, change: Callable[..., Any]) -> Any:
    """A transition whose step is changed afterwards; `change` takes the state before and the step."""

    def changed(state: Any, seen: Any, *rest: Any, **named: Any) -> Any:
        found = old(state, seen, *rest, **named)
        return found if found is None else change(state, found)

    return changed


def of_candidate(taken: Step, **changes: Any) -> Step:
    candidate = taken.result.candidate
    if candidate is None:
        return taken
    return replace(taken, result=taken.result.model_copy(update={"candidate": candidate.model_copy(update=changes)}))
