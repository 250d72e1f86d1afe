"""Progress lines and the error every command of the local cluster reports as one sentence."""

import sys
import time


class ClusterError(RuntimeError):
    """Something a user can act on; the message is one sentence that says what is wrong and what to do."""


def say(text: str) -> None:
    """Prints one progress line to standard error, so that standard output stays machine-readable."""
    print(text, file=sys.stderr, flush=True)


class Stopwatch:
    """Prints stages with the seconds since it was made and since the stage before."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()

    def stage(self, text: str) -> None:
        """Reports that `text` has just been reached."""
        now = time.monotonic()
        say(f"{now - self._start:7.1f} s (+{now - self._last:.1f})  {text}")
        self._last = now
