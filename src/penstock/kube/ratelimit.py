"""A token bucket that makes callers wait in the order they came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class TokenBucket:
    """Allows ``burst`` calls at once and ``rate`` calls per second in the long run."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("A token bucket needs a rate above 0 and a burst of at least 1.")
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._tokens = float(burst)
        self._as_of = clock()
        self._paused_until = float("-inf")

    async def take(self) -> None:
        """Takes one token, waiting for it if need be. A cancelled wait gives its token back."""
        self._refill()
        self._tokens -= 1
        try:
            # A negative balance is a queue: each later caller is deeper in debt and so waits longer.
            ready_at = self._clock() + max(0.0, -self._tokens / self._rate)
            while True:
                wait = max(ready_at, self._paused_until) - self._clock()
                if wait <= 0:
                    return
                await asyncio.sleep(wait)
        except asyncio.CancelledError:
            self._tokens += 1
            raise

    def pause(self, seconds: float) -> None:
        """Lets nobody through for so long, as the server asked by 429 with Retry-After."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._as_of) * self._rate)
        self._as_of = now
