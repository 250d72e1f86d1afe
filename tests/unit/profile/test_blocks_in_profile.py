"""Counts per block of days in a profile and its file."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from penstock.profile.errors import ProfileError
from penstock.profile.profile import FeatureProfile, Profile, merge_profiles
from penstock.profile.serial import dump_profile, load_profile, pack_counts
from penstock.stats.blocks import BlockCounter, BlockCounts, Blocking, BlockTable, block_groups
from penstock.stats.columns import FeatureType
from penstock.stats.frames import series_cells
from penstock.stats.grid import numeric_grid
from penstock.stats.histogram import count_numbers
from tests.unit.profile.samples import build, frame

DAYS = 10
WHOLE = build(frame())


def with_blocks(data: pl.DataFrame, profile: Profile, of: Profile | None = None) -> Profile:
    """Rows in turn on ten days; `of`: the profile whose groups to use."""
    counter = BlockCounter(Blocking(0, 1, np.arange(DAYS)), (of or profile).histograms)
    places = np.arange(data.height) % DAYS
    for name, grid in profile.grids.items():
        counter.add(name, places, series_cells(data[name], grid))
    return replace(profile, blocks=counter.counts())


PROFILE = with_blocks(frame(), WHOLE)
CONTENT = dump_profile(PROFILE)


def test_blocks_add_up_to_the_profile():
    assert PROFILE.blocks is not None
    for name, table in PROFILE.blocks.tables.items():
        histogram = PROFILE.by_name[name].histogram
        assert table.counts.sum(1).tolist() == [200] * DAYS
        assert table.counts[:, -1].sum() == histogram.nulls
        assert np.array_equal(table.groups, block_groups(histogram))


def test_a_round_trip_changes_nothing():
    again = load_profile(CONTENT)
    assert again == PROFILE
    assert again != WHOLE
    assert dump_profile(again) == CONTENT


def test_a_file_without_blocks_still_loads():
    document = json.loads(CONTENT)
    del document["blocks"]
    assert load_profile(json.dumps(document).encode()) == WHOLE


def test_sixty_features_of_ninety_days_stay_small():
    random = np.random.default_rng(0)
    features, tables = [], {}
    for index in range(60):
        values = random.normal(size=90 * 2_000)
        grid = numeric_grid(values[:20_000])
        histogram = count_numbers(grid, values)
        counter = BlockCounter(Blocking(0, 1, np.arange(90)), {"x": histogram})
        counter.add("x", np.repeat(np.arange(90), 2_000), series_cells(pl.Series(values), grid))
        features.append(FeatureProfile(f"n{index}", FeatureType.FLOAT64, histogram))
        tables[f"n{index}"] = counter.counts().tables["x"]
    blocks = BlockCounts(Blocking(0, 1, np.arange(90)), tables)
    assert next(iter(tables.values())).counts.shape == (90, 33)
    assert len(dump_profile(Profile(180_000, tuple(features), blocks=blocks))) < 1 << 20


def test_parts_counted_on_the_groups_of_one_baseline_merge():
    halves = [with_blocks(part, build(part, WHOLE), of=WHOLE) for part in (frame().slice(0, 1000), frame().slice(1000))]
    assert merge_profiles(halves).blocks == PROFILE.blocks
    assert merge_profiles([halves[0], replace(halves[1], blocks=None)]).blocks is None


def changed(change):
    document = json.loads(CONTENT)
    change(document["blocks"])
    return json.dumps(document).encode()


def feature(**fields):
    return lambda blocks: blocks["features"][0].update(fields)


SIZE = WHOLE.features[0].grid.size
GROUPS = int(block_groups(WHOLE.features[0].histogram).max()) + 1
TOO_MANY = np.full((DAYS, GROUPS + 1), 1_000)


@pytest.mark.parametrize(
    "change",
    [
        lambda blocks: blocks.update(offset=24),
        lambda blocks: blocks.update(days=0),
        lambda blocks: blocks.update(index=[]),
        lambda blocks: blocks.update(index=list(range(9))),
        lambda blocks: blocks.update(index=list(range(DAYS))[::-1]),
        lambda blocks: blocks.update(index=["a"] * DAYS),
        lambda blocks: blocks.update(index=[2**70] * DAYS),
        lambda blocks: blocks.update(features=[]),
        lambda blocks: blocks.update(features=[1] * len(blocks["features"])),
        feature(groups=None),
        feature(groups=pack_counts(np.arange(SIZE - 1))),
        feature(groups=pack_counts(np.zeros(3, np.int64))),
        feature(counts=pack_counts(np.zeros(3, np.int64))),
        feature(counts=pack_counts(TOO_MANY.ravel())),
    ],
)
def test_damage_gives_one_clear_error(change):
    with pytest.raises(ProfileError):
        load_profile(changed(change))


def test_blocks_of_other_features_are_refused():
    assert PROFILE.blocks is not None
    tables = dict(PROFILE.blocks.tables)
    table = tables.pop("speed")
    with pytest.raises(ProfileError, match="same features"):
        replace(PROFILE, blocks=replace(PROFILE.blocks, tables=tables))
    tables["speed"] = BlockTable(np.zeros(2, np.intp), np.zeros((DAYS, 2), np.int64))
    with pytest.raises(ProfileError, match="grid"):
        replace(PROFILE, blocks=replace(PROFILE.blocks, tables=tables))
    tables["speed"] = BlockTable(table.groups, table.counts + 1)
    with pytest.raises(ProfileError, match="more rows"):
        replace(PROFILE, blocks=replace(PROFILE.blocks, tables=tables))
