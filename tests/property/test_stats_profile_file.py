"""The profile file under random contents and random damage."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from penstock.profile.errors import ProfileError
from penstock.profile.profile import FeatureProfile, Profile
from penstock.profile.serial import dump_profile, load_profile
from penstock.stats.columns import FeatureType
from penstock.stats.grid import categorical_grid, numeric_grid
from penstock.stats.histogram import count_labels, count_numbers

TEXT = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable())
ROWS = 12


@st.composite
def profiles(draw):
    features = []
    for name in draw(st.lists(TEXT, unique=True, max_size=4)):
        if draw(st.booleans()):
            values = draw(arrays.arrays(np.float64, ROWS, elements=st.floats(width=64)))
            kind, counted = FeatureType.FLOAT64, count_numbers(numeric_grid(values), values)
        else:
            words = draw(st.lists(TEXT, min_size=ROWS, max_size=ROWS))
            kind, counted = FeatureType.STRING, count_labels(categorical_grid(words[:6]), words, [1] * ROWS)
        features.append(FeatureProfile(name, kind, counted))
    return Profile(ROWS, tuple(features), draw(TEXT), draw(TEXT), draw(TEXT))


@settings(deadline=None)
@given(profiles())
def test_every_profile_survives_the_file(profile):
    content = dump_profile(profile)
    again = load_profile(content)
    assert again == profile
    assert dump_profile(again) == content


@settings(deadline=None, max_examples=200)
@given(profiles(), st.data())
def test_damaged_bytes_are_refused_or_still_a_profile(profile, data):
    content = bytearray(dump_profile(profile))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found = load_profile(damaged)
    except ProfileError:
        return
    assert isinstance(found, Profile)
    assert load_profile(dump_profile(found)) == found


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(content):
    try:
        load_profile(content)
    except ProfileError:
        return
    raise AssertionError("random bytes were taken for a profile")
