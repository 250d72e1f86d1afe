"""How a bug is planted into the operator's process: by putting something else in the place of what is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

BUGS: dict[str, Callable[[], None]] = {}


def bug(plant: Callable[[], None]) -> Callable[[], None]:
    """Register a bug by the name of the function that plants it."""
    BUGS[plant.__name__] = plant
    return plant


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` makes of an attribute in its place. Raises AttributeError if the source has no such part now."""
    setattr(owner, name, make(getattr(owner, name)))


async def do_nothing(*_: Any) -> None:
    """Take the place of what matters."""
