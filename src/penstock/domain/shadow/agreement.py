"""When two answers to the same request count as different."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeGuard

from penstock.api.v1alpha1.evaluationgate import REGRESSION, EvaluationGateSpec
from penstock.domain.gates.task import Disagreement

# One row of one output: a list of values, or {"values": the first, "size": how many, "top": where the largest is,
# "digest": of all} for a row of many.
Row = Sequence[Any] | Mapping[str, Any]


class Measure(StrEnum):
    """What an answer is."""

    AUTO = "Auto"
    """A decision, or a number if it is one floating-point value: nobody says what it means."""
    DECISION = "Decision"
    """A label, a score with a threshold, or one score per class."""
    NUMBER = "Number"


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """How two answers are compared.

    `output`: the tensor that is; found by its form if None. `threshold`: the score from which on a row is positive.
    `tolerance`: two numbers, or two scores on both sides of the threshold, that are no further apart are the same.
    `relative`: the same for numbers of which nobody knows the size, as a part of the champion's.
    """

    measure: Measure = Measure.AUTO
    output: str | None = None
    threshold: float = 0.5
    tolerance: float = 0.0
    relative: float = 0.01

    @classmethod
    def of(cls, gate: EvaluationGateSpec | None, found: Disagreement | None) -> AnswerRule:
        """Compare live answers as the gate compared those on its holdout, so that the two fractions mean the same."""
        if gate is None:
            return cls()
        if all(metric.name in REGRESSION for metric in gate.metrics):
            far = found.p95 if found is not None and found.p95 is not None else None
            return cls(Measure.AUTO if far is None else Measure.NUMBER, gate.output, tolerance=far or 0.0)
        return cls(Measure.DECISION, gate.output, float(gate.threshold))

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON from which `from_json` makes the same value."""
        return {
            "measure": self.measure.value,
            "output": self.output,
            "threshold": self.threshold,
            "tolerance": self.tolerance,
            "relative": self.relative,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AnswerRule:
        """Read what `as_json` wrote. Raises ValueError for anything else."""
        try:
            output = value["output"]
            return cls(
                Measure(value["measure"]),
                None if output is None else str(output),
                float(value["threshold"]),
                float(value["tolerance"]),
                float(value["relative"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not a rule for answers: {error}") from None


def differ(rule: AnswerRule, champion: Mapping[str, Row], candidate: Mapping[str, Row]) -> bool | None:
    """Whether two rows differ; None if they have nothing that could be compared."""
    name = _chosen(rule, champion)
    if name is None or name not in candidate:
        return None
    mine, theirs = champion[name], candidate[name]
    ours, others = _values(mine), _values(theirs)
    if _size(mine) != _size(theirs) or not ours or len(ours) != len(others):
        return None
    if not _are_floats(ours) or not _are_floats(others):
        if rule.measure is Measure.NUMBER and _are_numbers(ours) and _are_numbers(others):
            return _apart(rule.tolerance, ours, others)
        return bool(_content(mine) != _content(theirs))
    if rule.measure is Measure.NUMBER:
        return _apart(rule.tolerance, ours, others)
    if _size(mine) > 2:
        return _top(mine) != _top(theirs)
    if rule.measure is Measure.AUTO and _size(mine) == 1:
        return abs(ours[0] - others[0]) > rule.relative * max(abs(ours[0]), abs(others[0]))
    mine_score, their_score = ours[-1], others[-1]
    flipped = (mine_score >= rule.threshold) != (their_score >= rule.threshold)
    return flipped and abs(mine_score - their_score) > rule.tolerance


def _chosen(rule: AnswerRule, outputs: Mapping[str, Row]) -> str | None:
    """The output that says most: one score per class, then a single number, then whatever is first."""
    if rule.output is not None:
        return rule.output if rule.output in outputs else None
    of_floats = [name for name, row in outputs.items() if _are_floats(_values(row))]
    of_classes = [name for name in of_floats if _size(outputs[name]) > 1]
    return next(iter([*of_classes, *of_floats, *outputs]), None)


def _values(row: Row) -> Sequence[Any]:
    values: Sequence[Any] = row["values"] if isinstance(row, Mapping) else row
    return values


def _size(row: Row) -> int:
    return int(row["size"]) if isinstance(row, Mapping) else len(row)


def _top(row: Row) -> int:
    if isinstance(row, Mapping):
        return int(row["top"])
    return max(range(len(row)), key=lambda index: row[index])


def _content(row: Row) -> Any:
    return row["digest"] if isinstance(row, Mapping) else list(row)


def _apart(tolerance: float, ours: Sequence[float], others: Sequence[float]) -> bool:
    return any(abs(mine - theirs) > tolerance for mine, theirs in zip(ours, others, strict=True))


def _are_floats(values: Sequence[Any]) -> TypeGuard[Sequence[float]]:
    return bool(values) and all(isinstance(value, float) for value in values)


def _are_numbers(values: Sequence[Any]) -> TypeGuard[Sequence[float]]:
    return all(isinstance(value, int | float) for value in values)
