"""Background processes known by pid files that a reused pid cannot deceive."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hack.cluster.console import ClusterError


@dataclasses.dataclass(frozen=True)
class Daemons:
    """A set of named processes that outlive the command that starts them.

    `run` holds `<name>.pid` ("pid start-time"), `logs` holds `<name>.log`.
    """

    run: Path
    logs: Path

    def start(self, name: str, command: Sequence[str]) -> bool:
        """Starts a process unless it runs; says whether it did."""
        if self.alive(name):
            return False
        self.run.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.run, start_new_session=True
            )
        self._pid_file(name).write_text(f"{process.pid} {_start_time(process.pid)}\n")
        return True

    def alive(self, name: str) -> bool:
        """Whether the process started under that name still runs."""
        return self.pid(name) is not None

    def pid(self, name: str) -> int | None:
        """The pid of a running process, or None."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid, started = self._pid_file(name).read_text().split()
            if _start_time(int(pid)) == started:
                return int(pid)
        return None

    def stop(self, *names: str, grace: float = 10) -> None:
        """Ends processes together: SIGTERM, and SIGKILL for those still there after `grace` seconds."""
        pids = {name: pid for name in names if (pid := self.pid(name)) is not None}
        for pid in pids.values():
            _signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and any(self.alive(name) for name in pids):
            time.sleep(0.05)
        for name, pid in pids.items():
            if self.alive(name):
                _signal(pid, signal.SIGKILL)
        while any(self.alive(name) for name in pids):
            time.sleep(0.05)
        for name in names:
            self._pid_file(name).unlink(missing_ok=True)

    def _pid_file(self, name: str) -> Path:
        return self.run / f"{name}.pid"


def wait_for(what: str, ready: Callable[[], bool], *, seconds: float, hint: str) -> None:
    """Polls until `ready` is true. Raises ClusterError, which ends with `hint`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} did not happen within {seconds:.0f} s; {hint}.")
        time.sleep(0.1)


def _start_time(pid: int) -> str:
    """Clock ticks from boot to the start of a process, or "" for one that is gone or a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
