"""What is analysed in a canary, and the numbers that came of it: enough to judge them again later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

_BROKEN = 0.2


class Kind(StrEnum):
    """What an analysis compares. Proportion, Mean and Guardrail are the user's own metrics."""

    ERRORS = "Errors"
    LATENCY = "Latency"
    PROPORTION = "Proportion"
    MEAN = "Mean"
    GUARDRAIL = "Guardrail"


class Worse(StrEnum):
    """Which way a user metric must not go; errors and latency are worse when higher."""

    HIGHER = "Higher"
    LOWER = "Lower"
    EITHER = "Either"


class Verdict(StrEnum):
    """What is known about one analysis. Only Pass is evidence to go on, only Fail one to go back."""

    PASS = "Pass"  # noqa: S105 - a verdict
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"
    NO_DATA = "NoData"


@dataclass(frozen=True, slots=True)
class Analysis:
    """One comparison of candidate and champion.

    `margin`: how much worse is tolerated. A difference of shares for Errors and Proportion (0.005: half a percent of
    the requests), a relative increase of the quantile for Latency (0.2: a fifth slower), in the metric's own unit for
    Mean; not used by a Guardrail. `absolute`: the share of errors (or of events that are worse when higher) above
    which the champion itself counts as broken and is no longer compared with; `domain.canary.judge` says how. If it is
    None a fifth of errors is the bound, and of a user's events there is none.
    `quantile` and `warmup_seconds` belong to Latency: answers of pods younger than that are not looked at.
    `minimum` and `maximum` belong to a Guardrail.
    """

    name: str
    kind: Kind
    margin: float = 0.005
    worse: Worse = Worse.HIGHER
    absolute: float | None = None
    quantile: float = 0.99
    warmup_seconds: int = 30
    minimum: float | None = None
    maximum: float | None = None

    @property
    def broken_above(self) -> float | None:
        """The share of events above which a champion is no measure; None if there is none."""
        if self.worse is not Worse.HIGHER or self.kind not in (Kind.ERRORS, Kind.PROPORTION):
            return None
        return _BROKEN if self.absolute is None and self.kind is Kind.ERRORS else self.absolute

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values; numbers that are not integers as decimal strings; defaults are left out."""
        usual = asdict(Analysis(self.name, self.kind))
        given = {key: value for key, value in asdict(self).items() if value != usual[key]}
        return {key: _plain(value) for key, value in ({"name": self.name, "kind": self.kind} | given).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Analysis:
        """Return the analysis that `as_json` was called on."""
        numbers = ("margin", "absolute", "quantile", "minimum", "maximum")
        read: dict[str, Callable[[Any], Any]] = {"kind": Kind, "worse": Worse, **dict.fromkeys(numbers, float)}
        return cls(**{key: read[key](stored) if key in read else stored for key, stored in value.items()})


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """The numbers of one analysis at one look; everything `judge` looks at.

    `champion`, `candidate`, `difference` (candidate less champion), `lower` and `upper` (95 %, valid at every look)
    are in the metric's unit: shares, seconds at the quantile for Latency. They and `n` (the candidate's requests) span
    the whole rollout; `step_n` only the present step, and `step_difference` that part of it in which, by the evidence,
    there was harm if any; it is turned so that more is worse, and in the unit of `margin` as tested: for Latency both
    are shares of requests slower than `slower_than` seconds.
    `champion_share`: its share of events, by its history as long as the rollout has seen little of it.
    `log_harm` and `log_go` are natural logarithms of e-values, `*_threshold` what they must reach. `champion_broken`:
    the champion is above the bound `absolute`; `log_absolute_harm` and `log_absolute_go` then test the candidate
    against that bound. `sources`: both tracks had numbers at this look (`at`, ms since 1970). `dispersion`: by how much
    evidence is deflated for events that come in bursts; `burstiness_known`: measured on the champion, not assumed.
    `outside`: looks in a row outside a Guardrail's bounds, None for other kinds.
    """

    name: str
    kind: Kind
    at: int
    sources: bool
    n: int
    step_n: int
    champion_n: int
    champion: float | None
    candidate: float | None
    difference: float | None
    lower: float | None
    upper: float | None
    margin: float
    step_difference: float | None
    log_harm: float
    harm_threshold: float
    log_go: float
    go_threshold: float
    dispersion: float
    burstiness_known: bool
    worse: Worse = Worse.HIGHER
    champion_share: float | None = None
    slower_than: float | None = None
    champion_broken: bool = False
    absolute: float | None = None
    log_absolute_harm: float | None = None
    log_absolute_go: float | None = None
    outside: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values, numbers that are not integers as decimal strings; None is left out."""
        return {key: _plain(value) for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AnalysisResult:
        """Return the result that `as_json` was called on, exactly."""
        given: dict[str, Any] = dict.fromkeys(_OPTIONAL)
        for key, stored in value.items():
            given[key] = float(stored) if key in _FLOATS else stored
        return cls(**{**given, "kind": Kind(given["kind"]), "worse": Worse(given["worse"])})


_OPTIONAL = ("champion", "candidate", "difference", "lower", "upper", "step_difference")
_NUMBERS = ("margin", "log_harm", "harm_threshold", "log_go", "go_threshold", "dispersion", "slower_than")
_FLOATS = frozenset((*_OPTIONAL, *_NUMBERS, "champion_share", "absolute", "log_absolute_harm", "log_absolute_go"))


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    return repr(value) if isinstance(value, float) else value
