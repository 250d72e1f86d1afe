"""The operator under test: a process of its own that runs operator/main.py, and that can be killed as SIGKILL kills.

The processes are forked from one that has imported everything, so that a start takes no longer than a test can wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import json
import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import kopf
import uvloop

from penstock.controllers import manager
from penstock.controllers.config import CONFIG_FILE
from penstock.controllers.handover import HANDOVER_FILE
from penstock.controllers.model.prober import HttpAsker, ReachTarget, SmokeTarget
from penstock.domain.lifecycle.observed import Probe
from tests.controller.replica import entry_point
from tests.faults import bugs, clock

Json = dict[str, Any]

# Production waits 70 s before it doubts a silent watch.
INACTIVITY_SECONDS = 3.0
_PORTS = itertools.count(12000 + os.getpid() * 20 % 18000)


@dataclass(frozen=True, slots=True)
class Start:
    """How to start an operator. `refused_smoke`: revisions whose smoke prediction fails, and the sentence they get.

    `bug`: the name of a seeded bug, see `tests.faults.bugs`. `clock`: a file that says by how many seconds the
    operator's clock is wrong; as long as there is none it is right.
    """

    kubeconfig: Path
    namespace: str
    config: Json
    log: Path
    clock: Path
    refused_smoke: dict[str, str] = field(default_factory=dict)
    bug: str = ""


class Answers(HttpAsker):
    """Pods and gateway as the operator would find them if there were any: the one part that is not the product."""

    refused_smoke: ClassVar[Mapping[str, str]] = {}

    async def smoke(self, target: SmokeTarget) -> Probe:
        """Answer for a pod."""
        refused = self.refused_smoke.get(target.revision)
        return Probe(False, refused) if refused else Probe(True, "predicted")

    async def reach(self, target: ReachTarget) -> Probe:
        """Answer for the data plane."""
        return Probe(True, "5 answers in a row")


class Process:
    """One running operator."""

    def __init__(self, start: Start) -> None:
        self._process = _context().Process(target=_run, args=(start, _free_port()), daemon=True)
        self._process.start()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def pause(self) -> None:
        """Send SIGSTOP: nothing runs in it, nothing of it is lost."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if (pid := self._process.pid) is not None:
            os.kill(pid, number)

    async def ended(self) -> int:
        """Wait for the end; the exit code."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._process.sentinel, done.set)
        try:
            await done.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        self._process.join()
        return self._process.exitcode or 0


def _free_port() -> int:
    """A port that nobody is given by chance: below those that the system hands out."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port


def warm_up() -> None:
    """Import everything, once, in the process that all operators are forked from."""
    first = _context().Process(target=_nothing)
    first.start()
    first.join()


def _nothing() -> None:
    pass


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.mortal", "tests.faults.process"])
    return context


def _run(start: Start, port: int) -> None:
    end_with_parent = importlib.import_module("tests.faults.mortal").end_with_parent  # importing it has an effect
    end_with_parent()
    output = os.open(start.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    config = start.log.with_suffix(".config.json")
    config.write_text(json.dumps({**start.config, "telemetryPort": port}))
    os.environ |= {
        "KUBECONFIG": str(start.kubeconfig),
        "PENSTOCK_NAMESPACE": start.namespace,
        CONFIG_FILE: str(config),
        HANDOVER_FILE: str(start.log.with_suffix(".handover.json")),
    }
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    Answers.refused_smoke = start.refused_smoke
    if start.bug:
        bugs.BUGS[start.bug]()
    main = entry_point()
    clock.install(start.clock)

    @kopf.on.startup(registry=main.registry)
    async def doubt_silence_sooner(settings: kopf.OperatorSettings, **_: object) -> None:
        settings.watching.inactivity_timeout = INACTIVITY_SECONDS

    with mock.patch.object(manager, "HttpAsker", Answers):
        uvloop.run(main.main())
