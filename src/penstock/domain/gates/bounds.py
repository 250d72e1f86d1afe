"""Compares an interval with what is demanded: the bound decides, never the value alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from penstock.domain.gates.task import Problem
from penstock.domain.gates.verdict import Verdict

NOT_FINITE = Problem.NOT_FINITE.value

_PROBLEMS = {
    Problem.NO_DATA: Verdict.NO_DATA,
    Problem.NOT_DEFINED: Verdict.NO_DATA,
    Problem.TOO_FEW: Verdict.NO_DATA,
    Problem.NOT_FINITE: Verdict.ERROR,
    Problem.COLUMN_MISSING: Verdict.ERROR,
}


@dataclass(frozen=True, slots=True)
class Bound:
    """What a number must be at least, or at most."""

    value: Decimal
    at_least: bool

    @classmethod
    def of(cls, least: str | None, most: str | None) -> Bound | None:
        """Return the bound of a spec's `min` or `max`, whichever is there."""
        if least is not None:
            return cls(Decimal(least), at_least=True)
        return cls(Decimal(most), at_least=False) if most is not None else None

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.value}"

    def decide(self, lower: float, upper: float) -> Verdict:
        """Say what an interval shows: Pass if all of it is within the bound, Fail if nothing is. No NaN, please."""
        near, far = (lower, upper) if self.at_least else (upper, lower)
        if self._holds(near):
            return Verdict.PASS
        return Verdict.INCONCLUSIVE if self._holds(far) else Verdict.FAIL

    def _holds(self, number: float) -> bool:
        # By the digits that the number is written with: 0.72 reaches "0.72", whatever its bits are.
        exact = Decimal(repr(number))
        return exact >= self.value if self.at_least else exact <= self.value


@dataclass(frozen=True, slots=True)
class Measured:
    """A number as a Job reported it."""

    value: float | None
    lower: float | None
    upper: float | None
    n: int
    problem: Problem | None = None


def judge_interval(bound: Bound, measured: Measured) -> tuple[Verdict, str]:
    """Return the verdict and, where the numbers do not say it themselves, one word why."""
    if measured.problem is not None:
        return _PROBLEMS[measured.problem], measured.problem.value
    numbers = (measured.value, measured.lower, measured.upper)
    finite = [number for number in numbers if number is not None and math.isfinite(number)]
    if len(finite) < len(numbers):
        return Verdict.ERROR, NOT_FINITE
    if measured.n == 0:
        return Verdict.NO_DATA, Problem.NO_DATA.value
    _, lower, upper = finite
    if lower > upper:
        return Verdict.ERROR, "ImplausibleNumbers"
    return bound.decide(lower, upper), ""
