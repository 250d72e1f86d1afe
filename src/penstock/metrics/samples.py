"""Numbers as sources write them: text that has to be checked before it counts."""

import math
from datetime import UTC, datetime

from penstock.metrics.problems import Problem, SourceUnavailable

# Above it a float no longer tells neighbouring integers apart.
_MOST = 2**53


def count_of(text: str, name: str) -> int:
    """Return the value of a counter of things. Raises SourceUnavailable unless it is a whole number from 0."""
    value = number_of(text, name)
    if value < 0 or value != math.floor(value) or value > _MOST:
        raise SourceUnavailable(Problem.NOT_A_COUNTER, f"{name} is {text}, which no counter of requests can be")
    return int(value)


def number_of(text: str, name: str) -> float:
    """Return a finite number. Raises SourceUnavailable for anything else."""
    try:
        value = float(text)
    except ValueError as error:
        raise SourceUnavailable(Problem.BAD_ANSWER, f"{name} is {text[:40]!r}, which is no number") from error
    if not math.isfinite(value):
        raise SourceUnavailable(Problem.NOT_FINITE, f"{name} is {text}: nothing can be concluded from it")
    return value


def moment_of(seconds: float) -> datetime:
    """Return the time that is so many seconds after 1970."""
    return datetime.fromtimestamp(seconds, tz=UTC)
