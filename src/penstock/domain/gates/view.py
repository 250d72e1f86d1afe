"""One gate as the decision about a candidate sees it: plain values, nothing of Jobs or pods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from penstock.domain.gates.task import Disagreement
from penstock.domain.gates.verdict import Verdict


@dataclass(frozen=True, slots=True)
class GateView:
    """What is known of one gate of the plan about one revision at this moment.

    Either there is a `verdict`, or `waiting` says in a sentence what is waited for: that the gate can be asked
    (`present`, `valid`), its data, or the end of the Job (`running`). A verdict Error with `retry_at` is tried again.
    """

    name: str
    present: bool = True
    """Whether the EvaluationGate exists."""
    valid: bool = True
    """Whether it can be used; `waiting` says why not."""
    spec_hash: str | None = None
    bars: Mapping[str, str] = field(default_factory=dict)
    """How high its bars are, see `domain.gates.bars`."""
    attempt: int = 0
    """The attempt that is running, or whose result this is; 0 before the first."""
    running: bool = False
    waiting: str = ""
    retry_at: datetime | None = None
    """When to look again; None if only events matter."""
    verdict: Verdict | None = None
    needs_approval: bool = False
    """Inconclusive, and the gate lets a person decide."""
    reason: str = ""
    message: str = ""
    numbers: tuple[Mapping[str, str | int], ...] = ()
    """The requirements, those that decide first; decimal strings."""
    dataset_digest: str | None = None
    report_digest: str | None = None
    expected_disagreement: Mapping[str, Any] | None = None
    """{n, labelFlips, meanAbsoluteDifference, p95} against the champion on the holdout, the last two as decimal
    strings and absent where they could not be taken; None without a champion that answered every row."""
    looks: int = 0
    """How many different revisions have been evaluated on these rows, for who approves; 0 if not known."""
    reused: bool = False
    """Whether the result is an earlier one of the same revision, gate and data."""
    fresh: bool = False
    """Whether the result comes from a Job that is still there: record it, then name it in `recorded`."""


def disagreement_of(expected: Mapping[str, Any] | None) -> Disagreement | None:
    """Read `expected_disagreement` back, as the log keeps it; None if there is none or it is something else."""
    if expected is None:
        return None
    try:
        return Disagreement(
            n=int(expected["n"]),
            label_flips=int(expected["labelFlips"]),
            mean_absolute_difference=_number(expected.get("meanAbsoluteDifference")),
            p95=_number(expected.get("p95")),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _number(text: Any) -> float | None:
    return None if text is None else float(text)
