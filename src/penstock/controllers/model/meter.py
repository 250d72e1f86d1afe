"""Reads the counters of one Model's pods, again and again, while its traffic is compared or gets to be known."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from penstock.api.v1alpha1.analysis import Analysis as Declared
from penstock.api.v1alpha1.analysis import AnalysisType
from penstock.controllers.model import measures
from penstock.domain.canary.analysis import Analysis
from penstock.domain.canary.counters import Reading
from penstock.metrics.factory import SourceFactory
from penstock.metrics.problems import SourceUnavailable
from penstock.metrics.provider import TrackQuery, of_track
from penstock.stats.sequential.history import History
from penstock.stats.sequential.session import Session

logger = logging.getLogger(__name__)
ModelKey = tuple[str, str]
# How long numbers may be missing before that is said.
LOST_SECONDS = 30
# What reading a state raises that another version of the operator has written.
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)


@dataclass(frozen=True, slots=True)
class Tracks:
    """Whose counters are read.

    `pods`: revision → name of pod → address; `ports`: revision → where its pods serve. `entered`: the decision by
    which the candidate became one; with its revision it names the comparison. `candidate` None: only the stable
    revision gets to be known.
    """

    key: ModelKey
    stable: str
    candidate: str | None
    entered: int
    step: int
    steps: int
    declared: tuple[Declared, ...]
    warmup: int
    pods: Mapping[str, Mapping[str, str]]
    ports: Mapping[str, int]
    by_gateway: bool


@dataclass(slots=True)
class Meter:
    """What is known of one Model's traffic.

    `good`: when both tracks last had numbers. `failing_since`: when the first reading after that lacked some.
    `interval`: seconds between two numbers of the source, 0 if it is always up to date. `total`: what the stable
    revision's pods had counted; `busy`: that has changed since the history was kept.
    `uncounted`: as in the last `Reading`.
    """

    tracks: Tracks
    analyses: tuple[Analysis, ...]
    history: History
    session: Session | None = None
    good: datetime | None = None
    failing_since: datetime | None = None
    trouble: str = ""
    source: str = ""
    interval: int = 0
    task: asyncio.Task[None] | None = None
    total: int | None = None
    busy: bool = False
    uncounted: Mapping[str, str] = field(default_factory=dict)

    @property
    def comparison(self) -> tuple[str, int] | None:
        """Which comparison the session belongs to."""
        return (self.tracks.candidate, self.tracks.entered) if self.tracks.candidate else None

    def sighted(self, now: datetime) -> bool | None:
        """Whether something is measured. None while that cannot be told: nothing was read yet, or not lately.

        It is lost only if readings have failed for too long: that none was made, as in a process that stood still,
        is no fault of the source.
        """
        most = timedelta(seconds=LOST_SECONDS)
        if self.failing_since is not None and now - self.failing_since > most:
            return False
        return True if self.good is not None and now - self.good <= most else None

    def measured(self, now: datetime) -> None:
        """Note that both tracks had numbers."""
        self.good, self.failing_since = now, None

    def counted(self, champion: Reading) -> None:
        """Note what the stable revision's pods have counted by now."""
        total = sum(pod.total for pod in champion.pods.values())
        self.busy = self.busy or (self.total is not None and self.total != total)
        self.total = total

    def failed(self, now: datetime) -> None:
        """Note that a reading lacked something."""
        self.failing_since = self.failing_since or now


class Reader:
    """Takes one reading of a Model's tracks."""

    def __init__(self, sources: SourceFactory, clock: Callable[[], datetime]) -> None:
        self._sources = sources
        self._clock = clock

    async def read(self, meter: Meter) -> None:
        """Read once and take it in. What cannot be read is kept as trouble, never as zero."""
        tracks, now = meter.tracks, self._clock()
        champion: Reading | None = None
        candidate: Reading | None = None
        try:
            champion, candidate, troubles = await self._readings(meter)
            meter.trouble = "; ".join(troubles)
        except SourceUnavailable as problem:
            meter.trouble = f"{problem.reason}: {problem.message}"
            meter.uncounted = problem.uncounted
        if tracks != meter.tracks:
            return  # it is about something else by now
        if tracks.candidate is None:
            if champion is not None and champion.pods:
                meter.history = meter.history.observe(champion, now, meter.interval)
                meter.counted(champion)
                meter.measured(now)
            return
        if meter.session is None:
            return
        meter.session = meter.session.observe(champion, candidate, meter.history, now)
        results = meter.session.results(meter.history, now)
        missing = [item.name for item in results if not item.sources]
        if not missing:
            meter.measured(now)
            return
        meter.failed(now)
        meter.trouble = meter.trouble or f"no numbers of both tracks for {', '.join(missing)}"

    async def _readings(self, meter: Meter) -> tuple[Reading, Reading | None, list[str]]:
        """Return what the stable revision's and the candidate's pods show, and what an analysis lacks."""
        tracks = meter.tracks
        namespace, name = tracks.key
        chosen = self._sources.choose(namespace, routed_by_gateway=tracks.by_gateway)
        meter.source, meter.interval = chosen.label, chosen.interval_seconds
        pods = {pod: address for group in tracks.pods.values() for pod, address in group.items()}
        ports = {pod: tracks.ports[revision] for revision, group in tracks.pods.items() for pod in group}
        query = TrackQuery(namespace, name, pods, ports)
        reading = await chosen.requests.read(query)
        meter.uncounted = reading.uncounted
        user, troubles = await measures.user_readings(self._sources, namespace, tracks)
        timed = [item.name for item in tracks.declared if item.type is AnalysisType.LATENCY]
        if timed and chosen.latency is not chosen.requests:
            try:
                reading = measures.with_buckets(reading, await chosen.latency.read(query))
            except SourceUnavailable as problem:
                troubles += [measures.trouble_with(analysis, problem) for analysis in timed]
        champion = measures.joined(of_track(reading, tracks.pods.get(tracks.stable, {})), user, tracks.stable)
        if tracks.candidate is None:
            return champion, None, troubles
        own = of_track(reading, tracks.pods.get(tracks.candidate, {}))
        return champion, measures.joined(own, user, tracks.candidate), troubles


def take_up(meter: Meter, now: datetime, kept: Mapping[str, Any] | None) -> None:
    """Begin the comparison of the present candidate, or go on with what was `kept` of exactly this one."""
    tracks = meter.tracks
    if tracks.candidate is None:
        meter.session = None
        return
    meter.good = meter.failing_since = None
    mine = kept is not None and (kept.get("revision"), kept.get("entered")) == meter.comparison
    if kept is not None and mine and "session" in kept:
        try:
            meter.session = Session.from_json(kept["session"])
            return
        except UNREADABLE as error:
            logger.warning("%s/%s: the kept tests cannot be read (%s), they begin anew", *tracks.key, error)
    meter.session = Session.begin(meter.analyses, tracks.steps, now)


def go_on(meter: Meter, tracks: Tracks, now: datetime) -> None:
    """Take in that pods or the step have changed."""
    meter.tracks = tracks
    while meter.session is not None and meter.session.step < tracks.step:
        meter.session = meter.session.next_step(now)


def kept(meter: Meter) -> dict[str, Any] | None:
    """Return what a restarted operator goes on from."""
    if meter.session is None or meter.comparison is None:
        return None
    revision, entered = meter.comparison
    return {"revision": revision, "entered": entered, "session": meter.session.as_json()}


def renewed(meter: Meter, analyses: tuple[Analysis, ...]) -> Meter:
    """Return the meter for other analyses; what the history knows of those that stayed is kept."""
    history = History.from_json(meter.history.as_json(), analyses)
    return replace(meter, analyses=analyses, history=history, session=None)


def remembered(key: ModelKey, shown: Mapping[str, Any] | None, analyses: tuple[Analysis, ...]) -> History:
    """Return what status kept of the stable revision's traffic; a history that knows nothing if that is no help."""
    try:
        return History.from_json(shown, analyses) if shown else History.begin(analyses)
    except UNREADABLE as error:
        logger.warning("%s/%s: the kept history cannot be read (%s), it begins anew", *key, error)
        return History.begin(analyses)
