"""False alarms: windows drawn from the reference's own distribution, each against a fresh reference."""

from dataclasses import replace

import numpy as np

from bench.drift.data import CATEGORIES, LABELS, NUMBERS, SEED, Sample, draw
from penstock.stats.columns import Coded, Column, FeatureType, Numeric, count_columns, grid_for
from penstock.stats.decision import DriftPolicy, Measures, decide
from penstock.stats.drift import measure

REFERENCE_ROWS, WINDOW_ROWS = 5_000, 2_000


def false_alarm_rates(windows: int) -> tuple[float, float]:
    """Share of windows with an alarm on any of the 60 features: by the usual policy, and by the p-value alone."""
    random = np.random.default_rng(SEED + 1)
    usual = DriftPolicy()
    p_value_alone = replace(usual, threshold=0.0, missing_threshold=0.0)
    found = [_measures(draw(random, REFERENCE_ROWS), draw(random, WINDOW_ROWS)) for _ in range(windows)]
    return _rate(found, usual), _rate(found, p_value_alone)


def _rate(found: list[list[Measures]], policy: DriftPolicy) -> float:
    alarms = [any(drift.drifted for drift in decide(measures, policy)) for measures in found]
    return sum(alarms) / len(alarms)


def _measures(reference: Sample, window: Sample) -> list[Measures]:
    old, new = _columns(reference), _columns(window)
    grids = {name: grid_for(_type(name), column) for name, column in old.items()}
    before, now = count_columns(grids, old), count_columns(grids, new)
    return [measure(name, before[name], now[name]) for name in grids]


def _columns(sample: Sample) -> dict[str, Column]:
    columns: dict[str, Column] = {name: Numeric(sample.numbers[index]) for index, name in enumerate(NUMBERS)}
    return columns | {name: Coded(sample.codes[index], LABELS) for index, name in enumerate(CATEGORIES)}


def _type(name: str) -> FeatureType:
    return FeatureType.FLOAT64 if name in NUMBERS else FeatureType.STRING
