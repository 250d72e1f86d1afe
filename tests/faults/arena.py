"""A namespace in which one operator, behind a proxy, is tried, and restarted whenever it ends."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from penstock.controllers.manager import CHILDREN
from penstock.controllers.model import names
from penstock.controllers.resources import DECISIONRECORDS, MODELREVISIONS, MODELS
from penstock.kube.resources import DEPLOYMENTS, uid_of
from tests.controller.world import GATEWAY, IMAGE, World
from tests.faults.history import History
from tests.faults.process import Process, Start
from tests.faults.proxy import Call, Proxy

Json = dict[str, Any]

NARROWED = frozenset(kind.plural for kind in (MODELS, MODELREVISIONS, DECISIONRECORDS, *CHILDREN))


async def _nothing() -> None:
    """What happens when faults may begin, by default."""


class NotReached(Exception):
    """Something that had to come did not; the message shows what there was instead."""


@dataclass
class Arena(World):
    """What a run under faults has at hand. Use it as an asynchronous context manager, then `begin`.

    `patience`: for how many seconds anything is waited for. `armed`: whether faults may happen by now.
    `on_armed`: is called when they may.
    """

    patience: float = 60.0
    prune_seconds: float = 300.0
    bug: str = ""
    refused_smoke: dict[str, str] = field(default_factory=dict)
    armed: bool = False
    on_armed: Callable[[], Awaitable[None]] = _nothing

    async def __aenter__(self) -> Self:
        self.tampered = bool(self.bug)  # an operator with a planted bug may well break the log: the oracles say so
        await super().__aenter__()
        self._stack = contextlib.AsyncExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-faults-")))
        self.proxy = await self._stack.enter_async_context(Proxy(self.server.kubeconfig, self.namespace, NARROWED))
        self.history = History(self.namespace)
        self._observing = asyncio.create_task(self.history.run(self.server.kubeconfig))
        await self.history.ready()
        await self.create_gateway()
        self._supervising: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._later: list[asyncio.Task[None]] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [task for task in (self._supervising, self._observing, *self._later) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._process is not None:
            self._process.kill()
            await self._process.ended()
        await self._stack.aclose()
        await super().__aexit__(*_)

    def begin(self) -> None:
        """Start the operator, and again each time it ends."""
        self.proxy.on_kill = self._kill
        self._supervising = asyncio.create_task(self._supervise(self.start_of(self.proxy, "operator")))

    def start_of(self, proxy: Proxy, name: str) -> Start:
        """How to start an operator that reaches the API server through a proxy."""
        gateway = {"namespace": self.namespace, "name": GATEWAY}
        return Start(
            kubeconfig=proxy.write_kubeconfig(self.folder / f"{name}.kubeconfig"),
            namespace=self.namespace,
            config={"runtimeImage": IMAGE, "gateway": gateway, "pruneSeconds": self.prune_seconds},
            log=self.folder / f"{name}.log",
            clock=self.folder / f"{name}.clock",
            refused_smoke=self.refused_smoke,
            bug=self.bug,
        )

    def set_clock(self, seconds: float, name: str = "operator") -> None:
        """Let an operator's clock be wrong by so much from now on."""
        (self.folder / f"{name}.clock").write_text(str(seconds))

    def later_do(self, seconds: float, what: Callable[[], Awaitable[None]]) -> None:
        """Do something after a while, whatever goes on meanwhile."""

        async def do() -> None:
            await asyncio.sleep(seconds)
            await what()

        self._later.append(asyncio.create_task(do()))

    def log(self) -> str:
        """What the operator has said so far."""
        path = self.folder / "operator.log"
        return path.read_text(errors="replace") if path.exists() else ""

    async def model(self) -> Json:
        """The Model as the history has it, which costs no request."""
        return self.history.now().get((MODELS, self.name), {})

    async def rests(self, revision: str) -> None:
        """Wait until a revision is stable and nothing is left to be written about it."""
        await self.serves(revision)
        await self.shows_ending(revision, "Stable")

    async def shows_ending(self, revision: str, stage: str) -> None:
        """Wait until the ModelRevision says how its rollout ended."""

        async def shown() -> bool:
            name = names.revision_name(self.name, uid_of(await self.model()), revision)
            found = self.history.now().get((MODELREVISIONS, name), {})
            return bool(found.get("status", {}).get("stage") == stage)

        await self.until(shown, f"the ModelRevision of {revision} says {stage}")

    async def decides(self, verdict: str) -> None:
        """Wait for a decision."""

        async def decided() -> bool:
            return any(
                kind is DECISIONRECORDS and obj["spec"]["verdict"] == verdict
                for (kind, _), obj in self.history.now().items()
            )

        await self.until(decided, f"{verdict} is decided")

    async def has_no_pods(self, revision: str) -> None:
        """Wait until the Deployment of a revision is gone."""

        async def gone() -> bool:
            return (DEPLOYMENTS, names.workload_name(self.name, revision)) not in self.history.now()

        await self.until(gone, f"the Deployment of revision {revision} is gone")

    async def late_writes(self) -> list[Call]:
        """What the operator writes between its next two renewals of the lease, which are two seconds apart."""
        renewals = self.proxy.renewals

        async def once() -> bool:
            return self.proxy.renewals > renewals

        async def twice() -> bool:
            return self.proxy.renewals > renewals + 1

        await self.until(once, "the lease is renewed")
        before = len(self.proxy.writes())
        await self.until(twice, "the lease is renewed again")
        return self.proxy.writes()[before:]

    async def until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Return as soon as `condition` holds. Raises NotReached after `patience` seconds."""
        deadline = time.monotonic() + self.patience
        while not await condition():
            if time.monotonic() > deadline:
                raise NotReached(f"after {self.patience:g} s it was still not so that {what}\n{await self.report()}")
            await asyncio.sleep(0.03)

    async def report(self) -> str:
        """What a person needs to see why something did not come."""
        said = "\n".join(self.log().splitlines()[-30:])
        calls = "\n".join(f"  {call.code} {call}" for call in self.proxy.writes()[-20:])
        return f"{await super().report()}\nwrites:\n{calls}\noperator:\n{said}"

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    async def _supervise(self, start: Start) -> None:
        while True:
            self._process = Process(start)
            await self._process.ended()
            await self.free_lease()
