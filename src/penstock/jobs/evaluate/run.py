"""One evaluation from its task to its result."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import polars as pl

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.featureset import Feature
from penstock.domain.gates.task import GateResult, GateStatus, GateTask, LatencyResult, error
from penstock.jobs.evaluate import latency
from penstock.jobs.evaluate.asking import Respondent, ask_all, chooser
from penstock.jobs.evaluate.endpoint import Endpoint, Unreachable, client
from penstock.jobs.evaluate.failure import EvaluationError
from penstock.jobs.evaluate.holdout import Batch, Groups, Holdout, drawn
from penstock.jobs.evaluate.labels import Classes, classes_of, decided, measured
from penstock.jobs.evaluate.numbers import Answers, Numbers, is_regression, latency_of, numbers_of
from penstock.jobs.evaluate.report import REPORT_FILE, REPORT_TYPE, report_of
from penstock.jobs.evaluate.requests import Requests, inputs_of
from penstock.jobs.evaluate.settings import Settings
from penstock.jobs.validate.failure import DatasetError
from penstock.jobs.validate.sources import Dataset, Obtained, Scratch, obtain, source_of
from penstock.jobs.validate.sources.oci import DOCKER_CONFIG
from penstock.jobs.validate.store import Store
from penstock.stats.evaluation.estimate import Floats

_LATENCY_SHARE = 0.25
"""So much of the time that an evaluation may take goes into timing requests at most."""
_TIMED_ROWS = 2000
_RETRY_SECONDS = 20.0
# The sources are those of validation and name its fields.
_FIELDS = {
    "spec.validation.resources": "the gate's spec.resources",
    "raise spec.validation.scratchGibibytes or narrow the uri": "narrow the uri",
    "spec.source.format": "the dataset's declared format",
}


def run(task: GateTask, settings: Settings) -> GateResult:
    """Fetch the rows, ask, measure and report; every DatasetError becomes a result of status Error."""
    known: dict[str, Any] = {}
    try:
        store = _store(task, settings)
        obtained = _obtain(task, settings)
        known["dataset_digest"] = obtained.dataset.digest
        asked = asyncio.run(_Asking(task, settings, obtained.dataset).done())
        known["rows"] = len(asked.labels)
        timed, timed_report = _timed(task, settings, asked)
        obtained.verify_unchanged()
        numbers = numbers_of(task, asked.answers)
        result = _result(task, asked, numbers, timed, known)
        if store is None:
            return result
        report = report_of(
            task,
            obtained.dataset,
            numbers,
            asked.respondents,
            rows=len(asked.labels),
            rows_in_dataset=asked.rows_in_dataset,
            latency=timed_report,
        )
        return result.model_copy(update={"report_digest": store.push(REPORT_FILE, report, REPORT_TYPE)})
    except DatasetError as failure:
        message = failure.message
        for field_there, field_here in _FIELDS.items():
            message = message.replace(field_there, field_here)
        return error(failure.reason.value, message, **known)


@dataclass
class _Asked:
    """What the servers said of the rows."""

    labels: Floats
    groups: dict[str, Groups]
    respondents: list[Respondent]
    rows_in_dataset: int
    first: list[list[pl.DataFrame]] = field(default_factory=list)
    """Per respondent the first rows, for timing."""

    @property
    def candidate(self) -> Respondent:
        return self.respondents[0]

    @property
    def champion(self) -> Respondent | None:
        return self.respondents[1] if len(self.respondents) > 1 else None

    @property
    def answers(self) -> Answers:
        champion = self.champion
        usable = champion is not None and not champion.gone and not champion.failed.any()
        scores = champion.scores if champion is not None and usable else None
        return Answers(self.labels, self.candidate.scores, self.candidate.failed, scores, self.groups)


class _Asking:
    """Asks the candidate and, if there is one, the champion about the rows."""

    def __init__(self, task: GateTask, settings: Settings, dataset: Dataset) -> None:
        self._task, self._settings, self._dataset = task, settings, dataset
        self._labels: list[Floats] = []
        self._groups: dict[str, Groups] = {}
        self._first: list[list[pl.DataFrame]] = []
        self._kept = 0
        self._classes: Classes | None = None

    async def done(self) -> _Asked:
        """Raises DatasetError."""
        task = self._task
        async with client(task.limits.request_seconds) as connection:
            respondents = [await self._respondent(connection, candidate=True)]
            if task.champion_url is not None:
                respondents.append(await self._respondent(connection, candidate=False))
            kind = task.label.type
            types = [item.requests.types if item.requests else {} for item in respondents]
            holdout = Holdout(self._dataset, task.label.column, kind, types)
            self._expect_columns(holdout, respondents)
            rows, different = holdout.survey(with_values=not is_regression(task))
            if rows and not is_regression(task):
                self._classes = classes_of(different, task.label.column, task.label.positive_class)
            for item in respondents:
                item.choose = chooser(task.output, self._classes)
            self._groups = {name: Groups(name) for name in self._grouped() if not holdout.lacks(name)}
            self._first = [[] for _ in respondents]
            chosen = drawn(rows, task.limits.max_rows, task.seed)
            pieces = self._pieces(holdout.batches(chosen, list(self._groups)))
            await ask_all(connection, pieces, respondents)
        labels = np.concatenate(self._labels) if self._labels else np.zeros(0)
        return _Asked(labels, self._groups, respondents, rows, self._first)

    async def _respondent(self, connection: httpx.AsyncClient, *, candidate: bool) -> Respondent:
        task = self._task
        endpoint = Endpoint(
            who="candidate" if candidate else "champion",
            url=task.candidate_url if candidate else task.champion_url or "",
            model=task.model,
            revision=task.revision if candidate else task.champion_revision,
            runtime=task.runtime if candidate else task.champion_runtime or task.runtime,
            request_seconds=task.limits.request_seconds,
            retry_seconds=min(_RETRY_SECONDS, self._settings.retry_seconds),
        )
        found = Respondent(endpoint, may_be_silent=not candidate)
        try:
            found.requests = Requests(inputs_of(await endpoint.metadata(connection)), self._features(candidate))
        except Unreachable as failure:
            if candidate:
                raise EvaluationError(
                    Reason.PREDICTIONS_FAILED,
                    f"The candidate's server at {endpoint.url} gives no answer ({failure}): it is tried again.",
                ) from None
            found.gone = str(failure)
        except EvaluationError as failure:
            if candidate or failure.reason is Reason.WRONG_REVISION:
                raise
            found.gone = failure.message
        return found

    def _features(self, candidate: bool) -> list[Feature]:
        own = self._task.champion_features
        return self._task.features if candidate or own is None else own

    def _expect_columns(self, holdout: Holdout, respondents: Sequence[Respondent]) -> None:
        for item in respondents:
            requests = item.requests
            if requests is None:
                continue
            try:
                holdout.expect(name for name in requests.types if name not in requests.optional)
            except EvaluationError as failure:
                if not item.may_be_silent:
                    raise
                item.gone = failure.message

    def _grouped(self) -> list[str]:
        by = [column for metric in self._task.metrics if metric.slices for column in metric.slices.by]
        return list(dict.fromkeys([*by, *(self._task.fairness.protected if self._task.fairness else [])]))

    def _pieces(self, batches: Iterator[Batch]) -> Iterator[Sequence[pl.DataFrame]]:
        """Cut the rows into requests, and note what is known of them."""
        size = self._task.limits.batch_rows
        for batch in batches:
            self._labels.append(
                measured(batch.labels, self._task.label.column)
                if self._classes is None
                else decided(batch.labels, self._classes)
            )
            for name, group in self._groups.items():
                group.add(batch.groups[name])
            if self._task.latency is not None and self._kept < _TIMED_ROWS:
                for kept, frame in zip(self._first, batch.inputs, strict=True):
                    kept.append(frame.head(_TIMED_ROWS - self._kept))
                self._kept += batch.labels.len()
            for start in range(0, batch.labels.len(), size):
                yield [frame.slice(start, size) for frame in batch.inputs]


def _timed(task: GateTask, settings: Settings, asked: _Asked) -> tuple[LatencyResult | None, dict[str, Any] | None]:
    if task.latency is None:
        return None, None
    # What was not answered in bulk says nothing about how fast answers are.
    good = ~asked.candidate.failed
    timed = []
    for respondent, frames in zip(asked.respondents, asked.first, strict=True):
        bodies: list[bytes] = []
        if respondent.requests is not None and respondent.chosen is not None and not respondent.gone and frames:
            rows = pl.concat(frames).filter(pl.Series(good[: sum(frame.height for frame in frames)]))
            output = respondent.chosen.output
            bodies = [respondent.requests.body(rows.slice(index, 1), output) for index in range(rows.height)]
        timed.append(latency.Timed(respondent.endpoint, bodies))
    latency.measure(
        timed,
        task.limits.latency_requests,
        request_seconds=task.limits.request_seconds,
        budget_seconds=settings.deadline_seconds * _LATENCY_SHARE,
    )
    champion = timed[1].values if len(timed) > 1 else np.zeros(0)
    result, report = latency_of(timed[0].values, champion, float(task.confidence))
    return result, report | {"failedRequests": {item.endpoint.who: item.failed for item in timed}}


def _result(
    task: GateTask, asked: _Asked, numbers: Numbers, timed: LatencyResult | None, known: dict[str, Any]
) -> GateResult:
    candidate, champion = asked.candidate, asked.champion
    failed = int(candidate.failed.sum())
    champion_failed = 0
    if champion is not None:
        champion_failed = len(asked.labels) if champion.gone else int(champion.failed.sum())
    return GateResult(
        status=GateStatus.COMPLETE,
        message=_message(asked, failed, champion_failed),
        metrics=numbers.metrics,
        fairness=numbers.fairness,
        latency=timed,
        disagreement=numbers.disagreement,
        failed=failed,
        champion_failed=champion_failed,
        answered=candidate.endpoint.answered,
        champion_answered=champion.endpoint.answered if champion is not None else None,
        **known,
    )


def _message(asked: _Asked, failed: int, champion_failed: int) -> str:
    if not len(asked.labels):
        return "The dataset has no rows: bring files with rows."
    said = []
    for respondent, rows in zip(asked.respondents, (failed, champion_failed), strict=False):
        if rows:
            trouble = respondent.gone or ", ".join(
                f"{count} x {what}" for what, count in respondent.endpoint.trouble.most_common(3)
            )
            said.append(f"The {respondent.endpoint.who} did not answer {rows} of {len(asked.labels)} rows ({trouble}).")
    return " ".join(said)[:600]


def _store(task: GateTask, settings: Settings) -> Store | None:
    if task.store is None:
        return None
    config = settings.store_credentials / DOCKER_CONFIG
    return Store(
        task.store,
        docker_config=config if config.is_file() else None,
        insecure_registries=task.insecure_registries,
        retry_seconds=settings.retry_seconds,
    )


def _obtain(task: GateTask, settings: Settings) -> Obtained:
    source = source_of(
        task.dataset,
        credentials=settings.credentials,
        pvc=settings.pvc,
        retry_seconds=settings.retry_seconds,
        insecure_registries=task.insecure_registries,
    )
    return obtain(task.dataset, source, Scratch(settings.scratch / "dataset", task.limits.scratch_bytes))
