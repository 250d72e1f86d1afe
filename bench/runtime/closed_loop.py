"""Closed-loop load by wrk: as many requests as a few connections can make."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.runtime.servers import Running

CONNECTIONS = 8
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Closed:
    """What one run of wrk saw; latencies in milliseconds, CPU time of the server per request in microseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def require_wrk() -> str:
    """The path of wrk; a sentence and the end if it is missing."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("wrk is missing: install it with 'apt-get install -y wrk'.")
    return found


def run(server: Running, body: bytes, seconds: int, folder: Path, connections: int = CONNECTIONS) -> Closed:
    """Loads the server; raises `RuntimeError` if one answer is no success."""
    script = folder / "request.lua"
    script.write_text(
        'wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\nwrk.body = [[' + body.decode() + "]]\n"
    )
    before = server.cpu_seconds()
    command = [require_wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), server.url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu = server.cpu_seconds() - before
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"some requests failed:\n{text}")
    (requests,) = re.findall(r"(\d+) requests in", text)
    (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", text)
    return Closed(float(rate), _percentile(text, "50%"), _percentile(text, "99%"), cpu / int(requests) * 1e6)


def _percentile(text: str, which: str) -> float:
    ((number, unit),) = re.findall(rf"^\s+{which}\s+([\d.]+)(us|ms|s)$", text, re.MULTILINE)
    return float(number) * _UNITS[unit]
