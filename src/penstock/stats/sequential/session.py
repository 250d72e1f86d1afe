"""All analyses of one rollout: fed with readings of both tracks, kept in status, asked for results.

    session = Session.begin(analyses, steps=3, now=now)
    session = session.observe(champion, candidate, history, now)     # every few seconds
    verdicts = [judge(result) for result in session.results(history, now)]
    session = session.next_step(now)                                 # once the next weight is applied
    stored = session.as_json(); session = Session.from_json(stored)  # goes on as if nothing had been

A session is a value; every method returns a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from penstock.domain.canary.analysis import Analysis, AnalysisResult, Kind
from penstock.domain.canary.counters import Baseline, Counted, Number, Reading, advance, milliseconds, pod_key
from penstock.stats.sequential import harm, latency, mean, share
from penstock.stats.sequential.guardrail import GuardrailState
from penstock.stats.sequential.guardrail import observe as look_at_guardrail
from penstock.stats.sequential.history import History, bounds_from_json
from penstock.stats.sequential.mean import MeanState
from penstock.stats.sequential.project import Series, streams
from penstock.stats.sequential.report import report
from penstock.stats.sequential.share import ShareState

State = ShareState | MeanState | GuardrailState


@dataclass(frozen=True, slots=True)
class Running:
    """One analysis under way: its test, where each track's counting goes on from, and for Latency the bound.

    `sources`: both tracks had numbers for it at the last look.
    """

    state: State | None = None
    candidate: Baseline | None = None
    champion: Baseline | None = None
    cut: latency.Bounds | None = None
    sources: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values; what is not there is left out."""
        cut = self.cut and [repr(value) for value in (self.cut.below, self.cut.at, self.cut.above, self.cut.margin)]
        found = {
            "state": self.state and self.state.as_json(),
            "candidate": self.candidate and self.candidate.as_json(),
            "champion": self.champion and self.champion.as_json(),
            "cut": cut,
        }
        return {key: value for key, value in found.items() if value is not None} | {"sources": self.sources}


@dataclass(frozen=True, slots=True)
class Session:
    """The state of all analyses of one rollout. Times are milliseconds since 1970."""

    analyses: tuple[Analysis, ...]
    steps: int
    began: int
    step: int = 0
    step_began: int = 0
    running: Mapping[str, Running] = field(default_factory=dict)

    @classmethod
    def begin(cls, analyses: Sequence[Analysis], steps: int, now: datetime) -> Session:
        """Return the state at the first step; `steps`: how many there will be."""
        if not analyses or steps < 1:
            raise ValueError("a canary needs at least one analysis and one step")
        if len({analysis.name for analysis in analyses}) != len(analyses):
            raise ValueError("analyses must have different names")
        moment = milliseconds(now)
        return cls(tuple(analyses), steps, moment, 0, moment)

    def next_step(self, now: datetime) -> Session:
        """Return the state at the next step: Harm begins anew, Go goes on, counting goes on where it was."""
        running: dict[str, Running] = {}
        for analysis in self.analyses:
            one = self.running.get(analysis.name, Running())
            state = one.state
            if isinstance(state, ShareState):
                state = share.next_step(state, analysis.worse)
            elif isinstance(state, MeanState):
                state = replace(state, step=(0.0, 0.0, 0.0), step_n=0)
            running[analysis.name] = replace(one, state=state)
        step = min(self.step + 1, self.steps - 1)
        return replace(self, step=step, step_began=milliseconds(now), running=running)

    def observe(
        self, champion: Reading | None, candidate: Reading | None, history: History | None, now: datetime
    ) -> Session:
        """Return the state after one look at both tracks; None: the source did not answer.

        Counting stands still for both tracks while one has no numbers, and catches up when they are back: the tests
        compare what happened in the same time.
        """
        running = {
            analysis.name: self._observed(analysis, champion, candidate, history, milliseconds(now))
            for analysis in self.analyses
        }
        return replace(self, running=running)

    def _observed(
        self,
        analysis: Analysis,
        champion: Reading | None,
        candidate: Reading | None,
        history: History | None,
        moment: int,
    ) -> Running:
        one = self.running.get(analysis.name, Running())
        if analysis.kind is Kind.GUARDRAIL:
            state = one.state if isinstance(one.state, GuardrailState) else GuardrailState()
            seen = look_at_guardrail(state, analysis, candidate)
            return replace(one, state=seen, sources=seen.value is not None)
        if champion is None or candidate is None:
            return replace(one, sources=False)
        if analysis.kind is Kind.LATENCY and one.cut is None:
            if moment < self.began + analysis.warmup_seconds * 1000:
                return replace(one, sources=bool(champion.pods and candidate.pods))
            one = replace(one, cut=_cut(analysis, champion, history))
        old, new = streams(analysis, champion, one.cut), streams(analysis, candidate, one.cut)
        if not old or not new:
            return replace(one, sources=False)
        began = self.began if analysis.kind is not Kind.LATENCY else moment
        base1, base2 = one.candidate or Baseline(began), one.champion or Baseline(began)
        base1, counted1 = advance(base1, candidate.at, new)
        base2, counted2 = advance(base2, champion.at, old)
        if analysis.kind is Kind.LATENCY:
            counted1 = _warm(counted1, new, candidate.at, analysis.warmup_seconds)
            counted2 = _warm(counted2, old, champion.at, analysis.warmup_seconds)
        started = 0.0
        if base1.at is not None and counted1.seconds:
            to = (base1.at - self.step_began) / 1000
            started = harm.starting(to - counted1.seconds, to)
        after: State = _tested(analysis, one, counted1, counted2, history, started)
        return replace(one, state=after, candidate=base1, champion=base2, sources=True)

    def results(self, history: History | None, now: datetime) -> tuple[AnalysisResult, ...]:
        """Return the numbers of every analysis, in the order given; `domain.canary.judge` makes verdicts of them."""
        # A Guardrail is no test and takes no part of alpha.
        tests = [analysis for analysis in self.analyses if analysis.kind is not Kind.GUARDRAIL]
        errors = next((i for i, analysis in enumerate(tests) if analysis.kind is Kind.ERRORS), None)
        return tuple(
            report(
                analysis,
                one.state,
                one.cut,
                place=(
                    tests.index(analysis) if analysis in tests else -1,
                    errors,
                    max(1, len(tests)),
                    self.step,
                    self.steps,
                ),
                sources=one.sources,
                dispersion=_dispersion(analysis, history),
                usual=_usual(analysis, history),
                at=milliseconds(now),
            )
            for analysis in self.analyses
            for one in (self.running.get(analysis.name, Running()),)
        )

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "analyses": [analysis.as_json() for analysis in self.analyses],
            "steps": self.steps,
            "began": self.began,
            "step": self.step,
            "stepBegan": self.step_began,
            "running": {name: one.as_json() for name, one in self.running.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Session:
        """Return the session that `as_json` was called on, exactly."""
        analyses = tuple(Analysis.from_json(item) for item in value["analyses"])
        kinds = {analysis.name: analysis.kind for analysis in analyses}
        running = {name: _running(kinds[name], one) for name, one in value["running"].items()}
        return cls(analyses, value["steps"], value["began"], value["step"], value["stepBegan"], running)


def _tested(
    analysis: Analysis, one: Running, candidate: Counted, champion: Counted, history: History | None, started: float
) -> ShareState | MeanState:
    """Return the state of the test after what both tracks have counted since the last look."""
    if analysis.kind is Kind.MEAN:
        state = one.state if isinstance(one.state, MeanState) else MeanState()
        return mean.observe(state, _sample(candidate.summed(3)), _sample(champion.summed(3)))
    known = one.state if isinstance(one.state, ShareState) else None
    before = known or share.begin(analysis.worse, _usual(analysis, history))
    width = 4 if analysis.kind is Kind.LATENCY else 2
    new, old = ([round(value) for value in counted.summed(width)] for counted in (candidate, champion))
    margin = one.cut.margin if one.cut is not None else analysis.margin
    factor, _ = _dispersion(analysis, history)
    after = share.observe(before, analysis.worse, margin, _events(new), _events(old), factor, started)
    if analysis.kind is not Kind.LATENCY:
        return after
    beside = before.beside
    return replace(after, beside=(beside[0] + new[2], beside[1] + new[3], beside[2] + old[2], beside[3] + old[3]))


def _events(counts: Sequence[int]) -> tuple[int, int]:
    # Counters of a page are not read at one moment: an event may be there before its request.
    return counts[0], min(counts[0], counts[1])


def _sample(values: tuple[Number, ...]) -> mean.Sample:
    return (float(values[0]), float(values[1]), float(values[2]))


def _dispersion(analysis: Analysis, history: History | None) -> tuple[float, bool]:
    return (history or History()).dispersion(analysis.name)


def _usual(analysis: Analysis, history: History | None) -> tuple[float, float]:
    return (history or History()).usual(analysis.name)


def _cut(analysis: Analysis, champion: Reading, history: History | None) -> latency.Bounds | None:
    """Return the bound to test at: by the champion's history, else by all that its present pods have counted."""
    known = history.bounds.get(analysis.name) if history is not None else None
    pods = list(champion.pods.values())
    if known is not None and any(latency.slower_than(pod, (known.below, known.at, known.above)) for pod in pods):
        return known
    return latency.choose(latency.together(pods), analysis.quantile, analysis.margin)


def _warm(counted: Counted, pods: Series, at: datetime, warmup_seconds: int) -> Counted:
    """Return the counts without those of pods that are still warming up."""
    young = {
        pod_key(name)
        for name, (started, _) in pods.items()
        if started is not None and (at - started).total_seconds() < warmup_seconds
    }
    return replace(counted, pods={key: values for key, values in counted.pods.items() if key not in young})


def _running(kind: Kind, value: Mapping[str, Any]) -> Running:
    stored = value.get("state")
    state: State | None = None
    if stored is not None:
        if kind is Kind.MEAN:
            state = MeanState.from_json(stored)
        elif kind is Kind.GUARDRAIL:
            state = GuardrailState.from_json(stored)
        else:
            state = ShareState.from_json(stored)
    candidate, champion, cut = value.get("candidate"), value.get("champion"), value.get("cut")
    return Running(
        state,
        candidate and Baseline.from_json(candidate),
        champion and Baseline.from_json(champion),
        cut and bounds_from_json(cut),
        value["sources"],
    )
