"""What a campaign has tried so far, in a file, so that it can go on where it was cut off."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.faults.oracles import Violation
from tests.faults.stage import Outcome
from tests.support.cluster import REPOSITORY


@dataclass(frozen=True, slots=True)
class Entry:
    """How a point ended. `tree`: of which source; what was tried on another one counts for nothing."""

    point: str
    tree: str
    reached: bool
    seconds: float
    violations: list[str] = field(default_factory=list)


class Ledger:
    """One line of JSON for each point; without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._entries = dict(_read(path)) if path is not None and path.exists() else {}

    def entries(self) -> Mapping[str, Entry]:
        """The points that were tried on this source."""
        return {point: entry for point, entry in self._entries.items() if entry.tree == tree()}

    def add(self, outcome: Outcome) -> None:
        """Write down how a point ended."""
        texts = [str(violation) for violation in outcome.violations]
        entry = Entry(outcome.name, tree(), outcome.reached, round(outcome.seconds, 1), texts)
        self._entries[entry.point] = entry
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps({name: getattr(entry, name) for name in Entry.__slots__}) + "\n")


def oracle_of(text: str) -> str:
    """Which oracle a violation's text is of."""
    return Violation(*text.split(": ", 1)).oracle


@cache
def tree() -> str:
    """A digest of the operator's source, as far as it is imported here: all of it that is played with."""
    files = {REPOSITORY / "operator" / "main.py"}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "penstock" and (path := getattr(module, "__file__", None)):
            files.add(Path(path))
    found = hashlib.sha256()
    for path in sorted(files):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def _read(path: Path) -> Iterator[tuple[str, Entry]]:
    for line in path.read_text().splitlines():
        entry = Entry(**json.loads(line))
        yield entry.point, entry
