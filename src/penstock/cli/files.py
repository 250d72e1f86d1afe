"""DecisionRecords out of files: JSON lines, a list as kubectl prints it, or one object."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from penstock.cli.cluster import Trouble
from penstock.domain.audit.chain import is_record

Json = dict[str, Any]


def read(paths: Iterable[Path]) -> dict[tuple[str, str, str], list[Json]]:
    """Return the records of all files by namespace, Model and its uid, in the order in which they stand.

    Files may come in any order: those of one Model are put together by the number that they begin with. Raises
    Trouble for a file that cannot be read.
    """
    parts: dict[tuple[str, str, str], list[list[Json]]] = {}
    for path in paths:
        of_file: dict[tuple[str, str, str], list[Json]] = {}
        for obj in _objects(path):
            spec = obj["spec"]
            key = (str(obj.get("metadata", {}).get("namespace", "")), spec["modelName"], spec["modelUID"])
            of_file.setdefault(key, []).append(obj)
        for key, objects in of_file.items():
            parts.setdefault(key, []).append(objects)
    return {
        key: [obj for part in sorted(found, key=lambda part: int(part[0]["spec"]["sequence"])) for obj in part]
        for key, found in sorted(parts.items())
    }


def _objects(path: Path) -> Iterator[Json]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Trouble(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}.") from None
    for place, value in _values(path, text):
        for item in value.get("items", [value]) if isinstance(value, dict) else [value]:
            obj = item if isinstance(item, dict) and "spec" in item else {"spec": item}
            if not is_record(obj["spec"]):
                raise Trouble(f"{place} is no DecisionRecord.")
            yield obj


def _values(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    try:
        yield str(path), json.loads(text)
        return
    except ValueError:
        pass  # more than one value: a line each
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield f"{path}, line {number}", json.loads(line)
            except ValueError:
                raise Trouble(f"{path}, line {number} is no JSON.") from None
