"""What can be wrong with a source of numbers, as one exception with a reason."""

from collections.abc import Mapping
from enum import StrEnum

_LIMIT = 300


class Problem(StrEnum):
    """Why there are no numbers; each is a CamelCase word that programs may compare."""

    UNREACHABLE = "SourceUnreachable"
    TIMEOUT = "SourceTimeout"
    DENIED = "SourceDenied"
    BAD_ANSWER = "SourceAnswersNonsense"
    PARTIAL = "PartialAnswer"
    TOO_LARGE = "AnswerTooLarge"
    NO_DATA = "NoData"
    NO_METRIC_SOURCE = "NoMetricSource"
    NOT_FINITE = "MetricNotFinite"
    NOT_A_COUNTER = "NotACounter"
    DUPLICATE = "DuplicateSeries"
    AMBIGUOUS = "AmbiguousQuery"
    BAD_QUERY = "InvalidQuery"
    MISSING = "MetricSourceMissing"
    NOT_ADMITTED = "NamespaceNotAdmitted"
    BAD_SOURCE = "InvalidMetricSource"


class SourceUnavailable(Exception):
    """There are no numbers now. Never a verdict on a model: who asked holds and asks again.

    `message` is one sentence of at most 300 characters for people, without secrets. `uncounted`: see `Reading`.
    """

    def __init__(self, reason: Problem, message: str, uncounted: Mapping[str, str] | None = None) -> None:
        line = " ".join("".join(char if char.isprintable() else " " for char in message).split())
        self.reason = reason
        self.uncounted = uncounted or {}
        self.message = line if len(line) <= _LIMIT else line[: _LIMIT - 1] + "…"
        super().__init__(f"{reason}: {self.message}")


class ConnectionRefused(SourceUnavailable):
    """Whoever was asked runs, and nothing listens there."""
