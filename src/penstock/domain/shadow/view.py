"""What is known of a shadow, as plain values: the counts of comparators added up, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Tally:
    """Copied requests by what became of them; every number only grows.

    `pairs`: both answered and were compared, `disagreements` of them differently. `candidate_errors`: the champion
    answered, the candidate refused or failed. `unpaired`: the champion answered, the copy's answer never came although
    it would have been seen. `champion_errors`: the champion did not answer, which says nothing about the candidate.
    `unobserved`: no copy was seen at a time when not everything could be seen. `orphans`: copies whose original was not
    seen. `incomparable`: both answered, but the outputs have nothing that could be compared. `lost`: answers that a
    pod's ring had to forget before they were read.
    """

    pairs: int = 0
    disagreements: int = 0
    candidate_errors: int = 0
    unpaired: int = 0
    champion_errors: int = 0
    unobserved: int = 0
    orphans: int = 0
    incomparable: int = 0
    lost: int = 0

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        mine, theirs = asdict(self), asdict(other)
        return Tally(**{name: mine[name] + theirs[name] for name in mine})


@dataclass(frozen=True, slots=True)
class Blocks:
    """Sums over blocks of time with n judged requests and k differing ones: they tell how bursty the k are."""

    count: int = 0
    n: int = 0
    k: int = 0
    n_squared: int = 0
    k_squared: int = 0
    n_times_k: int = 0

    def plus(self, other: Blocks) -> Blocks:
        """Both together."""
        mine, theirs = asdict(self), asdict(other)
        return Blocks(**{name: mine[name] + theirs[name] for name in mine})

    def with_block(self, n: int, k: int) -> Blocks:
        """One more block."""
        return self.plus(Blocks(1, n, k, n * n, k * k, n * k))


Cells = Mapping[int, int]
"""A histogram of seconds: cell of `latency.cell_of` → count."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long the champion and the candidate took for the same requests, both answered with 200."""

    champion: Cells = field(default_factory=dict)
    candidate: Cells = field(default_factory=dict)

    def plus(self, other: Latencies) -> Latencies:
        """Both together."""
        return Latencies(_sum(self.champion, other.champion), _sum(self.candidate, other.candidate))


@dataclass(frozen=True, slots=True)
class Counts:
    """Everything that is counted, together."""

    tally: Tally = Tally()
    blocks: Blocks = Blocks()
    latencies: Latencies = Latencies()

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(
            self.tally.plus(other.tally), self.blocks.plus(other.blocks), self.latencies.plus(other.latencies)
        )

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON from which `from_json` makes the same value."""
        return {
            "tally": asdict(self.tally),
            "blocks": asdict(self.blocks),
            "championCells": {str(cell): count for cell, count in sorted(self.latencies.champion.items())},
            "candidateCells": {str(cell): count for cell, count in sorted(self.latencies.candidate.items())},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Counts:
        """Read what `as_json` wrote. Raises ValueError for anything else."""
        try:
            return cls(
                Tally(**_integers(value["tally"])),
                Blocks(**_integers(value["blocks"])),
                Latencies(_cells(value["championCells"]), _cells(value["candidateCells"])),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"these are not the counts of a shadow: {error}") from None


@dataclass(frozen=True, slots=True)
class Reading:
    """What one comparator has counted since it started, as read at `at`.

    `instance` is another one after every restart, from which on it counts from 0 again. The numbers of pods are those
    whose answers it can see at the moment.
    """

    instance: str
    since: datetime
    at: datetime
    counts: Counts
    champion_pods: int = 0
    candidate_pods: int = 0


@dataclass(frozen=True, slots=True)
class ShadowView:
    """The shadow of one candidate so far: all comparators of it added up.

    `present`: somebody counts at the moment. `counted`: what of `counts` comes from `instance`, so that a reading of
    the same one adds only what is new. `first`: the counts at the first look that had the plan's `minSamples`.
    """

    present: bool = False
    instance: str = ""
    since: datetime | None = None
    at: datetime | None = None
    counts: Counts = Counts()
    counted: Counts = Counts()
    first: Counts | None = None
    champion_pods: int = 0
    candidate_pods: int = 0

    @property
    def pairs(self) -> int:
        """Requests whose two answers were compared."""
        return self.counts.tally.pairs

    @property
    def disagreements(self) -> int:
        """Pairs with different answers."""
        return self.counts.tally.disagreements

    @property
    def unpaired(self) -> int:
        """Requests that only the champion answered."""
        return self.counts.tally.unpaired

    @property
    def candidate_errors(self) -> int:
        """Requests that the candidate failed."""
        return self.counts.tally.candidate_errors

    @property
    def champion_errors(self) -> int:
        """Requests that the champion failed."""
        return self.counts.tally.champion_errors

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON, to be kept in a status; `present` and the pods are of the moment and left out."""
        return {
            "instance": self.instance,
            "since": _text(self.since),
            "at": _text(self.at),
            "counts": self.counts.as_json(),
            "counted": self.counted.as_json(),
            "first": self.first.as_json() if self.first else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ShadowView:
        """Read what `as_json` wrote. Raises ValueError for anything else."""
        try:
            return cls(
                instance=str(value["instance"]),
                since=_time(value["since"]),
                at=_time(value["at"]),
                counts=Counts.from_json(value["counts"]),
                counted=Counts.from_json(value["counted"]),
                first=Counts.from_json(value["first"]) if value["first"] is not None else None,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not a shadow: {error}") from None


def _sum(one: Cells, other: Cells) -> dict[int, int]:
    return {cell: one.get(cell, 0) + other.get(cell, 0) for cell in {*one, *other}}


def _integers(value: Mapping[str, Any]) -> dict[str, int]:
    for name, number in value.items():
        if type(number) is not int or number < 0:
            raise ValueError(f"{name} must be a whole number from 0 on")
    return dict(value)


def _cells(value: Mapping[str, Any]) -> dict[int, int]:
    return {int(cell): count for cell, count in _integers(value).items()}


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
