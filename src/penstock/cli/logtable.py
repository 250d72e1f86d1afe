"""The decision log as a table: for the screen, as JSON, or as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.cli.text import moment, table

Json = Mapping[str, Any]
HEAD = ("sequence", "time", "actor", "rule", "verdict", "message")
# Programs that open CSV take what begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def render(records: Sequence[Json], form: str) -> str:
    """Return the log of one Model, the oldest decision first. `form`: table, json or csv."""
    if form == "json":
        return "".join(json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n" for record in records)
    rows = [_row(record) for record in records]
    if form == "csv":
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows([[_harmless(cell) for cell in row] for row in rows])
        return written.getvalue()
    return "\n".join(table([cell.upper() for cell in HEAD], rows)) + "\n"


def _row(record: Json) -> list[str]:
    message = str(record.get("inputs", {}).get("message", ""))
    return [
        str(record["sequence"]),
        moment(record["time"]),
        str(record["actor"]),
        str(record["rule"]),
        str(record["verdict"]),
        message,
    ]


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
