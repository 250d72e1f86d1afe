"""Whether everything that is known of a Model's log is one unbroken chain: in files, in the cluster, exported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.domain.audit.chain import Json, breaks, gap_before, misnamed
from penstock.domain.audit.segment import Segment, Verifier, flaws, records_of


@dataclass(frozen=True, slots=True)
class KnownLog:
    """What is known of one Model's log.

    `records`: DecisionRecords in the order in which they are stored. `segments`: exported ones, the oldest first.
    `sequence`, `head`: number and hash of the newest record by the Model's status, where that is known.
    """

    namespace: str
    model: str
    model_uid: str
    records: Sequence[Json] = ()
    segments: Sequence[Segment] = ()
    sequence: int | None = None
    head: str | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """The result. `chain`: the specs of exported and stored records as one, the oldest first."""

    chain: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def verify(log: KnownLog, signed_by: Verifier | None = None, *, whole: bool = True) -> Verified:
    """Look at everything and return one sentence for each break.

    `signed_by`: judges signatures of segments, None to leave them out. `whole`: the chain must begin with record 1.
    """
    stored = [obj["spec"] for obj in log.records]
    exported = [obj["spec"] for obj in records_of(log.segments)]
    end = exported[-1]["sequence"] if exported else 0
    chain = [*exported, *(spec for spec in stored if spec["sequence"] > end)]
    problems = [
        *(said for obj in log.records if (said := misnamed(obj)) is not None),
        *flaws(log.segments, signed_by),
        *breaks(stored),
        *_altered(exported, stored),
        *breaks(chain),
        *_beginning(chain, whole),
        *_end(chain, log),
    ]
    return Verified(chain, list(dict.fromkeys(problems)))


def _altered(exported: Iterable[Json], stored: Iterable[Json]) -> Iterator[str]:
    """Compare the records that are both in the cluster and exported."""
    outside = {spec["sequence"]: spec["hash"] for spec in exported}
    for spec in stored:
        if outside.get(spec["sequence"], spec["hash"]) != spec["hash"]:
            yield f"record {spec['sequence']} is not the one that was exported under that number"


def _beginning(chain: Sequence[Json], whole: bool) -> Iterator[str]:
    if not whole or not chain or chain[0]["sequence"] == 1:
        return
    gap = gap_before(chain[0])
    if gap is None or gap.found.sequence > 0:
        yield f"records 1 to {chain[0]['sequence'] - 1} are not here; they may have been exported to the artifact store"


def _end(chain: Sequence[Json], log: KnownLog) -> Iterator[str]:
    """Compare the newest record with what the Model shows: a chain cannot tell that its end is missing."""
    if log.sequence is None:
        return
    newest = int(chain[-1]["sequence"]) if chain else 0
    if newest < log.sequence:
        yield f"the Model shows decision {log.sequence}, and the log ends at {newest}"
    shown = next((spec for spec in chain if spec["sequence"] == log.sequence), None)
    if shown is not None and log.head is not None and shown["hash"] != log.head:
        yield f"the Model shows another hash for record {log.sequence} than the record has"
