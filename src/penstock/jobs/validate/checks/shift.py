"""How far a dataset is from its baseline, feature by feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.jobs.validate.checks.result import CheckResult, number
from penstock.profile.profile import Profile
from penstock.stats.blocknull import seed_of, under_blocks
from penstock.stats.decision import DriftPolicy, FeatureDrift, Reason, decide
from penstock.stats.drift import measure

DEFAULT_MAX_PSI = "0.25"


def shifts_of(current: Profile, baseline: Profile, max_psi: str | None, current_blocks: int = 0) -> list[FeatureDrift]:
    """One decision per feature that both profiles have, counted on the baseline's grids; Holm over all of them.

    `current_blocks`: in how many of the baseline's blocks of days the current rows are, 0 if they have no time.
    """
    reference, counted = baseline.histograms, current.histograms
    shared = [name for name in counted if name in reference and reference[name].grid == counted[name].grid]
    policy = DriftPolicy(threshold=float(max_psi or DEFAULT_MAX_PSI))
    measures = under_blocks(
        [measure(name, reference[name], counted[name]) for name in shared],
        reference,
        counted,
        baseline.blocks,
        current_blocks=current_blocks,
        seed=seed_of(baseline.dataset_digest, current.dataset_digest),
        policy=policy,
    )
    return decide(measures, policy)


def shift_results(shifts: Sequence[FeatureDrift], max_psi: str | None) -> list[CheckResult]:
    """The checks Shift (the values' distribution) and NullShift (the share of missing values) per feature.

    Features with too few values on either side are not checked: nothing can be said about them.
    """
    results: list[CheckResult] = []
    for item in shifts:
        if item.reason is Reason.MISSING_VALUES:
            change = number(item.measures.missing_change)
            results.append(
                CheckResult(
                    "NullShift", False, item.feature, value=change, threshold=number(DriftPolicy().missing_threshold)
                )
            )
        elif item.drifted is not None:
            value = None if item.effect is None else number(item.effect)
            results.append(
                CheckResult("Shift", not item.drifted, item.feature, value=value, threshold=max_psi or DEFAULT_MAX_PSI)
            )
    return results


def shift_json(item: FeatureDrift) -> dict[str, Any]:
    """One feature's shift for the report: every measure that is known, none of them a value of a row."""
    found = item.measures
    numbers: dict[str, float | None] = {
        "psi": found.psi,
        "psiCorrected": found.psi_corrected,
        "jensenShannon": found.jensen_shannon,
        "ks": found.ks,
        "ksPValue": found.ks_p_value,
        "wasserstein": found.wasserstein,
        "chiSquare": found.chi_square,
        "p": found.shift_p,
        "pAdjusted": item.p_adjusted,
        "nullFractionBaseline": found.null_reference,
        "nullFraction": found.null_current,
    }
    return {
        "feature": item.feature,
        "verdict": item.verdict.value,
        "reason": item.reason.value,
        "independence": found.independence.value,
        "blocksBaseline": found.blocks_reference,
        "blocks": found.blocks_current,
        "nBaseline": item.n_reference,
        "n": item.n_current,
        **{name: number(value) for name, value in numbers.items() if value is not None},
    }
