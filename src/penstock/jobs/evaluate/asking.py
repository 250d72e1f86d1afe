"""Asks one or two servers about all rows: the same rows in the same order, a few requests at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import polars as pl

from penstock.api.v1alpha1.conditions import Reason
from penstock.jobs.evaluate.endpoint import WINDOW, Endpoint, Reply, Unreachable
from penstock.jobs.evaluate.failure import EvaluationError
from penstock.jobs.evaluate.labels import Classes
from penstock.jobs.evaluate.outputs import Chosen, WrongForm, choose, tensors_of
from penstock.jobs.evaluate.requests import Requests
from penstock.stats.evaluation.estimate import Bools, Floats

_SPLITS, _TIMEOUTS = 2000, 8
_NOT_FINITE = b"not finite"
Choose = Callable[[bytes], Chosen]
_Said = tuple[Floats, Bools]


@dataclass
class Respondent:
    """A server, how it is asked, and what it has said: one number per row, and which rows it did not answer."""

    endpoint: Endpoint
    requests: Requests | None = None
    choose: Choose | None = None
    may_be_silent: bool = False
    """Whether the evaluation goes on without its answers: the champion's."""
    chosen: Chosen | None = None
    gone: str = ""
    """Why it is not asked any more."""
    _scores: list[Floats] = field(default_factory=list)
    _failed: list[Bools] = field(default_factory=list)
    _splits: int = _SPLITS
    _timeouts: int = _TIMEOUTS
    _first: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def scores(self) -> Floats:
        """One number per row, [n]; NaN where there is none."""
        return np.concatenate(self._scores) if self._scores else np.zeros(0)

    @property
    def failed(self) -> Bools:
        """The rows without an answer, [n]."""
        return np.concatenate(self._failed) if self._failed else np.zeros(0, dtype=np.bool_)

    def keep(self, scores: Floats, failed: Bools) -> None:
        """Append what was said of the next rows."""
        self._scores.append(scores)
        self._failed.append(failed)

    async def about(self, client: httpx.AsyncClient, rows: pl.DataFrame) -> tuple[Floats, Bools]:
        """Return the numbers of these rows, and which of them were not answered.

        A request that the server refuses is divided until the rows that it refuses stand alone, so that one bad row
        does not count as many. Raises EvaluationError if nobody or another revision answers.
        """
        if self.gone or self.requests is None:
            return _silence(rows.height)
        try:
            reply = await self._reply(client, rows, self.requests)
        except Unreachable as error:
            if not self.may_be_silent:
                raise EvaluationError(
                    Reason.PREDICTIONS_FAILED,
                    f"The {self.endpoint.who}'s server at {self.endpoint.url} gives no answer ({error}), however often"
                    " it was asked: it is tried again.",
                ) from None
            self.gone = str(error)
            return _silence(rows.height)
        except EvaluationError as error:
            if not self.may_be_silent or error.reason is Reason.WRONG_REVISION:
                raise
            self.gone = error.message
            return _silence(rows.height)
        if reply.status == 200 and self.chosen is not None:
            try:
                return self.chosen.numbers(reply.content, rows.height), np.zeros(rows.height, dtype=np.bool_)
            except WrongForm:
                self.endpoint.trouble["an answer of another form"] += 1
                return _silence(rows.height)
        return await self._refused(client, rows, reply)

    async def _reply(self, client: httpx.AsyncClient, rows: pl.DataFrame, requests: Requests) -> Reply:
        if self.chosen is None:
            # The first answer tells which output to read; until then the others wait.
            async with self._first:
                if self.chosen is None:
                    reply = await self.endpoint.infer(client, requests.body(rows, None))
                    if reply.status == 200 and self.choose is not None:
                        self.chosen = self.choose(reply.content)
                    return reply
        return await self.endpoint.infer(client, requests.body(rows, self.chosen.output))

    async def _refused(self, client: httpx.AsyncClient, rows: pl.DataFrame, reply: Reply) -> tuple[Floats, Bools]:
        is_finite = _NOT_FINITE not in reply.content
        budget = self._timeouts if reply.status == 0 else self._splits
        if rows.height == 1 or budget <= 0:
            scores, failed = _silence(rows.height)
            # An answer that is no number is one all the same, and spoils the metric.
            return scores, failed if is_finite else np.zeros(rows.height, dtype=np.bool_)
        if reply.status == 0:
            self._timeouts -= 1
        else:
            self._splits -= 1
        middle = rows.height // 2
        left = await self.about(client, rows.head(middle))
        right = await self.about(client, rows.slice(middle))
        return np.concatenate([left[0], right[0]]), np.concatenate([left[1], right[1]])


async def ask_all(
    client: httpx.AsyncClient, pieces: Iterator[Sequence[pl.DataFrame]], respondents: Sequence[Respondent]
) -> None:
    """Ask every respondent about its frame of every piece; answers are kept in the order of the rows.

    Raises EvaluationError.
    """
    under_way: deque[asyncio.Future[list[_Said]]] = deque()

    async def settle() -> None:
        for respondent, said in zip(respondents, await under_way.popleft(), strict=True):
            respondent.keep(*said)

    try:
        for piece in pieces:
            if len(under_way) >= WINDOW:
                await settle()
            questions = [respondent.about(client, frame) for respondent, frame in zip(respondents, piece, strict=True)]
            under_way.append(asyncio.ensure_future(_all(questions)))
        while under_way:
            await settle()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _all(questions: Sequence[Coroutine[Any, Any, _Said]]) -> list[_Said]:
    return list(await asyncio.gather(*questions))


def chooser(wanted: str | None, classes: Classes | None) -> Choose:
    """How the output is found in a first answer; raises EvaluationError there."""

    def found(content: bytes) -> Chosen:
        try:
            return choose(tensors_of(content), wanted, classes)
        except WrongForm:
            raise EvaluationError(
                Reason.INVALID_SPEC, "The server's answer is none of protocol V2: its outputs cannot be read."
            ) from None

    return found


def _silence(rows: int) -> tuple[Floats, Bools]:
    return np.full(rows, np.nan), np.ones(rows, dtype=np.bool_)
