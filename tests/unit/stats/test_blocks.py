"""Blocks of days: counted right, compared with what whole blocks do by chance."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from penstock.stats.blocknull import choose, null_missing, null_psi, p_value, seed_of, under_blocks
from penstock.stats.blocks import (
    MAX_BLOCKS,
    BlockCounter,
    BlockCounts,
    Blocking,
    BlockTable,
    blocking_of,
    merge_blocks,
)
from penstock.stats.columns import count
from penstock.stats.decision import DriftPolicy, Independence, Reason, decide
from penstock.stats.drift import measure, psi, psi_bias
from penstock.stats.frames import frame_columns, series_cells
from penstock.stats.grid import CategoricalGrid, GridError, NumericGrid, numeric_grid
from penstock.stats.histogram import Histogram, count_numbers

POLICY = DriftPolicy(threshold=0.25)


def days_of_weather(random: np.random.Generator, days: int, rows: int = 200, shift: float = 0.0) -> np.ndarray:
    """Rows of one day share nearly all of their value: shape [days, rows]."""
    return random.normal(shift, 1, (days, 1)) + random.normal(0, 0.2, (days, rows))


def baseline_of(values: np.ndarray) -> tuple[Histogram, BlockCounts]:
    grid = numeric_grid(values.ravel())
    histogram = count_numbers(grid, values.ravel())
    counter = BlockCounter(Blocking(0, 1, np.arange(len(values))), {"x": histogram})
    hours = np.repeat(np.arange(len(values)) * 24, values.shape[1])
    counter.add("x", counter.places(hours), series_cells(pl.Series(values.ravel()), grid))
    return histogram, counter.counts()


def decided(histogram: Histogram, blocks: BlockCounts | None, window: np.ndarray, seed: int):
    current = count_numbers(histogram.grid, window.ravel())
    measures = under_blocks(
        [measure("x", histogram, current)],
        {"x": histogram},
        {"x": current},
        blocks,
        current_blocks=len(window),
        seed=seed,
        policy=POLICY,
    )
    return decide(measures, POLICY)[0]


def test_false_alarms_stay_rare_where_rows_of_a_day_are_alike():
    random = np.random.default_rng(5)
    by_blocks = by_rows = 0
    for seed in range(200):
        histogram, blocks = baseline_of(days_of_weather(random, 60))
        window = days_of_weather(random, 14)
        by_blocks += bool(decided(histogram, blocks, window, seed).drifted)
        by_rows += bool(decided(histogram, None, window, seed).drifted)
    assert by_blocks <= 10
    assert by_rows >= 100


def test_a_clear_shift_is_found():
    random = np.random.default_rng(6)
    found = 0
    for seed in range(30):
        histogram, blocks = baseline_of(days_of_weather(random, 60))
        found += bool(decided(histogram, blocks, days_of_weather(random, 14, shift=2), seed).drifted)
    assert found >= 28


def test_p_values_are_uniform_for_windows_of_the_baseline_itself():
    random = np.random.default_rng(7)
    _, blocks = baseline_of(days_of_weather(random, 40, rows=50))
    counts = blocks.tables["x"].counts[:, :-1]
    found = []
    for seed in range(400):
        observed = null_psi(counts, choose(40, 10, 1, seed_of("window", str(seed))))[0]
        found.append(p_value(null_psi(counts, choose(40, 10, 199, seed)), observed))
    for level in (0.05, 0.25, 0.5, 0.75):
        low, high = stats.binom.interval(0.999, 400, level)
        assert low <= np.count_nonzero(np.array(found) <= level) <= high


def test_p_values_are_those_of_scipy_s_permutation_test():
    """scipy permutes the days of two samples; its statistic is the PSI of the days' counts."""
    random = np.random.default_rng(8)
    counts = random.integers(0, 60, (9, 4)) + 30 * (np.arange(9) < 3)[:, None] * np.arange(4)

    def statistic(one: np.ndarray, other: np.ndarray) -> float:
        new, old = counts[one.astype(int)].sum(0), counts[other.astype(int)].sum(0)
        return psi(old, new) - psi_bias(old, new)

    oracle = stats.permutation_test(
        (np.arange(3), np.arange(3, 9)), statistic, permutation_type="independent", alternative="greater"
    )
    windows = np.zeros((84, 9), np.bool_)
    for row, chosen in enumerate(combinations(range(9), 3)):
        windows[row, list(chosen)] = True
    every = null_psi(counts, windows)
    # All windows are looked at, so what was observed is among them already.
    assert (every >= oracle.statistic - 1e-12).mean() == pytest.approx(oracle.pvalue)
    sampled = p_value(null_psi(counts, choose(9, 3, 20_000, seed=1)), oracle.statistic)
    assert sampled == pytest.approx(oracle.pvalue, abs=0.02)


def test_the_same_data_give_the_same_draws():
    one = choose(50, 20, 99, seed_of("sha256:a", "sha256:b"))
    assert (one == choose(50, 20, 99, seed_of("sha256:a", "sha256:b"))).all()
    assert (one != choose(50, 20, 99, seed_of("sha256:b", "sha256:a"))).any()
    assert (one.sum(1) == 20).all()
    assert one.sum(0) == pytest.approx(np.full(50, 40), abs=20)


def test_a_window_longer_than_the_baseline_is_compared_with_half_of_it():
    histogram, blocks = baseline_of(days_of_weather(np.random.default_rng(1), 20))
    window = days_of_weather(np.random.default_rng(2), 90, shift=4)
    found = decided(histogram, blocks, window, 0)
    assert found.drifted
    assert (found.measures.blocks_reference, found.measures.blocks_current) == (20, 90)
    assert found.measures.independence is Independence.BLOCKS


@pytest.mark.parametrize(("days", "window"), [(7, 3), (20, 0)])
def test_too_few_blocks_leave_the_rule_for_rows(days, window):
    random = np.random.default_rng(3)
    histogram, blocks = baseline_of(days_of_weather(random, days))
    current = count_numbers(histogram.grid, days_of_weather(random, 5).ravel())
    plain = measure("x", histogram, current)
    histograms, counted = {"x": histogram}, {"x": current}
    found = under_blocks([plain], histograms, counted, blocks, current_blocks=window, seed=0, policy=POLICY)
    assert found == [plain]
    assert found[0].independence is Independence.ASSUMED


def test_many_features_get_as_many_draws_as_their_correction_takes():
    random = np.random.default_rng(4)
    histogram, blocks = baseline_of(days_of_weather(random, 40))
    current = count_numbers(histogram.grid, days_of_weather(random, 10, shift=6).ravel())
    names = [f"x{number}" for number in range(100)]
    tables = dict.fromkeys(names, blocks.tables["x"])
    measures = under_blocks(
        [measure(name, histogram, current) for name in names],
        dict.fromkeys(names, histogram),
        dict.fromkeys(names, current),
        replace(blocks, tables=tables),
        current_blocks=10,
        seed=0,
        policy=POLICY,
    )
    assert all(item.drifted for item in decide(measures, POLICY))


def test_missing_values_of_whole_days_are_no_surprise():
    random = np.random.default_rng(9)
    values = random.normal(size=(60, 200))
    values[::5] = np.nan
    window = random.normal(size=(10, 200))
    window[:4] = np.nan
    histogram, blocks = baseline_of(values)
    assert decided(histogram, None, window, 0).reason is Reason.MISSING_VALUES
    assert decided(histogram, blocks, window, 0).reason is not Reason.MISSING_VALUES
    window[:] = np.nan
    assert decided(histogram, blocks, window, 0).reason is Reason.MISSING_VALUES


def test_windows_without_a_value_never_make_others_look_rare():
    counts = np.array([[0, 0, 4], [5, 5, 0], [5, 5, 0]])
    windows = np.eye(3, dtype=np.bool_)
    assert null_psi(counts[:, :2], windows)[0] == np.inf
    assert null_missing(counts, windows) == pytest.approx([1, 4 / 14, 4 / 14])


def test_a_day_begins_in_its_quietest_hours():
    hours = {day * 24 + hour: 100 for day in range(30) for hour in range(24) if not 4 <= hour <= 9}
    blocking = blocking_of(hours, features=10)
    assert blocking is not None
    assert 4 <= blocking.offset <= 9
    assert (blocking.days, len(blocking.index)) == (1, 31)
    assert blocking_of({}, features=10) is None


@pytest.mark.parametrize(("days", "features", "length"), [(400, 10, 1), (401, 10, 7), (5_000, 10, 14), (90, 1_000, 7)])
def test_long_spans_have_longer_blocks(days, features, length):
    blocking = blocking_of({day * 24 + 12: 1 for day in range(days)}, features)
    assert blocking is not None
    assert blocking.days == length
    assert len(blocking.index) <= MAX_BLOCKS


def test_every_row_with_a_time_is_counted_in_its_block():
    frame = pl.DataFrame(
        {
            "x": [0.5, None, float("nan"), float("inf"), -9.0, 1.5],
            "c": ["a", "b", "z", None, "a", "a"],
            "b": [True, None, False, True, True, True],
        }
    )
    grids = {"x": NumericGrid(0, 2, 2), "c": CategoricalGrid(("a", "b")), "b": CategoricalGrid(("false", "true"))}
    columns = frame_columns(frame)
    for name, grid in grids.items():
        cells = series_cells(frame[name], grid)
        assert np.bincount(cells, minlength=grid.size).tolist() == count(grid, columns[name]).counts.tolist()


def test_parts_with_the_same_groups_merge_block_by_block():
    groups = np.array([0, 0, 1])
    one = BlockCounts(Blocking(3, 1, np.array([1, 2])), {"x": BlockTable(groups, np.array([[1, 2, 3], [4, 5, 6]]))})
    two = BlockCounts(Blocking(3, 1, np.array([2, 9])), {"x": BlockTable(groups, np.array([[1, 1, 1], [7, 8, 9]]))})
    merged = merge_blocks([one, two])
    assert merged is not None
    assert merged.blocking.index.tolist() == [1, 2, 9]
    assert merged.tables["x"].counts.tolist() == [[1, 2, 3], [5, 6, 7], [7, 8, 9]]
    assert merge_blocks([one]) == one
    others = [
        None,
        replace(two, blocking=Blocking(4, 1, np.array([2, 9]))),
        replace(two, blocking=Blocking(3, 7, np.array([2, 9]))),
        replace(two, tables={"x": BlockTable(np.array([0, 1, 1]), two.tables["x"].counts)}),
        replace(two, tables={}),
    ]
    assert [merge_blocks([one, other]) for other in others] == [None] * 5
    assert merge_blocks([]) is None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Blocking(24, 1, np.array([1])),
        lambda: Blocking(0, 0, np.array([1])),
        lambda: Blocking(0, 1, np.array([2, 1])),
        lambda: Blocking(0, 1, np.arange(401)),
        lambda: BlockTable(np.array([0, 1]), np.zeros((2, 2), np.int64)),
        lambda: BlockTable(np.array([], np.intp), np.zeros((2, 2), np.int64)),
    ],
)
def test_blocks_that_cannot_be(wrong):
    with pytest.raises(GridError):
        wrong()
