"""Profiles: what they know, how they merge, and what is refused."""

import numpy as np
import pytest

from penstock.profile.errors import ProfileError
from penstock.profile.profile import FeatureProfile, Profile, ProfileBuilder, merge_profiles
from penstock.stats.columns import FeatureType, Numeric
from penstock.stats.grid import CategoricalGrid, GridError, NumericGrid
from penstock.stats.histogram import count_labels, count_numbers
from tests.unit.profile.samples import HOSTILE, TYPES, build, frame

PROFILE = build(frame())


def test_a_profile_knows_its_features():
    speed, wait, carrier = (PROFILE.by_name[name] for name in ("speed", "wait", "carrier"))
    values = frame()["speed"].to_numpy()
    assert (speed.nulls, wait.infinite, carrier.distinct, speed.distinct) == (20, 2, 3, None)
    assert speed.minimum == np.nanmin(values)
    assert speed.maximum == np.nanmax(values)
    assert speed.histogram.mean == pytest.approx(np.nanmean(values))
    assert speed.histogram.deviation == pytest.approx(np.nanstd(values))
    absent = PROFILE.by_name["absent"]
    assert (absent.nulls, absent.minimum, absent.maximum, absent.histogram.mean) == (2000, None, None, None)


def test_batches_make_no_difference():
    parts, whole = build(frame(), PROFILE, batches=7), PROFILE
    for name in TYPES:
        assert parts.by_name[name].histogram.counts.tolist() == whole.by_name[name].histogram.counts.tolist()
        assert parts.by_name[name].histogram.mean == pytest.approx(whole.by_name[name].histogram.mean)


def test_profiles_merge_into_that_of_all_rows():
    halves = [build(frame().slice(start, 1000), PROFILE) for start in (0, 1000)]
    merged = merge_profiles(halves, created_at="now")
    assert (merged.rows, merged.created_at) == (2000, "now")
    for name, whole in PROFILE.histograms.items():
        assert merged.histograms[name].counts.tolist() == whole.counts.tolist()


def test_different_profiles_are_not_merged():
    other = build(frame(3))
    with pytest.raises(ProfileError, match="different grids"):
        merge_profiles([PROFILE, other])
    with pytest.raises(ProfileError, match="different features"):
        merge_profiles([PROFILE, Profile(PROFILE.rows, PROFILE.features[1:])])
    with pytest.raises(ProfileError, match="no profile"):
        merge_profiles([])


def test_what_does_not_fit_is_refused():
    numbers = count_numbers(NumericGrid(0.0, 1.0, 2), np.array([0.5]))
    feature = FeatureProfile("a", FeatureType.FLOAT64, numbers)
    with pytest.raises(ProfileError, match="another kind"):
        FeatureProfile("a", FeatureType.STRING, numbers)
    with pytest.raises(ProfileError, match="another kind"):
        FeatureProfile("a", FeatureType.INT64, count_labels(CategoricalGrid(()), [], []))
    with pytest.raises(ProfileError, match="name"):
        FeatureProfile("", FeatureType.FLOAT64, numbers)
    with pytest.raises(ProfileError, match="1 rows counted, the profile 2"):
        Profile(2, (feature,))
    with pytest.raises(ProfileError, match="different names"):
        Profile(1, (feature, feature))
    with pytest.raises(ProfileError, match="at most"):
        Profile(1, (feature,) * 3000)


def test_a_builder_refuses_columns_of_another_length():
    builder = ProfileBuilder({"a": FeatureType.FLOAT64}, {"a": NumericGrid(0.0, 1.0, 2)})
    with pytest.raises(GridError, match="batch has 3 rows, the column 2"):
        builder.add({"a": Numeric(np.array([0.1, 0.2]))}, 3)
    with pytest.raises(ProfileError, match="type and a grid"):
        ProfileBuilder({"a": FeatureType.FLOAT64}, {})


def test_the_hostile_name_is_kept_as_it_is():
    assert HOSTILE in PROFILE.by_name
