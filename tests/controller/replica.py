"""One replica of the operator, run by its own entry point, that a test can stop and kill."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import kopf
import uvloop

from penstock.controllers.config import OperatorConfig
from penstock.controllers.manager import Manager
from penstock.controllers.model.live import LOOK_SECONDS
from penstock.controllers.model.prober import Asker
from penstock.kube import errors
from penstock.kube.client import KubeClient
from penstock.kube.connection import Connection, load_connection
from penstock.kube.resources import Resource
from tests.support.cluster import REPOSITORY

Json = dict[str, Any]

WRITES = frozenset({"create", "update", "patch", "delete"})


DiesAfter = Callable[[Resource, Json], bool]
Rival = Callable[[Resource, Json], Json | None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a replica of the operator is started."""

    kubeconfig: Path
    namespace: str
    config: OperatorConfig
    asker: Asker
    clock: Callable[[], datetime]
    agent: str
    dies_after: DiesAfter
    rival: Rival
    look_seconds: float = LOOK_SECONDS
    recall_seconds: float = 0.2


class MortalClient(KubeClient):
    """A client whose process can die: from then on nothing reaches the API server.

    `dies_after`: looks at the kind and at what the API server has just stored, and decides.
    `rival`: looks at the kind and at what is to be created, and returns what somebody else creates just before.
    """

    def __init__(
        self, connection: Connection, agent: str, dead: threading.Event, dies_after: DiesAfter, rival: Rival
    ) -> None:
        super().__init__(connection, user_agent=agent)
        self._dead = dead
        self._dies_after = dies_after
        self._rival = rival

    async def create(self, resource: Resource, obj: Json, **options: Any) -> Json:
        """Create, but let a rival be first."""
        faster = self._rival(resource, obj)
        if faster is not None:
            await super().create(resource, faster, **options)
        return await super().create(resource, obj, **options)

    async def _call(self, verb: str, resource: Resource, *args: Any, **options: Any) -> Json:
        if self._dead.is_set():
            raise errors.Unreachable("killed", outcome_unknown=False)
        answer = await super()._call(verb, resource, *args, **options)
        if verb in WRITES and self._dies_after(resource, answer):
            self._dead.set()
            raise errors.Unreachable("killed", outcome_unknown=True)
        return answer


class Operator:
    """One replica of the operator: kopf with a manager, in a thread and an event loop of their own."""

    def __init__(self, settings: Settings) -> None:
        self.failure: BaseException | None = None
        self._settings = settings
        self._dead = threading.Event()
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._manager: Manager | None = None
        self._thread = threading.Thread(target=self._run, name=settings.agent, daemon=True)
        self._thread.start()

    @property
    def is_dead(self) -> bool:
        """Whether it was killed."""
        return self._dead.is_set()

    def wake(self, key: tuple[str, str]) -> None:
        """Have it look again at whatever has that name."""
        if self._loop is not None and self._manager is not None and not self._loop.is_closed():
            for queue in (self._manager.queue, self._manager.dataset_queue, self._manager.gate_queue):
                self._loop.call_soon_threadsafe(queue.add, key)

    async def stop(self) -> None:
        """End it as a signal does. Raises what it failed with."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join)
        if self.failure is not None:
            raise self.failure

    async def kill(self) -> None:
        """End it as SIGKILL does: nothing more is written, the lease is not given back."""
        self._dead.set()
        await self.stop()

    def _run(self) -> None:
        try:
            uvloop.run(self._operate())
        except BaseException as error:
            self.failure = error

    async def _operate(self) -> None:
        settings = self._settings
        self._loop = asyncio.get_running_loop()
        connection = await load_connection(settings.kubeconfig, {})
        client = MortalClient(connection, settings.agent, self._dead, settings.dies_after, settings.rival)
        self._manager = Manager(
            client,
            settings.config,
            namespace=settings.namespace,
            asker=settings.asker,
            telemetry_port=None,
            clock=settings.clock,
            look_seconds=settings.look_seconds,
            recall_seconds=settings.recall_seconds,
        )
        await kopf.operator(
            registry=entry_point().registry,
            clusterwide=True,
            standalone=True,
            memo=kopf.Memo(manager=self._manager),
            stop_flag=self._stop,
        )


@cache
def entry_point() -> ModuleType:
    """operator/main.py; it is no package, so that it does not hide Python's own `operator`."""
    spec = importlib.util.spec_from_file_location("penstock_entry_point", REPOSITORY / "operator" / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
