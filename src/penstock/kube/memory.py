"""Keeps the process small and the garbage collector cheap once the first lists are in memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc

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
    with contextlib.suppress(OSError, AttributeError):  # a system without glibc keeps its freed pages
        ctypes.CDLL("libc.so.6").malloc_trim(0)
