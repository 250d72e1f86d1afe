"""The chain of the decision log: what makes a gap or a rewritten entry visible.

One gap is no break: where the API server's state was set back to a backup, the next record is `Restored`. It goes on
from the head that was found, and has the number after the newest one that is known to be lost; it names both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.api.canonical import CanonicalizationError
from penstock.api.v1alpha1.decisionrecord import content_hash
from penstock.domain.lifecycle.stages import Verdict

Json = Mapping[str, Any]
HEADS = "heads"
"""Under this key the inputs of a Restored record name the head that was found and the one that was lost."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a log: number and hash of a record, 0 and empty where there is none."""

    sequence: int
    hash: str


@dataclass(frozen=True, slots=True)
class Gap:
    """What a Restored record says of the records that are missing before it."""

    found: Head
    lost: Head

    def bridges(self, before: Head) -> bool:
        """Whether the record may stand behind this one: the head that was found, or one on the way to the lost one."""
        if before.sequence == self.lost.sequence:
            return before.hash == self.lost.hash
        if before.sequence == self.found.sequence:
            return before.hash == self.found.hash
        return self.found.sequence < before.sequence < self.lost.sequence


def gap_before(record: Json) -> Gap | None:
    """Return the gap that a record explains; None if it is not Restored, or does not name both heads as it must."""
    if record.get("verdict") != Verdict.RESTORED.value:
        return None
    try:
        named = record["inputs"][HEADS]
        found, lost = (Head(int(named[key]["sequence"]), str(named[key]["hash"])) for key in ("found", "lost"))
    except (KeyError, TypeError, ValueError):
        return None
    goes_on_from = found.hash if found.sequence else lost.hash
    sound = found.sequence < lost.sequence and record["sequence"] == lost.sequence + 1 and bool(lost.hash)
    return Gap(found, lost) if sound and record.get("previousHash") == goes_on_from else None


def head_of(record: Json) -> Head:
    """Return number and hash of a record."""
    return Head(int(record["sequence"]), str(record.get("hash")))


def follows(record: Json, before: Head) -> bool:
    """Whether a record may be the next one behind that head."""
    if record["sequence"] == before.sequence + 1 and record.get("previousHash") == before.hash:
        return True
    gap = gap_before(record)
    return gap is not None and gap.bridges(before)


def basis_of(records: Sequence[Json], index: int) -> Json | None:
    """Return the record on whose state this one rests, None if that is not here.

    That is the one before, but for a Restored one the head that was found.
    """
    gap = gap_before(records[index])
    if gap is None:
        return records[index - 1] if index else None
    return next((item for item in reversed(records[:index]) if head_of(item) == gap.found), None)


def broken_link(records: Sequence[Json]) -> str | None:
    """Return a sentence about the first break in a chain of record specs, or None if it is whole.

    `records`: the stored JSON of the specs, oldest first. A chain whose oldest records were
    pruned may start anywhere; from there on numbers and hashes must follow each other.
    """
    return next(breaks(records), None)


def breaks(records: Sequence[Json]) -> Iterator[str]:
    """Yield a sentence for every break in a chain of record specs, in the order in which they stand."""
    before: Json | None = None
    known: set[Head] = set()
    for record in records:
        number = record["sequence"]
        if not _is_sealed(record):
            yield f"record {number} does not have the content its hash was made from"
        if before is None:
            if (number == 1) != ("previousHash" not in record):
                yield f"record {number} is the oldest, and what it says of its predecessor is wrong"
        elif record.get("modelUID") != before.get("modelUID"):
            yield f"record {number} is about another Model than record {before['sequence']}"
        elif follows(record, head_of(before)):
            yield from _adrift(record, known)
        elif number != before["sequence"] + 1:
            yield _out_of_order(before["sequence"], number)
        else:
            yield f"record {number} does not follow record {before['sequence']}: the hashes differ"
        before = record
        known.add(head_of(record))


def record_name(spec: Json) -> str:
    """Return the name that the object of a record must have."""
    return f"{spec['modelName']}-{str(spec['modelUID']).replace('-', '')[:8]}-{int(spec['sequence']):010d}"


def misnamed(obj: Json) -> str | None:
    """Say that a DecisionRecord has the name of another one; None if it has its own, or none at all."""
    name = obj.get("metadata", {}).get("name")
    wanted = record_name(obj["spec"])
    if name is None or name == wanted:
        return None
    return f"the object {name} holds record {obj['spec']['sequence']} of {obj['spec']['modelName']}, which is {wanted}"


def is_record(spec: object) -> bool:
    """Whether this has what the chain is made of; nothing else can be looked at."""
    if not isinstance(spec, Mapping):
        return False
    number = spec.get("sequence")
    texts = all(isinstance(spec.get(key), str) for key in ("modelName", "modelUID", "hash", "verdict", "rule"))
    return (
        isinstance(number, int) and not isinstance(number, bool) and texts and isinstance(spec.get("result"), Mapping)
    )


def _is_sealed(record: Json) -> bool:
    try:
        return content_hash(record) == record.get("hash")
    except CanonicalizationError:
        return False  # what was sealed could be written, so this is something else


def _adrift(record: Json, known: set[Head]) -> Iterator[str]:
    """Say that a Restored record goes on from a head that should be here and is not."""
    gap = gap_before(record)
    if gap is not None and gap.found.sequence >= min(item.sequence for item in known) and gap.found not in known:
        yield f"record {record['sequence']} goes on from another record {gap.found.sequence} than the one here"


def _out_of_order(before: int, number: int) -> str:
    if number == before:
        return f"record {number} is there twice"
    if number < before:
        return f"record {number} stands behind record {before}"
    if number == before + 2:
        return f"record {before + 1} is missing before record {number}"
    return f"records {before + 1} to {number - 1} are missing before record {number}"
