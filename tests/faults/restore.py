"""An API server whose etcd is set back to an earlier state, as an administrator does who restores a backup."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.apiserver import ApiServer
from tests.controller.world import World
from tests.faults.arena import Arena, Json
from tests.support.kubelet import Simulation


class RestorableServer(ApiServer):
    """A real API server that forgets. Clients see connections refused while it works."""

    def snapshot(self) -> Path:
        """Stop, keep a copy of what is stored, and go on; the copy's folder."""
        command, data = self._stop_both()
        copy = Path(tempfile.mkdtemp(prefix="copy-", dir=data.parent)) / data.name
        shutil.copytree(data, copy)
        self._start_both(command)
        return copy

    def restore(self, copy: Path) -> None:
        """Stop, go back to what was stored then, resourceVersions included, and go on."""
        command, data = self._stop_both()
        shutil.rmtree(data)
        shutil.copytree(copy, data)
        self._start_both(command)

    def _stop_both(self) -> tuple[list[str], Path]:
        assert self._etcd is not None
        arguments = self._etcd.args
        assert isinstance(arguments, list)
        command = [str(part) for part in arguments]
        data = next(part for part in command if part.startswith("--data-dir=")).partition("=")[2]
        self._end_both()
        return command, Path(data)

    def _start_both(self, command: list[str]) -> None:
        self._etcd = self._spawn("etcd", command)
        self.start_apiserver()


@dataclass
class Restored(Arena):
    """An arena that outlives its API server: it asks instead of watching."""

    async def model(self) -> Json:
        """Read the Model."""
        return await World.model(self)

    async def while_down(self, work: Callable[[], object]) -> object:
        """Do something that stops the API server for some seconds, and take up what its end has ended."""
        done = await asyncio.to_thread(work)
        self._simulating.cancel()
        await asyncio.wait([self._simulating])
        pods = self.simulation.pods
        self.simulation = Simulation(self.client, self.namespace)
        self.simulation.pods = pods
        self._simulating = asyncio.create_task(self.simulation.run(self.server.kubeconfig))
        return done
