"""One run over all logs: prove, take out what may go, write what is due."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from penstock.api.v1alpha1.base import GROUP, VERSION
from penstock.api.v1alpha1.decisionrecord import DecisionRecord
from penstock.api.v1alpha1.model import Model
from penstock.archiver.archive import Archive, ArchiveError, Exported, LogKey
from penstock.archiver.board import Board
from penstock.artifact.errors import ArtifactError
from penstock.artifact.logstore import Overtaken
from penstock.domain.audit.chain import breaks, follows, misnamed
from penstock.domain.audit.heads import KnownHead
from penstock.domain.audit.retention import prunable, segments_due
from penstock.kube import errors
from penstock.kube.client import KubeClient
from penstock.kube.ratelimit import TokenBucket
from penstock.kube.resources import Resource

Json = dict[str, Any]
logger = logging.getLogger(__name__)

MAX_RESTARTS = 3
MODEL_LABEL, MODEL_UID_LABEL = "penstock.dev/model", "penstock.dev/model-uid"
MODELS = Resource(GROUP, VERSION, Model.crd.plural, "Model")
RECORDS = Resource(GROUP, VERSION, DecisionRecord.crd.plural, "DecisionRecord")


@dataclass(slots=True)
class Tally:
    """What a run did. `problems`: by log, why nothing was done about it. `left`: logs it had no time for."""

    logs: int = 0
    segments: int = 0
    exported: int = 0
    deleted: int = 0
    left: int = 0
    problems: dict[str, str] = field(default_factory=dict)


class Archiver:
    """Goes through all logs once. Nothing is kept between runs: the store says what was done."""

    def __init__(
        self,
        client: KubeClient,
        archive: Archive,
        board: Board,
        clock: Callable[[], datetime],
        deletes: TokenBucket,
        seconds: float,
    ) -> None:
        """`seconds`: after which no further log is begun."""
        self._client = client
        self._archive = archive
        self._board = board
        self._clock = clock
        self._deletes = deletes
        self._until = time.monotonic() + seconds

    async def run(self) -> Tally:
        """Tend every log; what is wrong with one does not stop the others. Raises ApiError if nothing can be listed."""
        tally = Tally()
        keys = sorted({key async for key in self._keys()})
        # Where time is too short for all, it must not be the same ones that are left each time.
        random.shuffle(keys)
        await self._board.open({key.uid for key in keys})
        for key in keys:
            if time.monotonic() > self._until:
                tally.left = len(keys) - tally.logs
                logger.warning("there was no time for %d of %d logs; they come later", tally.left, len(keys))
                break
            tally.logs += 1
            try:
                await self._tend(key, tally)
            except (ArchiveError, ArtifactError, Overtaken, errors.ApiError) as error:
                tally.problems[str(key)] = str(error)
                logger.error("%s: %s", key, error)
        return tally

    async def _keys(self) -> AsyncIterator[LogKey]:
        """Yield whose logs there are; one log comes as often as it has records."""
        token, restarts = "", 0
        while True:
            try:
                page, _, token = await self._client.page(RECORDS, None, token, metadata_only=True)
            except errors.Gone:
                # The snapshot was compacted while we paged.
                token, restarts = "", restarts + 1
                if restarts > MAX_RESTARTS:
                    raise
                continue
            for obj in page:
                labels = obj["metadata"].get("labels", {})
                if MODEL_LABEL in labels and MODEL_UID_LABEL in labels:
                    yield LogKey(obj["metadata"]["namespace"], labels[MODEL_LABEL], labels[MODEL_UID_LABEL])
            if not token:
                return

    async def _tend(self, key: LogKey, tally: Tally) -> None:
        objects = await self._records(key)
        if not objects:
            return
        gone = await self._is_gone(key)
        exported = await asyncio.to_thread(self._archive.exported, key)
        _is_whole(objects)
        specs = [obj["spec"] for obj in objects]
        if specs[-1]["sequence"] < exported.last:
            if not gone:
                await self._board.say(key.uid, await asyncio.to_thread(self._archive.known_head, key, exported))
            raise ArchiveError(
                f"the store holds record {exported.last}, and the cluster's log ends at {specs[-1]['sequence']}"
            )
        _agree(specs, exported)
        kept: ArchiveError | None = None
        leaving = set(prunable(specs, exported.last, self._clock(), gone=gone))
        if leaving:
            hashes = {spec["sequence"]: spec["hash"] for spec in specs if spec["sequence"] in leaving}
            try:
                await asyncio.to_thread(self._archive.holds, key, exported, hashes)
            except ArchiveError as error:
                # What is exported stays in the cluster then; what is not must still get out.
                kept = error
            else:
                tally.deleted += await self._delete(key, [obj for obj in objects if obj["spec"]["sequence"] in leaving])
        by_number = {obj["spec"]["sequence"]: obj for obj in objects}
        for part in segments_due(specs, exported.last, gone=gone):
            chosen = [by_number[spec["sequence"]] for spec in part]
            exported = await asyncio.to_thread(self._archive.append, key, exported, chosen)
            tally.segments += 1
            tally.exported += len(chosen)
            logger.info("%s: records %d to %d are exported", key, part[0]["sequence"], part[-1]["sequence"])
        if exported.statement is not None and not gone:
            await self._board.say(key.uid, KnownHead(sequence=exported.head.sequence, hash=exported.head.hash))
        if kept is not None:
            raise kept

    async def _records(self, key: LogKey) -> list[Json]:
        objects, _ = await self._client.list(RECORDS, key.namespace, label_selector=f"{MODEL_UID_LABEL}={key.uid}")
        mine = [obj for obj in objects if (obj["spec"]["modelName"], obj["spec"]["modelUID"]) == (key.model, key.uid)]
        return sorted(mine, key=lambda obj: str(obj["metadata"]["name"]))

    async def _is_gone(self, key: LogKey) -> bool:
        try:
            model = await self._client.get(MODELS, key.namespace, key.model)
        except errors.NotFound:
            return True
        return str(model["metadata"]["uid"]) != key.uid

    async def _delete(self, key: LogKey, objects: list[Json]) -> int:
        """Delete the oldest first, so that whatever happens on the way what stays is one chain."""
        for obj in objects:
            await self._deletes.take()
            try:
                await self._client.delete(RECORDS, key.namespace, obj["metadata"]["name"], uid=obj["metadata"]["uid"])
            except errors.NotFound:
                continue
        numbers = [obj["spec"]["sequence"] for obj in objects]
        logger.info("%s: records %d to %d have left the cluster", key, numbers[0], numbers[-1])
        return len(numbers)


def _is_whole(objects: list[Json]) -> None:
    """Raise ArchiveError unless the cluster's records are one chain."""
    broken = next((said for obj in objects if (said := misnamed(obj)) is not None), None)
    broken = broken or next(breaks([obj["spec"] for obj in objects]), None)
    if broken:
        raise ArchiveError(f"the log is broken and stays as it is: {broken}")


def _agree(specs: list[Json], exported: Exported) -> None:
    """Raise ArchiveError unless the cluster's chain, which ends behind the store's part, goes on where that ends."""
    end = exported.head
    same = next((spec for spec in specs if spec["sequence"] == end.sequence), None)
    if same is not None:
        if same["hash"] != end.hash:
            raise ArchiveError(f"record {end.sequence} is another one in the cluster than in the store")
        return
    after = next(spec for spec in specs if spec["sequence"] > end.sequence)
    if after["sequence"] == 1 or follows(after, end):
        return
    if after["sequence"] > end.sequence + 1:
        raise ArchiveError(
            f"the store's part ends at record {end.sequence}, the cluster's begins at {after['sequence']}"
        )
    raise ArchiveError(f"record {end.sequence} is another one in the cluster than in the store")
