"""The servers that are compared, each started by itself on 127.0.0.1 with one worker."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.runtime import models
from bench.runtime.venvs import python_of

_HERE = Path(__file__).parent
_REVISION = "0123456789ab"
_START_SECONDS = 90
_STOP_SECONDS = 30

Command = Callable[[Path, int], tuple[list[str], dict[str, str]]]


@dataclass(frozen=True)
class Contender:
    """A server: how it is started with its folder and port, and the request it gets."""

    name: str
    command: Command
    datatype: str
    output: str | None

    def request(self, row: list[float]) -> bytes:
        return models.request(row, self.datatype, self.output)


@dataclass(frozen=True)
class Running:
    """A server under load."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{models.PATH}"

    def cpu_seconds(self) -> float:
        """CPU time of the process so far, of all its threads."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def memory_mib(self) -> float:
        """Resident memory of the process."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def penstock(form: str, model_format: str) -> Command:
    """Penstock with the model in the folder `form`."""
    return penstock_with("penstock.runtime", form, model_format)


def penstock_with(module: str, form: str, model_format: str) -> Command:
    """A module that takes the settings of Penstock's model server, with the model in the folder `form`."""

    def command(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, "-m", module], {
            "PENSTOCK_HOST": "127.0.0.1",
            "PENSTOCK_PORT": str(port),
            "PENSTOCK_METRICS_PORT": str(free_port()),
            "PENSTOCK_MODEL_NAME": models.NAME,
            "PENSTOCK_MODEL_FORMAT": model_format,
            "PENSTOCK_MODEL_DIR": str(folder / form),
            "PENSTOCK_REVISION": _REVISION,
            "PENSTOCK_ARTIFACT_DIGEST": "sha256:" + "0" * 64,
            "PENSTOCK_DRAIN_SECONDS": "0",
            "PENSTOCK_TERMINATION_LOG": os.devnull,
        }

    return command


def mlserver(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    home = folder / "mlserver"
    home.mkdir(exist_ok=True)
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": models.NAME,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(folder / "joblib" / "model.joblib")},
    }
    (home / "settings.json").write_text(json.dumps(settings))
    (home / "model-settings.json").write_text(json.dumps(model))
    return [str(python_of("mlserver", "bench-venvs").with_name("mlserver")), "start", str(home)], {}


def kserve(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    file = folder / "joblib" / "model.joblib"
    python = python_of("kserve", "bench-venvs")
    return [str(python), str(_HERE / "kserve_server.py"), str(file), str(port), models.NAME], {}


def noop(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, str(_HERE / "noop.py"), str(port)], {}


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("noop", noop, "FP64", None),
        Contender("mlserver", mlserver, "FP64", None),
        Contender("kserve", kserve, "FP64", None),
        # The others answer the label alone: so is Penstock asked.
        Contender("penstock sklearn", penstock("skops", "Skops"), "FP64", "label"),
        Contender("penstock sklearn, all outputs", penstock("skops", "Skops"), "FP64", None),
        Contender("penstock onnx", penstock("onnx", "ONNX"), "FP32", None),
    )
}


@contextmanager
def started(contender: Contender, folder: Path, body: bytes) -> Iterator[Running]:
    """The server once it answers this request; stopped at the end. Raises `RuntimeError` if it never answers."""
    port = free_port()
    command, variables = contender.command(folder, port)
    log = folder / f"{contender.name.replace(' ', '-')}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        running = Running(process.pid, port)
        _wait_until_it_answers(process, running, body, log)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", running: Running, body: bytes, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    request = urllib.request.Request(running.url, body, {"content-type": "application/json"})
    last = "no connection"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()
                return
        except urllib.error.HTTPError as error:
            last = f"{error.code}: {error.read()[:300].decode(errors='replace')}"
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the server did not answer ({last}):\n{log.read_text()[-2000:]}")
