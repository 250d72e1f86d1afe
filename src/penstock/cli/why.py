"""Why a Model is where it is, in plain sentences: the last decisions, by which rule, and what is missing now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penstock.api.v1alpha1.model import Model
from penstock.cli.settle import Ending, rest
from penstock.cli.text import moment, number
from penstock.cli.tree import notable

Json = Mapping[str, Any]

LAST = 5
_PRESENT = {"RollBack": "was rolled back", "Reject": "was rejected", "Refuse": "was refused"}


def explain(model: Model, records: Sequence[Json], last: int = LAST) -> Iterator[str]:
    """Yield the sentences. `records`: specs of the log, the oldest first."""
    yield from _now(model)
    yield from _missing(model)
    if not records:
        yield "Nothing was decided yet."
        return
    yield f"The last {min(last, len(records))} of {len(records)} decisions that are kept, the newest first:"
    before = [None, *records[:-1]]
    for record, former in list(zip(records, before, strict=True))[::-1][:last]:
        yield f"- {sentence(record, former)}"


def sentence(record: Json, before: Json | None) -> str:
    """Return a decision as a sentence: what, when, because of which numbers, by which rule and whom."""
    inputs = record.get("inputs", {})
    verdict, said = record["verdict"], str(inputs.get("message", record["verdict"])).rstrip(".")
    revision = _revision(record, before)
    at, ending = moment(record["time"]), _decided(record)
    if verdict in ("RollBack", "Reject") and revision:
        return f"Revision {revision} {_PRESENT[verdict]} at {at} because of {_cause(record, said)}, {ending}."
    return f"{at}: {said}{_with_numbers(inputs)}, {ending}."


def _cause(record: Json, said: str) -> str:
    """Return why a candidate was taken back: the failing comparisons with their numbers, or what the record says."""
    inputs = record.get("inputs", {})
    failing = [item for item in inputs.get("analysis", []) if item.get("verdict") == "Fail"]
    if failing:
        return "; ".join(_comparison(item) for item in failing)
    reversal = (record["result"].get("candidate") or {}).get("reversal") or {}
    reason = inputs.get("reason") if "detail" in inputs else reversal.get("reason", inputs.get("reason"))
    detail = inputs.get("detail") or reversal.get("message") or said
    return f"{reason}: {str(detail).rstrip('.')}" if reason else said


def _comparison(item: Json) -> str:
    """Return a comparison with its numbers, as people say it."""
    worse, margin = item.get("step_difference"), item.get("margin")
    if item.get("kind") == "Guardrail":
        return f"{item['name']}: {number(item.get('candidate'))} is outside its bounds ({item.get('outside')} looks)"
    if item.get("champion_broken"):
        return f"{item['name']}: above {number(item.get('absolute'))}, as the stable revision is, n {item.get('n')}"
    if worse is None:
        return f"{item['name']}: n {item.get('n')}"
    numbers = ""
    if item.get("candidate") is not None and item.get("champion") is not None:
        numbers = f", {number(item['candidate'])} where the stable revision has {number(item['champion'])}"
    return f"{item['name']}: worse by {number(worse)} (margin {number(margin)}){numbers}, n {item.get('n')}"


def _with_numbers(inputs: Json) -> str:
    found = [item for item in inputs.get("analysis", []) if item.get("verdict") and "n" in item]
    shown = "; ".join(f"{item['name']} {item['verdict']}, n {item['n']}" for item in found)
    return f" ({shown})" if shown else ""


def _decided(record: Json) -> str:
    inputs = record.get("inputs", {})
    by = f" for {record['actor']}" if inputs.get("action") else ""
    return f"decided by rule {record['rule']}{by}, record {record['sequence']}"


def _revision(record: Json, before: Json | None) -> str | None:
    """Return the revision that a decision is about."""
    for holder in (record, before):
        candidate = (holder or {}).get("result", {}).get("candidate")
        if candidate:
            return str(candidate["revision"])
    return None


def _now(model: Model) -> Iterator[str]:
    status = model.status
    if status.stable is not None:
        weight = next((item.weight for item in status.traffic if item.revision == status.stable.revision), None)
        share = f" and gets {weight} % of the traffic" if weight is not None else ""
        yield f"Revision {status.stable.revision} serves{share}."
        for gate in status.stable.gates or ():
            if gate.verdict not in ("Pass", "NotApplicable"):
                yield f"Gate {gate.name} says {gate.verdict} of it: {gate.message or 'nothing yet'}"
    else:
        yield "No revision serves yet."
    for condition in notable(model):
        yield f"{condition.type} is {condition.status} ({condition.reason}): {condition.message}"


def _missing(model: Model) -> Iterator[str]:
    candidate = model.status.candidate
    if candidate is None:
        at_rest = rest(model)
        if at_rest.ending is Ending.TIMEOUT:
            yield f"It has not come to rest: {at_rest.sentence}"
        return
    step = f" {candidate.step}" if candidate.step else ""
    yield f"Revision {candidate.revision} is in {candidate.stage.value}{step} since {moment(candidate.since)}."
    if candidate.waiting_for:
        yield f"It waits for: {candidate.waiting_for}"
    for gate in candidate.gates:
        if gate.verdict not in ("Pass", "NotApplicable"):
            yield f"Gate {gate.name} says {gate.verdict}: {gate.message or 'nothing yet'}"
    for item in model.status.analysis:
        if item.verdict not in ("Pass", "NotApplicable"):
            yield f"Analysis {item.name} says {item.verdict} (difference {item.difference}, n {item.n})."
    if candidate.eta is not None:
        yield f"At the present rate that is expected at {moment(candidate.eta)}."
    if candidate.deadline is not None:
        yield f"If it is still there at {moment(candidate.deadline)}, it is taken back."
    if candidate.evidence_digest is not None:
        yield f"An approval has to name the evidence {candidate.evidence_digest}: kubectl penstock approve shows it."
