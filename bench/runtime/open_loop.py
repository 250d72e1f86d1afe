"""Open-loop load: requests at fixed moments, whatever the server does; latencies count from those moments."""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import uvloop

from bench.runtime.servers import Running

_CONNECTIONS = 768
_TICK_SECONDS = 0.001
_PATIENCE_SECONDS = 20


@dataclass(frozen=True)
class Open:
    """What an overload showed; a request that never left or never got its answer counts with its time so far."""

    sent_per_second: float
    answered: dict[str, int]
    lost: int
    p99_ms: float
    p99_of_successes_ms: float


class _Connection(asyncio.Protocol):
    """One request at a time; answers are small and carry their length."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._received = b""
        self.intended = 0.0
        self.write: Callable[[bytes], None]

    def send(self, intended: float) -> None:
        self.intended = intended
        self.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if separator:
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if len(body) >= size:
                self._received = b""
                self._load.answered(self, head[9:12].decode())

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.closed(self)


class _Load:
    def __init__(self, request: bytes) -> None:
        self.request = request
        self.latencies: dict[str, list[float]] = {}
        self.lost: list[float] = []
        self.sent = 0
        self._idle: deque[_Connection] = deque()
        self._busy: set[_Connection] = set()
        self._due: deque[float] = deque()
        self._is_over = False
        self._all_answered = asyncio.Event()

    async def connect(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_CONNECTIONS):
            transport, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port)
            connection.write = transport.write
            self._busy.add(connection)
            connection.send(time.perf_counter())
        # One answer on each: what is measured is requests, not the making of connections.
        self._is_over = True
        await asyncio.wait_for(self._all_answered.wait(), _PATIENCE_SECONDS)
        self._is_over = False
        self._all_answered.clear()
        self.latencies.clear()

    async def send(self, per_second: float, seconds: float) -> None:
        """Sends what is due every tick, and after the end only waits for the answers."""
        start = time.perf_counter()
        total = int(per_second * seconds)
        made = 0
        while (now := time.perf_counter() - start) < seconds:
            until = min(total, int(now * per_second))
            self._due.extend(start + index / per_second for index in range(made, until))
            made = until
            self._dispatch()
            await asyncio.sleep(_TICK_SECONDS)
        self._is_over = True
        if self._busy or self._due:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_answered.wait(), _PATIENCE_SECONDS)
        now = time.perf_counter()
        self.lost += [now - moment for moment in self._due]
        self.lost += [now - connection.intended for connection in self._busy]

    def answered(self, connection: _Connection, status: str) -> None:
        self.latencies.setdefault(status, []).append(time.perf_counter() - connection.intended)
        self._busy.discard(connection)
        self._idle.append(connection)
        self._dispatch()
        self._look_for_the_end()

    def closed(self, connection: _Connection) -> None:
        if connection in self._busy:
            self._busy.discard(connection)
            self.lost.append(time.perf_counter() - connection.intended)
        elif connection in self._idle:
            self._idle.remove(connection)
        self._look_for_the_end()

    def _look_for_the_end(self) -> None:
        if self._is_over and not self._busy and not self._due:
            self._all_answered.set()

    def _dispatch(self) -> None:
        while self._due and self._idle:
            connection = self._idle.popleft()
            self._busy.add(connection)
            self.sent += 1
            connection.send(self._due.popleft())


def run(server: Running, path: str, body: bytes, per_second: float, seconds: float) -> Open:
    """Sends that many requests per second for that long."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    load = _Load(head.encode() + body)

    async def drive() -> None:
        await load.connect(server.port)
        await load.send(per_second, seconds)

    uvloop.run(drive())
    everything = [latency for latencies in load.latencies.values() for latency in latencies] + load.lost
    return Open(
        sent_per_second=load.sent / seconds,
        answered=dict(Counter({status: len(latencies) for status, latencies in load.latencies.items()})),
        lost=len(load.lost),
        p99_ms=float(np.quantile(everything, 0.99)) * 1e3,
        p99_of_successes_ms=float(np.quantile(load.latencies["200"], 0.99)) * 1e3,
    )
