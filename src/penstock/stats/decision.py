"""Whether features have drifted: by the size of the shift, and only where chance does not explain it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from penstock.stats.correction import benjamini_hochberg, holm


class Independence(StrEnum):
    """What a p-value takes to be independent of each other: blocks of days, or, without them, rows."""

    BLOCKS = "blocks"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Measures:
    """How far one feature's current values are from the reference, nulls left aside; computed in `stats.drift`.

    `rows_*` count every row, `n_*` those with a value. `null_*` and `infinite_*` are shares of the rows, in 0 to 1.
    The measures are None where a side has no value; `ks`, `ks_p_value` and `wasserstein` (in the feature's unit) also
    for a categorical feature, `chi_square` and `p_value` where fewer than two groups have rows. `missing_p_value` says
    how surprising the change in rows without a finite value is (1 where a side has no rows). Both p-values take rows to
    be independent; those of whole blocks of days (`stats.blocks`) are there where the reference has enough blocks.
    """

    feature: str
    rows_reference: int
    rows_current: int
    n_reference: int
    n_current: int
    null_reference: float
    null_current: float
    infinite_reference: float
    infinite_current: float
    missing_p_value: float
    groups: int = 0
    psi: float | None = None
    psi_corrected: float | None = None
    jensen_shannon: float | None = None
    ks: float | None = None
    ks_p_value: float | None = None
    wasserstein: float | None = None
    chi_square: float | None = None
    degrees_of_freedom: int = 0
    p_value: float | None = None
    blocks_reference: int = 0
    blocks_current: int = 0
    block_p_value: float | None = None
    missing_block_p_value: float | None = None

    @property
    def shift_p(self) -> float | None:
        """How surprising the shift is: by whole blocks where they are known, else as if rows were independent."""
        return self.p_value if self.p_value is None or self.block_p_value is None else self.block_p_value

    @property
    def missing_p(self) -> float:
        """The same for the change in rows without a finite value."""
        return self.missing_p_value if self.missing_block_p_value is None else self.missing_block_p_value

    @property
    def independence(self) -> Independence:
        """What `shift_p` takes to be independent."""
        return Independence.ASSUMED if self.block_p_value is None else Independence.BLOCKS

    @property
    def missing_change(self) -> float:
        """Change of the share of rows without a finite value, in -1 to 1."""
        return self.null_current + self.infinite_current - self.null_reference - self.infinite_reference


class Effect(StrEnum):
    """The measure that a threshold is set on; the Kolmogorov-Smirnov distance falls back to PSI for categories."""

    PSI = "psi"
    JENSEN_SHANNON = "jensen_shannon"
    KS = "ks"


class Correction(StrEnum):
    """How p-values are corrected for the number of features."""

    HOLM = "holm"
    BENJAMINI_HOCHBERG = "benjamini_hochberg"


class Verdict(StrEnum):
    """What is known about a feature; `NoData` is never "no drift"."""

    DRIFTED = "Drifted"
    STABLE = "Stable"
    NO_DATA = "NoData"


class Reason(StrEnum):
    """Why a verdict is what it is."""

    SHIFT = "Shift"
    MISSING_VALUES = "MissingValues"
    BELOW_THRESHOLD = "BelowThreshold"
    NOT_SIGNIFICANT = "NotSignificant"
    TOO_FEW_ROWS = "TooFewRows"
    ONE_GROUP = "OneGroup"


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """When a feature counts as drifted.

    A shift counts if the effect is at least `threshold` (PSI after the correction for sample size) and its p-value,
    corrected over features, is below `alpha`; with at least `minimum_rows` values on both sides. Missing values count
    in the same way if their share has changed by `missing_threshold`. 0.1 and 0.25 are the customary limits of PSI
    for a moderate and a large shift (Siddiqi 2006, Credit Risk Scorecards).
    """

    threshold: float = 0.1
    effect: Effect = Effect.PSI
    alpha: float = 0.05
    correction: Correction = Correction.HOLM
    minimum_rows: int = 500
    missing_threshold: float = 0.05


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """The decision on one feature; `drifted` is None where there is no data to decide on.

    `effect` is the value of the policy's measure; `p_adjusted` belongs to the shift, `missing_p_adjusted` to the change
    in missing values.
    """

    feature: str
    verdict: Verdict
    reason: Reason
    measures: Measures
    effect: float | None
    p_adjusted: float | None
    missing_p_adjusted: float

    @property
    def drifted(self) -> bool | None:
        """True, False, or None for NoData."""
        return None if self.verdict == Verdict.NO_DATA else self.verdict == Verdict.DRIFTED

    @property
    def n_reference(self) -> int:
        """Values in the reference, nulls left aside."""
        return self.measures.n_reference

    @property
    def n_current(self) -> int:
        """Values in the current window, nulls left aside."""
        return self.measures.n_current


def decide(measures: Sequence[Measures], policy: DriftPolicy | None = None) -> list[FeatureDrift]:
    """One decision per feature, in the order given; the correction runs over all tests of all these features."""
    policy = policy or DriftPolicy()
    tested = [index for index, measure in enumerate(measures) if _enough_values(measure, policy)]
    family = [p for index in tested if (p := measures[index].shift_p) is not None]
    family += [measure.missing_p for measure in measures]
    adjust = holm if policy.correction == Correction.HOLM else benjamini_hochberg
    adjusted = adjust(family)
    shifts = dict(zip([i for i in tested if measures[i].shift_p is not None], adjusted, strict=False))
    missing = adjusted[len(shifts) :]
    return [
        _decide(measure, shifts.get(index), missing[index], policy, index in tested)
        for index, measure in enumerate(measures)
    ]


def _enough_values(measure: Measures, policy: DriftPolicy) -> bool:
    return min(measure.n_reference, measure.n_current) >= max(1, policy.minimum_rows)


def _decide(
    measure: Measures, p_shift: float | None, p_missing: float, policy: DriftPolicy, enough: bool
) -> FeatureDrift:
    effect = effect_of(measure, policy.effect)
    verdict, reason = _shift(effect, p_shift, policy) if enough else (Verdict.NO_DATA, Reason.TOO_FEW_ROWS)
    # Values that are gone cannot show a shift, so this is looked at even where too few are left.
    gone = abs(measure.missing_change) >= policy.missing_threshold and p_missing < policy.alpha
    rows = min(measure.rows_reference, measure.rows_current)
    if verdict != Verdict.DRIFTED and gone and rows >= max(1, policy.minimum_rows):
        verdict, reason = Verdict.DRIFTED, Reason.MISSING_VALUES
    return FeatureDrift(measure.feature, verdict, reason, measure, effect, p_shift, p_missing)


def _shift(effect: float | None, p_shift: float | None, policy: DriftPolicy) -> tuple[Verdict, Reason]:
    if effect is None or p_shift is None:
        # All values of both sides are in one group: the same constant, or the same single category.
        return Verdict.STABLE, Reason.ONE_GROUP
    if effect < policy.threshold:
        return Verdict.STABLE, Reason.BELOW_THRESHOLD
    if p_shift >= policy.alpha:
        return Verdict.STABLE, Reason.NOT_SIGNIFICANT
    return Verdict.DRIFTED, Reason.SHIFT


def effect_of(measure: Measures, effect: Effect) -> float | None:
    """The measure that a policy's threshold is compared with."""
    if effect == Effect.JENSEN_SHANNON:
        return measure.jensen_shannon
    if effect == Effect.KS and measure.ks is not None:
        return measure.ks
    return measure.psi_corrected
