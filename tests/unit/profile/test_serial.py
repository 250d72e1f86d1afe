"""The profile file: stable bytes, small, and never a danger to who reads it."""

import base64
import json
import tracemalloc
import zlib

import numpy as np
import pytest

from penstock.profile.errors import ProfileError
from penstock.profile.profile import FeatureProfile, Profile
from penstock.profile.serial import MAX_BYTES, dump_profile, load_profile, pack_counts
from penstock.stats.columns import FeatureType
from penstock.stats.grid import numeric_grid
from penstock.stats.histogram import count_numbers
from tests.unit.profile.samples import build, frame

PROFILE = build(frame())
CONTENT = dump_profile(PROFILE)


def changed(change):
    document = json.loads(CONTENT)
    change(document)
    return json.dumps(document).encode()


def test_a_round_trip_changes_nothing():
    again = load_profile(CONTENT)
    assert again == PROFILE
    assert dump_profile(again) == CONTENT
    assert dump_profile(build(frame())) == CONTENT


def test_sixty_features_of_four_thousand_cells_stay_small():
    random = np.random.default_rng(0)
    features = []
    for index in range(60):
        values = random.normal(size=200_000)
        grid = numeric_grid(values[:20_000])
        assert grid.cells == 4096
        features.append(FeatureProfile(f"n{index}", FeatureType.FLOAT64, count_numbers(grid, values)))
    assert len(dump_profile(Profile(200_000, tuple(features)))) < 1 << 20


@pytest.mark.parametrize("version", [0, 2, "1", None, 1.5, True, "x" * 10_000])
def test_other_versions_are_refused(version):
    with pytest.raises(ProfileError, match="reads format 1") as error:
        load_profile(changed(lambda document: document.update(formatVersion=version)))
    assert len(str(error.value)) < 300


def test_a_packed_bomb_is_not_unpacked():
    bomb = base64.b64encode(zlib.compress(bytes(500_000_000), 9)).decode()
    content = changed(lambda document: document["features"][0].update(counts=bomb))
    tracemalloc.start()
    with pytest.raises(ProfileError, match="counts of a feature"):
        load_profile(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def feature(**fields):
    return lambda document: document["features"][0].update(fields)


def moments(**fields):
    return lambda document: document["features"][0]["moments"].update(fields)


SIZE = PROFILE.features[0].grid.size
HUGE = np.zeros(SIZE, np.int64)
HUGE[:2] = 2**62
NEGATIVE = np.zeros(SIZE, np.int64)
NEGATIVE[:2] = [-1, PROFILE.rows + 1]


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(rows=-1),
        lambda document: document.update(rows=1),
        lambda document: document.update(rows=1.5),
        lambda document: document.update(rows=True),
        lambda document: document.update(features=None),
        lambda document: document.update(features=[1]),
        lambda document: document.update(schemaDigest=None),
        lambda document: document["features"].append(document["features"][0]),
        lambda document: document["features"][0].pop("moments"),
        feature(name=""),
        feature(name=5),
        feature(type="Complex"),
        feature(type="String"),
        feature(grid={}),
        feature(grid={"low": 0, "high": 0, "cells": 3}),
        feature(grid={"low": 0, "high": 1, "cells": 10**9}),
        feature(grid={"low": 0, "high": 1, "cells": 3}),
        feature(grid={"categories": [1]}),
        feature(grid={"categories": ["a", "a"]}),
        feature(counts=""),
        feature(counts="é"),
        feature(counts="AAAA"),
        feature(counts=base64.b64encode(zlib.compress(b"")).decode()),
        feature(counts=base64.b64encode(zlib.compress(bytes(SIZE * 8)) + b"more").decode()),
        feature(counts=pack_counts(HUGE)),
        feature(counts=pack_counts(NEGATIVE)),
        moments(finite=1),
        moments(minimum=9, maximum=-9),
        moments(minimum=None),
        moments(total="many"),
    ],
)
def test_damage_gives_one_clear_error(change):
    with pytest.raises(ProfileError):
        load_profile(changed(change))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"PAR1",
        b'{"formatVersion":NaN}',
        b"[" * 100_000,
        b'{"formatVersion":1}',
        b"9" * 1_000_000,
    ],
)
def test_garbage_gives_one_clear_error(content):
    with pytest.raises(ProfileError):
        load_profile(content)


def test_a_file_too_large_is_not_even_parsed():
    with pytest.raises(ProfileError, match="larger than"):
        load_profile(b" " * (MAX_BYTES + 1))
