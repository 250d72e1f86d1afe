"""Numbered stages with their times, and a sign of life from those that take long."""

import contextlib
import threading
import time
from collections.abc import Iterator

from hack.cluster.console import say

_SIGN_OF_LIFE_SECONDS = 10


class Stages:
    """Prints every stage when it begins and ends; `total` must be the number of stages."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._number = 0
        self._start = time.monotonic()

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Runs the body as the next stage, and says every ten seconds that it is still at it."""
        self._number += 1
        say(f"[{self._number}/{self._total}] {title}")
        began = time.monotonic()
        done = threading.Event()
        life = threading.Thread(target=_show_life, args=(title, began, done), daemon=True)
        life.start()
        try:
            yield
        finally:
            done.set()
            life.join()
        say(f"      done in {time.monotonic() - began:.1f} s")

    def seconds(self) -> float:
        """How long it has been since the first stage could begin."""
        return time.monotonic() - self._start


def note(text: str) -> None:
    """Prints a line that belongs to the running stage."""
    say(f"      {text}")


def _show_life(title: str, began: float, done: threading.Event) -> None:
    while not done.wait(_SIGN_OF_LIFE_SECONDS):
        note(f"... {time.monotonic() - began:.0f} s: {title[0].lower()}{title[1:]}")
