"""Real clients: a steady stream of predictions through the Gateway, every answer kept.

As a program it is the same clients in a pod of the cluster (see `inside.py`).
"""

import asyncio
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
import httpx

PER_SECOND = 50
# Every fifth request comes from a client that has no connection yet.
NEW_CONNECTION_EVERY = 5
TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request. Times are seconds since the epoch; `status` 0: no answer, see `error`."""

    row: int
    sent: float
    done: float
    fresh: bool
    status: int = 0
    revision: str = ""
    probability: float = float("nan")
    error: str = ""


@dataclass
class Traffic:
    """A running stream of requests to `url`, one of `bodies` after the other.

    `inside`: what clients in the cluster got meanwhile who do not come through the Gateway, known when it has ended.
    """

    url: str
    model: str
    bodies: list[bytes]
    per_second: int = PER_SECOND
    answers: list[Answer] = field(default_factory=list)
    inside: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def failed(self) -> list[Answer]:
        """Requests without a good answer."""
        return failures(self.answers)

    @contextmanager
    def flowing(self) -> Iterator["Traffic"]:
        """Send until the block ends, then wait for the last answers."""
        thread = threading.Thread(target=lambda: asyncio.run(self.run()), name="traffic")
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            thread.join()

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()

    async def run(self) -> None:
        """Send until it is stopped, and return with the last answer."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        kept = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        fresh = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0, force_close=True))
        begin = time.monotonic()
        async with kept, fresh, asyncio.TaskGroup() as group:
            for number in itertools.count():
                await asyncio.sleep(begin + number / self.per_second - time.monotonic())
                if self._stop.is_set():
                    break
                new = number % NEW_CONNECTION_EVERY == 0
                group.create_task(self._ask(fresh if new else kept, number % len(self.bodies), fresh=new))

    async def _ask(self, session: aiohttp.ClientSession, row: int, *, fresh: bool) -> None:
        sent = time.time()
        try:
            result = await self._answer(session, row)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            result = {"error": f"{type(error).__name__} {error}"}
        self.answers.append(Answer(row=row, sent=sent, done=time.time(), fresh=fresh, **result))

    async def _answer(self, session: aiohttp.ClientSession, row: int) -> dict[str, Any]:
        url = f"{self.url}/v2/models/{self.model}/infer"
        headers = {"Content-Type": "application/json"}
        async with session.post(url, data=self.bodies[row], headers=headers) as response:
            body = await response.read()
            if response.status != 200:
                return {"status": response.status, "error": body.decode(errors="replace")[:300]}
            return {
                "status": 200,
                "revision": response.headers.get("x-penstock-revision", ""),
                "probability": probabilities(body)[0],
            }


def failures(answers: list[Answer]) -> list[Answer]:
    """Those that are no good answer."""
    return [answer for answer in answers if answer.status != 200]


def newest_fresh(answers: list[Answer]) -> str:
    """The revision that answered the last new connection: through a Service a kept one stays with its pod."""
    return next((answer.revision for answer in reversed(answers) if answer.fresh), "")


def probabilities(body: bytes | str) -> list[float]:
    """The probability of the second class for each row of an answer."""
    (output,) = json.loads(body)["outputs"]
    return [float(value) for value in output["data"][1::2]]


def ask(url: str, model: str, body: bytes) -> bytes:
    """One request, which must be answered with 200."""
    headers = {"Content-Type": "application/json"}
    response = httpx.post(f"{url}/v2/models/{model}/infer", content=body, headers=headers, timeout=TIMEOUT_SECONDS)
    assert response.status_code == httpx.codes.OK, response.text
    return response.content


def main() -> None:
    """Ask what the environment names until SIGTERM comes; then print the answers, a line of JSON each, and `end`."""
    bodies = [body.encode() for body in json.loads(os.environ["BODIES"])]
    traffic = Traffic(os.environ["URL"], os.environ["MODEL"], bodies, int(os.environ["PER_SECOND"]))
    signal.signal(signal.SIGTERM, lambda *_: traffic.stop())
    print("begin", flush=True)
    asyncio.run(traffic.run())
    for answer in traffic.answers:
        print(json.dumps(asdict(answer)))
    print("end")


if __name__ == "__main__":
    main()
