"""The owner's own metrics: counters and gauges of a Model's revisions, asked for by its own queries."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime

from penstock.domain.canary.counters import Reading, UserCounts
from penstock.metrics import promql
from penstock.metrics.problems import Problem, SourceUnavailable
from penstock.metrics.promapi import PrometheusApi, Series
from penstock.metrics.prometheus import newest
from penstock.metrics.promql import Aggregate, Query
from penstock.metrics.samples import count_of, moment_of, number_of

Process = tuple[str, str]
"""The job and the instance of Prometheus that a series comes from."""
Target = tuple[str, Process]
"""The revision, and the process that counts for it."""

_REDUCE: Mapping[Aggregate, Callable[[list[float]], float]] = {
    Aggregate.SUM: sum,
    Aggregate.AVG: lambda values: sum(values) / len(values),
    Aggregate.MIN: min,
    Aggregate.MAX: max,
    Aggregate.COUNT: lambda values: float(len(values)),
}


class UserMetrics:
    """Asks for the metrics of one namespace. No query, however written, reads the series of another one.

    Counters are read as they are and never as a rate, each process that counts (`job` and `instance`) for itself, so
    that one that starts anew is seen. All of them read all revisions by one question per counter.
    """

    def __init__(self, api: PrometheusApi, *, tenant_label: str, namespace: str, window_seconds: int) -> None:
        self._api = api
        self._tenant_label = tenant_label
        self._namespace = namespace
        self._window = window_seconds

    async def proportion(
        self, name: str, revisions: Collection[str], *, events: str, total: str, since: datetime | None = None
    ) -> dict[str, Reading]:
        """Return by revision, under `user[name]`, (total, events) of each process.

        A process that shows the total has had no event if it has no series of the events but others of that metric,
        as with a label for the kind of answer. If it has none of that metric, it is absent.

        Raises SourceUnavailable if a query is not allowed, or if no process has both.
        """
        counted = self._counter(events)
        totals = await self._by_target(self._counter(total), revisions)
        parts = await self._by_target(counted, revisions)
        known = await self._by_target(counted, revisions, present=True) if counted.matchers else parts
        found: dict[Target, tuple[float, UserCounts]] = {}
        for target, group in totals.items():
            at = newest(group, since)
            if at is None or not _at(known.get(target, ()), at):
                continue
            values = (_count(group, at), _count(parts.get(target, ()), at))
            if values[1] > values[0]:
                raise SourceUnavailable(
                    Problem.NOT_A_COUNTER, f"{name}: there are more events ({values[1]}) than cases ({values[0]})"
                )
            found[target] = (at, UserCounts(None, values))
        return _readings(name, found)

    async def mean(
        self,
        name: str,
        revisions: Collection[str],
        *,
        sum: str,
        sum_of_squares: str,
        count: str,
        since: datetime | None = None,
    ) -> dict[str, Reading]:
        """Return by revision, under `user[name]`, (count, sum, sum of squares) of each process that has all three."""
        counts = await self._by_target(self._counter(count), revisions)
        sums = await self._by_target(self._counter(sum), revisions)
        squares = await self._by_target(self._counter(sum_of_squares), revisions)
        found: dict[Target, tuple[float, UserCounts]] = {}
        for target, group in counts.items():
            at = newest(group, since)
            if at is None or not _at(sums.get(target, ()), at) or not _at(squares.get(target, ()), at):
                continue
            values = (_count(group, at), _total(sums[target], at), _total(squares[target], at))
            found[target] = (at, UserCounts(None, values))
        return _readings(name, found)

    async def guardrail(
        self, name: str, revisions: Collection[str], *, query: str, since: datetime | None = None
    ) -> dict[str, Reading]:
        """Return by revision, under `user[name]`, the one value that the query gives.

        Raises SourceUnavailable if it gives several for a revision without an aggregation around it.
        """
        parsed = promql.parse(query, self._tenant_label)
        groups: dict[str, list[Series]] = defaultdict(list)
        for (revision, _), series in (await self._by_target(parsed, revisions)).items():
            groups[revision] += series
        found: dict[Target, tuple[float, UserCounts]] = {}
        for revision, group in groups.items():
            latest = [(max(series.samples), series) for series in group]
            fresh = [(at, series) for at, series in latest if since is None or moment_of(at) >= since]
            values = [number_of(series.samples[at], series.name) for at, series in fresh]
            if not values:
                continue
            if parsed.aggregate is None and len(values) > 1:
                raise SourceUnavailable(
                    Problem.AMBIGUOUS, f"{name}: the query gives {len(values)} series; write max(...) around it, or sum"
                )
            reduced = _REDUCE[parsed.aggregate](values) if parsed.aggregate else values[0]
            found[revision, ("", "")] = (max(at for at, _ in fresh), UserCounts(None, (reduced,)))
        return _readings(name, found)

    def _counter(self, text: str) -> Query:
        query = promql.parse(text, self._tenant_label)
        # The sum is taken here, process by process: in one that Prometheus takes, a restart would look like a loss.
        if query.aggregate not in (None, Aggregate.SUM):
            raise SourceUnavailable(
                Problem.BAD_QUERY, f"{query.aggregate}() is not allowed for a counter; write the selector alone"
            )
        return query

    async def _by_target(
        self, query: Query, revisions: Collection[str], *, present: bool = False
    ) -> dict[Target, list[Series]]:
        write = promql.presence if present else promql.selector
        text = write(query, tenant_label=self._tenant_label, namespace=self._namespace, revisions=revisions)
        groups: dict[Target, list[Series]] = defaultdict(list)
        for series in await self._api.window(text, self._window):
            if series.labels.get(self._tenant_label) != self._namespace:
                raise SourceUnavailable(Problem.BAD_ANSWER, "the source answers with series of another namespace")
            revision = series.labels.get(query.revision_label, "")
            if revision in revisions:
                groups[revision, _process(series)].append(series)
        instances = Counter((revision, instance) for revision, (_, instance) in groups if instance)
        if twice := next((instance for (_, instance), jobs in instances.items() if jobs > 1), None):
            raise SourceUnavailable(Problem.DUPLICATE, f"the source has {twice} by two jobs; scrape it by one only")
        return groups


def check(text: str, tenant_label: str = "namespace") -> str | None:
    """Return what is wrong with a query, as a sentence; None if it is allowed."""
    try:
        promql.parse(text, tenant_label)
    except SourceUnavailable as problem:
        return problem.message
    return None


def _process(series: Series) -> Process:
    return series.labels.get("job", ""), series.labels.get("instance", "")


def _at(group: Iterable[Series], at: float) -> list[str]:
    """The values of one scrape; a series that has none then is gone."""
    return [series.samples[at] for series in group if at in series.samples]


def _count(group: Iterable[Series], at: float) -> int:
    return sum(count_of(value, "a counter of the query") for value in _at(group, at))


def _total(group: Iterable[Series], at: float) -> float:
    return sum(number_of(value, "a sum of the query") for value in _at(group, at))


def _readings(name: str, found: Mapping[Target, tuple[float, UserCounts]]) -> dict[str, Reading]:
    if not found:
        raise SourceUnavailable(Problem.NO_DATA, f"{name}: the queries give no series, or none that is young enough")
    readings = {}
    for revision in sorted({revision for revision, _ in found}):
        own = {"/".join(process).strip("/"): entry for (of, process), entry in found.items() if of == revision}
        at = moment_of(max(at for at, _ in own.values()))
        readings[revision] = Reading(at, {}, {name: {process: counts for process, (_, counts) in own.items()}})
    return readings
