"""Keeps the process small and the garbage collector cheap once the first lists are in memory."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
from collections.abc import Callable

# A burst of reconciles makes many short-lived objects and hardly a cycle: looking for cycles every 700 objects, as
# Python does by itself, costs more than it frees.
_THRESHOLDS = (20_000, 20, 20)


def settle() -> None:
    """Exempt what is alive from garbage collection, and give back to the system what is not needed any more.

    Call it when the long-lived objects are there; calling it again is fine.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    _give_back()


async def give_back_after_bursts(is_busy: Callable[[], bool], look_seconds: float = 2.0) -> None:
    """Give back to the system, whenever a burst of work is over, what it has left free; until cancelled."""
    was_busy = False
    while True:
        await asyncio.sleep(look_seconds)
        busy = is_busy()
        if was_busy and not busy:
            _give_back()
        was_busy = busy


def _give_back() -> None:
    with contextlib.suppress(OSError, AttributeError):  # a system without glibc keeps its freed pages
        ctypes.CDLL("libc.so.6").malloc_trim(0)
