"""What a person is asked to approve, as it is written down: shown, and checked against its digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penstock.cli.text import number
from penstock.domain.approval import evidence_digest

Json = Mapping[str, Any]


def snapshot(records: Sequence[Json], digest: str) -> Json | None:
    """Return the evidence of that digest from the log, None if no record that is kept has it.

    `records`: specs, the oldest first. What does not have the digest is not what people were asked about.
    """
    for record in reversed(records):
        inputs = record.get("inputs", {})
        if inputs.get("evidenceDigest") == digest and "evidence" in inputs:
            found: Json = inputs["evidence"]
            return found if evidence_digest(found) == digest else None
    return None


def describe(found: Json, digest: str) -> Iterator[str]:
    """Yield the evidence as lines for a person."""
    yield f"Revision {found.get('revision')} of Model {found.get('model')}"
    yield f"Evidence {digest}"
    for gate in found.get("gates", []):
        yield f"  gate {gate['name']}: {gate['verdict']}, dataset {gate.get('datasetDigest', 'unknown')}"
        for name, numbers in gate.get("numbers", {}).items():
            yield f"    {name}: {_numbers(numbers)}"
    live = [*([found["shadow"]] if found.get("shadow") else []), *found.get("analysis", [])]
    for item in live:
        yield f"  {item['name']}: {item['verdict']}, n {item['n']}, {_numbers(item.get('numbers', {}))}"
    approval = found.get("plan", {}).get("approval", {})
    yield f"  approvals needed: {approval.get('quorum', 1)}"


_SHOWN = ("value", "champion", "candidate", "difference", "lower", "upper", "threshold", "excess", "verdict")


def _numbers(numbers: Any) -> str:
    if not isinstance(numbers, Mapping):
        return number(numbers)
    return ", ".join(f"{key} {number(numbers[key])}" for key in _SHOWN if numbers.get(key) is not None)
