"""The chain of the decision log: what makes a gap or a rewritten entry visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.api.v1alpha1.decisionrecord import content_hash


def broken_link(records: Sequence[Mapping[str, Any]]) -> str | None:
    """Return a sentence about the first break in a chain of record specs, or None if it is whole.

    `records`: the stored JSON of the specs, oldest first. A chain whose oldest records were
    pruned may start anywhere; from there on numbers and hashes must follow each other.
    """
    before: Mapping[str, Any] | None = None
    for record in records:
        number = record["sequence"]
        if content_hash(record) != record["hash"]:
            return f"record {number} does not have the content its hash was made from"
        if before is None:
            if (number == 1) != ("previousHash" not in record):
                return f"record {number} is the oldest, and what it says of its predecessor is wrong"
        elif number != before["sequence"] + 1:
            return f"record {before['sequence'] + 1} is missing before record {number}"
        elif record.get("previousHash") != before["hash"]:
            return f"record {number} does not follow record {before['sequence']}: the hashes differ"
        before = record
    return None
