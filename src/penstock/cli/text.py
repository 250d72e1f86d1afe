"""Text for a terminal: trees, tables, times, numbers; nothing that a stranger wrote can steer the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class Node:
    """A line and what hangs below it."""

    text: str
    below: list[Node] = field(default_factory=list)

    def add(self, text: str) -> Node:
        """Hang a line below this one and return it."""
        self.below.append(Node(text))
        return self.below[-1]


def lines(node: Node) -> list[str]:
    """Draw a tree."""
    return [safe(node.text), *_branches(node, "")]


def _branches(node: Node, indent: str) -> Iterator[str]:
    for index, item in enumerate(node.below):
        last = index + 1 == len(node.below)
        yield f"{indent}{'└─' if last else '├─'} {safe(item.text)}"
        yield from _branches(item, indent + ("   " if last else "│  "))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Draw a table as kubectl does; the last column is as wide as it needs to be."""
    cells = [list(head), *([safe("" if cell is None else str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def safe(text: str) -> str:
    """Return text in one line, without characters that a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def moment(time: datetime | str | None) -> str:
    """Return a time in UTC, to the second."""
    if time is None:
        return ""
    found = datetime.fromisoformat(time) if isinstance(time, str) else time
    return f"{found:%Y-%m-%d %H:%M:%S}Z"


def number(value: Any) -> str:
    """Return a number with three significant digits; what is none, as it is."""
    try:
        return f"{float(value):.3g}"
    except (TypeError, ValueError):
        return str(value)


def short(digest: str | None) -> str:
    """Return the beginning of a digest, enough to tell it from others at a glance."""
    return (digest or "")[:19]
