"""What is known of a log beside the log itself: how far it was written, by an export or by somebody's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.checkpoint import Checkpoint, RejectedRevision
from penstock.api.v1alpha1.fields import Hash
from penstock.api.v1alpha1.fields import Sequence as Number
from penstock.domain.lifecycle.observed import LostHead


class KnownHead(ApiType):
    """A decision that was taken, whether or not the cluster still has its record."""

    sequence: Number
    hash: Hash
    quarantines: list[RejectedRevision] = Field(default_factory=list)
    """Which were open then."""


def open_quarantines(state: Checkpoint) -> list[RejectedRevision]:
    """Return what needs a named release to come back."""
    return [item for item in state.rejected if item.quarantined]


def lost_head(sequence: int, digest: str, known: Mapping[str, KnownHead | None]) -> LostHead | None:
    """Return the newest decision behind the end of a log, None if the log has everything that is known.

    `sequence`, `digest`: of the log's own head, 0 and empty if it has no record. `known`: by who knows of it.
    """
    ahead = [(item.sequence, who, item) for who, item in known.items() if item and item.sequence > sequence]
    if not ahead:
        return None
    ahead.sort(key=lambda found: found[:2])
    _, who, newest = ahead[-1]
    return LostHead(newest.sequence, newest.hash, digest, who, _together([item for _, _, item in ahead]))


def newer(one: KnownHead | None, other: KnownHead) -> KnownHead:
    """Return the one that knows more."""
    return one if one is not None and one.sequence >= other.sequence else other


def _together(heads: Sequence[KnownHead]) -> tuple[RejectedRevision, ...]:
    """Return the quarantines of all heads, the oldest head first: what anybody knows of has to be released by name."""
    return tuple({item.revision: item for head in heads for item in head.quarantines}.values())
