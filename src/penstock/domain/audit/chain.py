"""The chain of the decision log: what makes a gap or a rewritten entry visible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rfc8785 import CanonicalizationError

from penstock.api.v1alpha1.decisionrecord import content_hash

Json = Mapping[str, Any]


def broken_link(records: Sequence[Json]) -> str | None:
    """Return a sentence about the first break in a chain of record specs, or None if it is whole.

    `records`: the stored JSON of the specs, oldest first. A chain whose oldest records were
    pruned may start anywhere; from there on numbers and hashes must follow each other.
    """
    return next(breaks(records), None)


def breaks(records: Sequence[Json]) -> Iterator[str]:
    """Yield a sentence for every break in a chain of record specs, in the order in which they stand."""
    before: Json | None = None
    for record in records:
        number = record["sequence"]
        if not _is_sealed(record):
            yield f"record {number} does not have the content its hash was made from"
        if before is None:
            if (number == 1) != ("previousHash" not in record):
                yield f"record {number} is the oldest, and what it says of its predecessor is wrong"
        elif record.get("modelUID") != before.get("modelUID"):
            yield f"record {number} is about another Model than record {before['sequence']}"
        elif number != before["sequence"] + 1:
            yield _out_of_order(before["sequence"], number)
        elif record.get("previousHash") != before.get("hash"):
            yield f"record {number} does not follow record {before['sequence']}: the hashes differ"
        before = record


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


def _out_of_order(before: int, number: int) -> str:
    if number == before:
        return f"record {number} is there twice"
    if number < before:
        return f"record {number} stands behind record {before}"
    if number == before + 2:
        return f"record {before + 1} is missing before record {number}"
    return f"records {before + 1} to {number - 1} are missing before record {number}"
