"""Decisions taken once more from what was written down with them: the same facts must give the same decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.domain.audit.chain import basis_of, gap_before
from penstock.domain.lifecycle.decide import decide
from penstock.domain.lifecycle.observed import RULES_VERSION, Observed

__all__ = ["RULES", "RULES_VERSION", "SEEN", "Difference", "can_be_replayed", "facts", "observed", "replay"]

SEEN = "seen"
RULES = "rules"
_OBSERVED: TypeAdapter[Observed] = TypeAdapter(Observed)


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that does not follow from what was written down with it."""

    sequence: int
    sentence: str


def facts(seen: Observed) -> dict[str, Any]:
    """Return what a decision looked at, as it is written into its record: JSON values, without defaults."""
    found: dict[str, Any] = _OBSERVED.dump_python(seen, mode="json", by_alias=True, exclude_defaults=True)
    return found


def can_be_replayed(inputs: Mapping[str, Any]) -> bool:
    """Whether a record's decision was taken by rules that this program knows, and says what was seen."""
    return SEEN in inputs and inputs.get(RULES) in range(1, RULES_VERSION + 1)


def observed(written: Mapping[str, Any], rules: int = RULES_VERSION) -> Observed:
    """Return what `facts` was called on, to be decided by the rules of then.

    Raises pydantic.ValidationError for what it did not write.
    """
    return replace(_OBSERVED.validate_python(dict(written)), rules=rules)


def replay(records: Sequence[Mapping[str, Any]]) -> Iterator[Difference]:
    """Take every decision again and yield those that come out otherwise.

    `records`: the stored JSON of the specs, oldest first and whole (`domain.audit` proves that). Of a
    chain whose beginning was pruned the first record is the starting point.
    """
    for index, record in enumerate(records):
        number, inputs = int(record["sequence"]), record.get("inputs", {})
        gap, basis = gap_before(record), basis_of(records, index)
        if gap is not None and gap.found.sequence and basis is None:
            if index > 0:
                yield Difference(number, f"record {gap.found.sequence}, which it goes on from, is not here")
            continue
        if basis is not None or number == 1 or gap is not None:
            yield from _again(number, Checkpoint.model_validate(basis["result"]) if basis else None, record, inputs)


def _again(
    number: int, before: Checkpoint | None, record: Mapping[str, Any], inputs: Mapping[str, Any]
) -> Iterator[Difference]:
    if SEEN not in inputs:
        yield Difference(number, "it does not say what was seen, so that it cannot be taken again")
        return
    if not can_be_replayed(inputs):
        wrote = f"by rules of version {inputs.get(RULES)}, this program knows version {RULES_VERSION}"
        yield Difference(number, f"it was taken {wrote}; replay it with the release that took it")
        return
    try:
        seen = observed(inputs[SEEN], inputs[RULES])
    except ValidationError as error:
        yield Difference(number, f"what was seen cannot be read: {error.errors()[0]['msg']}")
        return
    commit = decide(before, seen)
    if commit is None:
        yield Difference(number, f"nothing was to be decided, and the record says {record['verdict']}")
        return
    if (commit.rule, commit.verdict.value) != (record["rule"], record["verdict"]):
        yield Difference(
            number,
            f"the rule {commit.rule} decides {commit.verdict.value},"
            f" the record says {record['rule']}: {record['verdict']}",
        )
    elif Checkpoint.model_validate(commit.result.as_json()) != Checkpoint.model_validate(record["result"]):
        yield Difference(number, f"{commit.rule} leads to another state than the one recorded")
