"""Decisions taken once more from their records, and the numbers and evidence in them judged once more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from penstock.api.canonical import CanonicalizationError, canonical
from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.domain.approval import evidence_digest
from penstock.domain.audit.chain import basis_of
from penstock.domain.canary.analysis import AnalysisResult
from penstock.domain.canary.judge import judge
from penstock.domain.lifecycle.decide import decide
from penstock.domain.lifecycle.replay import RULES, SEEN, Difference, can_be_replayed, observed, replay

OPERATOR = "penstock"
"""The actor of what a rule decided."""
_WORDS = frozenset({RULES, SEEN, "message"})

Json = Mapping[str, Any]


def differences(records: Sequence[Json]) -> Iterator[Difference]:
    """Yield everything in a whole chain of record specs, oldest first, that does not follow from what it rests on.

    Rule, verdict and state of every decision; who is named for it; the facts it cites; the digest of the evidence
    that people were asked about; the verdict of every comparison, from its numbers. Of a chain whose beginning is
    not there the first record is the starting point.
    """
    found = list(replay(records))
    for index, record in enumerate(records):
        before = basis_of(records, index)
        if before is not None or record["sequence"] == 1:
            found += _cited(before, record)
        found += _evidence(record)
        found += _analyses(record)
    yield from sorted(found, key=lambda item: item.sequence)


def _cited(before: Json | None, record: Json) -> Iterator[Difference]:
    """Compare what the decision cites, and whom it names, with the decision taken again."""
    inputs, number = record.get("inputs", {}), record["sequence"]
    if not can_be_replayed(inputs):
        return
    try:
        state = Checkpoint.model_validate(before["result"]) if before is not None else None
        commit = decide(state, observed(inputs[SEEN], inputs[RULES]))
    except ValidationError:
        return
    if commit is None or commit.rule != record["rule"]:
        return  # `replay` tells of it
    if (commit.user or OPERATOR) != record.get("actor"):
        yield Difference(number, f"{commit.user or 'a rule'} decided it, the record names {record.get('actor')}")
    asked = commit.result.wanted if commit.result.wanted != (state.wanted if state is not None else None) else None
    requester = asked.requested_by if asked is not None else None
    origin = asked.source.value if asked is not None else None
    if (requester, origin) != (record.get("requestedBy"), record.get("origin")):
        yield Difference(number, "what it says of who asked for the revision does not follow from what was seen")
    for key, value in inputs.items():
        if key not in _WORDS and not _same(value, commit.inputs.get(key)):
            yield Difference(number, f"what it says of {key} does not follow from what was seen")


def _evidence(record: Json) -> Iterator[Difference]:
    inputs = record.get("inputs", {})
    if "evidence" not in inputs:
        return
    try:
        digest = evidence_digest(inputs["evidence"])
    except (CanonicalizationError, TypeError, ValueError):
        digest = "none"
    if digest != inputs.get("evidenceDigest"):
        said = inputs.get("evidenceDigest")
        yield Difference(record["sequence"], f"the evidence has the digest {digest}, people were asked about {said}")


def _analyses(record: Json) -> Iterator[Difference]:
    inputs = record.get("inputs", {})
    live = inputs.get(SEEN, {}).get("live", {}).get("findings", [])
    seen = [{**item, **item.get("numbers", {})} for item in live if isinstance(item, Mapping)]
    for item in [*inputs.get("analysis", []), *seen]:
        said = _misjudged(item)
        if said is not None:
            yield Difference(record["sequence"], said)


def _misjudged(item: Any) -> str | None:
    """Say that the numbers of a comparison give another verdict; None if they do not, or none were written down."""
    if not isinstance(item, Mapping) or "kind" not in item:
        return None
    numbers = {key: value for key, value in item.items() if key not in ("verdict", "message", "numbers")}
    try:
        verdict = judge(AnalysisResult.from_json(numbers)).verdict.value
    except (TypeError, ValueError, KeyError) as error:
        return f"the numbers of {item.get('name')} cannot be read: {error}"
    if verdict == item.get("verdict"):
        return None
    return f"the numbers of {item.get('name')} say {verdict}, the record says {item.get('verdict')}"


def _same(one: Any, other: Any) -> bool:
    try:
        return canonical(_kept(one)) == canonical(_kept(other))
    except CanonicalizationError:
        return False


def _kept(value: Any) -> Any:
    """What a record keeps of a value: everything but keys without one."""
    if isinstance(value, Mapping):
        return {key: _kept(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_kept(item) for item in value]
    return value
