"""Decision logs as the operator writes them: random walks of the state machine, sealed record by record."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.decisionrecord import Decision, content_hash, seal
from penstock.domain.audit.chain import record_name
from penstock.domain.audit.heads import KnownHead, lost_head
from penstock.domain.canary.analysis import AnalysisResult, Kind, Verdict
from penstock.domain.lifecycle import replay
from penstock.domain.lifecycle.decide import Commit, decide
from penstock.domain.lifecycle.observed import Finding, LiveView, Observed
from tests.property.lifecycle_moves import MOVES
from tests.property.lifecycle_world import PLANS, World

Json = dict[str, Any]

NAMESPACE, MODEL, UID = "airline", "flight", "0f1e2d3c-0000-4000-8000-000000000001"
_NUMBERS = AnalysisResult(
    name="errors",
    kind=Kind.ERRORS,
    at=0,
    sources=True,
    n=500,
    step_n=300,
    champion_n=9000,
    champion=0.01,
    candidate=0.011,
    difference=0.001,
    lower=-0.01,
    upper=0.012,
    margin=0.005,
    step_difference=0.001,
    log_harm=0.2,
    harm_threshold=4.0,
    log_go=1.0,
    go_threshold=3.0,
    dispersion=1.0,
    burstiness_known=True,
)


def numbers(name: str, verdict: str) -> AnalysisResult:
    """The numbers of a comparison that are judged so."""
    changes: Json = {
        Verdict.PASS: {"log_go": 3.5},
        Verdict.FAIL: {"log_harm": 6.0, "step_difference": 0.05, "candidate": 0.06, "difference": 0.05},
        Verdict.INCONCLUSIVE: {},
        Verdict.NO_DATA: {"sources": False},
    }[Verdict(verdict)]
    return replace(_NUMBERS, name=name, **changes)


def _record(number: int, link: str | None, state: Checkpoint | None, seen: Observed, commit: Commit) -> Json:
    asked = commit.result.wanted if commit.result.wanted != (state.wanted if state else None) else None
    decision = Decision(
        model_name=MODEL,
        model_uid=UID,
        sequence=number,
        previous_hash=link,
        time=seen.now,
        actor=commit.user or "penstock",
        rule=commit.rule,
        requested_by=asked.requested_by if asked else None,
        origin=asked.source.value if asked else None,
        inputs={**commit.inputs, "message": commit.message, "rules": replay.RULES_VERSION}
        | {replay.SEEN: replay.facts(seen)},
        verdict=commit.verdict.value,
        result=commit.result,
    )
    return seal(decision)


@dataclass
class _Log:
    """Takes the place of the judge of the state machine: it writes down what is decided."""

    records: list[Json] = field(default_factory=list)
    slow: bool = False

    def decided(self, state: Checkpoint | None, seen: Observed, commit: Commit) -> None:
        """Write one decision down as the operator does."""
        before = self.records[-1] if self.records else None
        self.records.append(_record(len(self.records) + 1, before["hash"] if before else None, state, seen, commit))

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Walker(World):
    """A world whose comparisons have numbers."""

    def _live(self, state: Checkpoint) -> LiveView:
        view = super()._live(state)
        found = []
        for item in view.findings:
            verdict = item.verdict if item.verdict in set(Verdict) else "Inconclusive"
            result = numbers(item.name, verdict)
            found.append(Finding(item.name, verdict, item.message, result.n, result.as_json()))
        return replace(view, findings=tuple(found))


@cache
def _walk(seed: int, steps: int) -> tuple[Json, ...]:
    draw = random.Random(seed)
    world, log = Walker(rollout=dict(draw.choice(PLANS))), _Log()
    world.never = log  # type: ignore[assignment]
    for _ in range(steps):
        draw.choice(MOVES)(world, draw.choice)
        world.decide()
    return tuple(log.records)


def walk(seed: int, steps: int = 45) -> list[Json]:
    """The specs of the log of a random life of a Model, the oldest first."""
    return copy.deepcopy(list(_walk(seed, steps)))


def set_back(records: Sequence[Json], known: Json) -> Json:
    """What the operator writes behind `records` when it knows of a later decision: the Restored record.

    `known`: the spec of that decision's record, which is lost.
    """
    state = Checkpoint.model_validate(records[-1]["result"]) if records else None
    end = (records[-1]["sequence"], records[-1]["hash"]) if records else (0, "")
    rejected = Checkpoint.model_validate(known["result"]).rejected
    head = KnownHead(
        sequence=known["sequence"], hash=known["hash"], quarantines=[item for item in rejected if item.quarantined]
    )
    look = replay.observed((records[-1] if records else known)["inputs"][replay.SEEN])
    seen = replace(look, sequence=end[0], lost=lost_head(*end, {"memory": head}))
    commit = decide(state, seen)
    assert commit is not None
    made = _record(known["sequence"] + 1, end[1] or known["hash"], state, seen, commit)
    return resealed({**made, "modelUID": known["modelUID"]})


def log_of(count: int) -> list[Json]:
    """The first so many records of a random life, however many decisions each of its moves brings."""
    steps = count
    while len(_walk(1, steps)) < count:
        steps *= 2
    return walk(1, steps)[:count]


def objects(records: Sequence[Json]) -> list[Json]:
    """The specs as the objects that the API server stores."""
    return [
        {"metadata": {"name": record_name(spec), "namespace": NAMESPACE, "labels": {"a": "b"}}, "spec": spec}
        for spec in records
    ]


def resealed(record: Json) -> Json:
    """The record with a hash that fits whatever its content is now."""
    return {**record, "hash": content_hash(record)}
