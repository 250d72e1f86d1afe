"""Which decisions are due to be written outside the cluster, and which may leave it then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from penstock.domain.audit.chain import Json

KEPT_NEWEST = 32
KEPT_YOUNG = timedelta(hours=24)
MAX_SEGMENT = 100
"""Records of one segment: at 8 KiB each it stays below a megabyte."""
MAX_OPEN = 100
"""So many records of a rollout that goes on are written in parts: it must not block its own log."""
BLOCKED_ABOVE = 200
"""So many records of one Model that were not exported, and only what protects is decided."""


@dataclass(frozen=True, slots=True)
class _Owned:
    """A record and the revision that is under way in it, `entered` telling apart two tries of one revision."""

    record: Json
    revision: str | None
    entered: int


def segments_due(records: Sequence[Json], exported: int, *, gone: bool = False) -> list[list[Json]]:
    """Return the records to be exported now, one list for each segment, the oldest first.

    `records`: specs of one Model, oldest first. `exported`: the number of the last record outside. A rollout is
    written once it is closed, with what was decided until the next one begins. `gone`: the Model does not exist any
    more, so that nothing of it goes on.
    """
    found: list[list[Json]] = []
    current: list[Json] = []
    before: Json | None = None
    for record in records:
        if record["sequence"] > exported:
            begins = _under_way(before) is None and _under_way(record) is not None
            if current and (begins or len(current) >= MAX_SEGMENT):
                found.append(current)
                current = []
            current.append(record)
        before = record
    if current and (gone or _under_way(before) is None or len(current) >= MAX_OPEN):
        found.append(current)
    return found


def prunable(records: Sequence[Json], exported: int, now: datetime, *, gone: bool = False) -> list[int]:
    """Return the numbers of records that may be deleted: from the oldest on, so that what stays is one chain.

    Never one that is not exported, the newest 32, one younger than 24 h, or one behind the stable revision, those
    kept for the way back, the candidate or an open quarantine. `gone`: the Model does not exist any more, nobody
    decides about it again; then only age and open quarantines, which outlive it, hold records back.
    """
    if not records:
        return []
    needed = _needed(records, gone=gone)
    end = records[-1]["sequence"] - (KEPT_NEWEST if not gone else 0)
    found = []
    for record in records:
        number, young = record["sequence"], now - moment(record) < KEPT_YOUNG
        if number > exported or number > end or young or number in needed:
            break
        found.append(number)
    return found


def unexported(sequence: int, exported: int | None) -> int:
    """Return how many decisions exist in the cluster alone. `exported` None: nothing was ever exported."""
    return max(0, sequence - (exported or 0))


def export_blocked(sequence: int, exported: int | None) -> bool:
    """Whether so many decisions wait for their export that only harm, Reject and Rollback are decided."""
    return unexported(sequence, exported) > BLOCKED_ABOVE


def moment(record: Json) -> datetime:
    """Return when a decision was taken."""
    return datetime.fromisoformat(record["time"])


def _needed(records: Sequence[Json], *, gone: bool) -> frozenset[int]:
    """Return the numbers of the records that present decisions rest on."""
    head: dict[str, Any] = dict(records[-1]["result"])
    quarantined = {item["revision"] for item in head.get("rejected", []) if item.get("quarantined")}
    revisions, numbers = set(quarantined), set(_quarantines(records))
    if quarantined:
        numbers.add(records[-1]["sequence"])  # the head says that it is open
    if not gone:
        candidate = head.get("candidate") or {}
        previous = head.get("previous", [])
        revisions |= {item["revision"] for item in previous} | {head.get("stable"), candidate.get("revision")}
        cited = {head.get("stableSince", 0), candidate.get("cites", 0), *(item.get("sequence", 0) for item in previous)}
        numbers |= cited
    owned = list(_owned(records))
    latest = {item.revision: item.entered for item in owned if item.revision in revisions}
    tries = set(latest.items()) | {(o.revision, o.entered) for o in owned if o.record["sequence"] in numbers}
    tries.discard((None, 0))
    return frozenset(
        item.record["sequence"]
        for item in owned
        if item.record["sequence"] in numbers or (item.revision, item.entered) in tries
    )


def _owned(records: Sequence[Json]) -> Iterator[_Owned]:
    """Yield each record with the rollout that it belongs to; the one that ends a rollout belongs to it."""
    before: Json | None = None
    for record in records:
        owner = _under_way(record) or _under_way(before)
        yield _Owned(record, owner["revision"] if owner else None, int(owner.get("entered", 0)) if owner else 0)
        before = record


def _quarantines(records: Sequence[Json]) -> Iterator[int]:
    """Yield the number of the record in which each open quarantine began."""
    head = records[-1]["result"]
    for item in head.get("rejected", []):
        if not item.get("quarantined"):
            continue
        began = None
        for record in reversed(records):
            if not any(_is_same(item, other) for other in record["result"].get("rejected", [])):
                break
            began = record["sequence"]
        if began is not None:
            yield began


def _is_same(one: Json, other: Json) -> bool:
    return (one["revision"], one.get("at"), True) == (other["revision"], other.get("at"), other.get("quarantined"))


def _under_way(record: Json | None) -> Json | None:
    found: Json | None = record["result"].get("candidate") if record is not None else None
    return found
