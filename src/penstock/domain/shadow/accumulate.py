"""Adds the readings of comparators up. A comparator that starts anew counts from 0 and has another instance."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TypeVar

from penstock.domain.shadow.view import Blocks, Counts, Latencies, Reading, ShadowView, Tally

Key = TypeVar("Key")


def accumulate(view: ShadowView, reading: Reading | None, min_samples: int) -> ShadowView:
    """Return the view after one more look. `reading` None: nobody answered, and nothing is added.

    A reading that is older than the one before, or has less in it, is ignored: the answer to an earlier question.
    """
    if reading is None:
        return replace(view, present=False, champion_pods=0, candidate_pods=0)
    known = view.counted if reading.instance == view.instance else Counts()
    if reading.instance == view.instance and view.at is not None and reading.at < view.at:
        return view
    new = _less(reading.counts, known)
    if new is None:
        return view
    counts = view.counts.plus(new)
    first = view.first
    if first is None and samples(counts.tally) >= min_samples:
        first = counts
    return ShadowView(
        present=True,
        instance=reading.instance,
        since=view.since or reading.since,
        at=reading.at,
        counts=counts,
        counted=reading.counts,
        first=first,
        champion_pods=reading.champion_pods,
        candidate_pods=reading.candidate_pods,
    )


def samples(tally: Tally) -> int:
    """Return how many requests both tracks have a say on: compared ones, and those that the candidate failed."""
    return tally.pairs + tally.candidate_errors


def _less(counts: Counts, known: Counts) -> Counts | None:
    """What is new in `counts`; None if it has less than was known."""
    tally = _difference(asdict(counts.tally), asdict(known.tally))
    blocks = _difference(asdict(counts.blocks), asdict(known.blocks))
    champion = _difference(dict(counts.latencies.champion), dict(known.latencies.champion))
    candidate = _difference(dict(counts.latencies.candidate), dict(known.latencies.candidate))
    if tally is None or blocks is None or champion is None or candidate is None:
        return None
    return Counts(Tally(**tally), Blocks(**blocks), Latencies(champion, candidate))


def _difference(counts: dict[Key, int], known: dict[Key, int]) -> dict[Key, int] | None:
    found = {name: counts.get(name, 0) - known.get(name, 0) for name in {*counts, *known}}
    return None if any(count < 0 for count in found.values()) else found
