"""Trying again what failed for the moment."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from penstock.api.v1alpha1.conditions import Reason
from penstock.jobs.validate.failure import DatasetError, TransientError

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 10.0
Result = TypeVar("Result")


def retried(what: str, attempt: Callable[[], Result], *, seconds: float) -> Result:
    """Run `attempt` until it ends without TransientError.

    `seconds`: for how long failures are tried again; the time that a try itself takes does not count, so that a
    large file may take as long as it needs. Raises DatasetError (SourceUnavailable).
    """
    pause, waited = _FIRST_PAUSE_SECONDS, 0.0
    while True:
        try:
            return attempt()
        except TransientError as error:
            wait = pause * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret
            if waited + wait > seconds:
                raise DatasetError(
                    Reason.SOURCE_UNAVAILABLE,
                    f"{what} cannot be reached ({error}): check the address and that the network lets this namespace"
                    " through; it is tried again.",
                ) from None
        time.sleep(wait)
        waited += wait
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
