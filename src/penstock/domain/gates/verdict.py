"""What is said about a revision: one verdict per requirement of a gate, and one about all of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What evidence shows. Error and NoData hold; they are not Fail and never Pass."""

    PASS = "Pass"  # noqa: S105 - a verdict
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"
    NO_DATA = "NoData"
    NOT_APPLICABLE = "NotApplicable"
    """There is no champion to compare with; enough for a first revision only."""
    ERROR = "Error"


# The worst first. A shown Fail stays one, whatever else could not be measured.
_WORST_FIRST = (
    Verdict.FAIL,
    Verdict.ERROR,
    Verdict.NO_DATA,
    Verdict.INCONCLUSIVE,
    Verdict.PASS,
    Verdict.NOT_APPLICABLE,
)


def rank(verdict: Verdict) -> int:
    """Return the place of a verdict among all, the worst being 0."""
    return _WORST_FIRST.index(verdict)


def worst_of(*verdicts: Verdict) -> Verdict:
    """Return the one that decides for all."""
    return min(verdicts, key=rank)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that a gate demands, and what was seen of it.

    `id`: `METRIC`, `METRIC/champion`, `METRIC/slices`, `FAIRNESS/COLUMN` or `latency`. `threshold`: such as `>= 0.72`.
    `reason`: one CamelCase word where the numbers alone do not say it. `blocking`: whether anything but Pass and
    NotApplicable keeps the gate from passing; else only Fail and Error do.
    """

    id: str
    verdict: Verdict
    threshold: str
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    n: int = 0
    champion: float | None = None
    difference: float | None = None
    difference_lower: float | None = None
    difference_upper: float | None = None
    slice: str = ""
    slices: int = 0
    reason: str = ""
    blocking: bool = True

    @property
    def effect(self) -> Verdict:
        """What it means for the gate: what only warns counts as passed."""
        warns = not self.blocking and self.verdict in (Verdict.INCONCLUSIVE, Verdict.NO_DATA)
        return Verdict.PASS if warns else self.verdict

    def sentence(self) -> str:
        """Return what people read: the numbers, what is demanded and what follows."""
        name = self.id + (f" ({self.slice}, the worst of {self.slices})" if self.slice else "")
        numbers = "not measured" if self.value is None else short(self.value)
        if self.difference is not None:
            numbers += f", difference {short(self.difference)}{_interval(self.difference_lower, self.difference_upper)}"
        else:
            numbers += _interval(self.lower, self.upper)
        count = f", n {self.n}" if self.n else ""
        why = f", {self.reason}" if self.reason else ""
        warning = " (only a warning)" if self.effect is not self.verdict else ""
        return f"{name}: {numbers}{count}, demanded {self.threshold}: {self.verdict.value}{why}{warning}"

    def as_json(self) -> dict[str, str | int]:
        """Return what the decision log and status keep of it: numbers as short decimal strings."""
        content: dict[str, str | int] = {"id": self.id, "verdict": self.verdict.value, "threshold": self.threshold}
        for name, value in (
            ("value", self.value),
            ("lower", self.lower),
            ("upper", self.upper),
            ("champion", self.champion),
            ("difference", self.difference),
            ("differenceLower", self.difference_lower),
            ("differenceUpper", self.difference_upper),
        ):
            if value is not None:
                content[name] = short(value)
        if self.n:
            content["n"] = self.n
        if self.slice:
            content["slice"] = self.slice
        if self.slices:
            content["slices"] = self.slices
        if self.reason:
            content["reason"] = self.reason
        return content


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """What a gate says about a revision.

    `needs_approval`: inconclusive, and the gate's onInconclusive is RequireApproval: a person may let it go on.
    `again`: whether another attempt could say more; the seed is the same, so only failures of the way are.
    """

    verdict: Verdict
    reason: str
    message: str
    requirements: tuple[Requirement, ...] = ()
    needs_approval: bool = False
    again: bool = False

    @property
    def settled(self) -> bool:
        """Whether this stays what is known until revision, gate or data change."""
        return not self.again

    def numbers(self, most: int = 16) -> list[dict[str, str | int]]:
        """Return up to `most` requirements for the log, those that decide first."""
        return [item.as_json() for item in self.requirements[:most]]


def short(value: float) -> str:
    """Write a number for people and logs, in at most six significant digits."""
    return f"{value:.6g}"


def _interval(lower: float | None, upper: float | None) -> str:
    if lower is None and upper is None:
        return ""
    return f" ({'?' if lower is None else short(lower)} to {'?' if upper is None else short(upper)})"
