"""Draws over blocks against the plain definition, one draw at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from penstock.stats.blocknull import choose, null_missing, null_psi, p_value
from penstock.stats.drift import psi, psi_bias

TABLES = arrays.arrays(
    np.int64, st.tuples(st.integers(2, 9), st.integers(2, 6)), elements=st.one_of(st.just(0), st.integers(0, 500))
)


@given(TABLES, st.integers(0, 2**64), st.data())
def test_draws_are_what_each_window_gives_by_itself(counts, seed, data):
    chosen = data.draw(st.integers(1, len(counts) - 1))
    windows = choose(len(counts), chosen, 20, seed)
    for window, found, missing in zip(windows, null_psi(counts, windows), null_missing(counts, windows), strict=True):
        new, old = counts[window].sum(0), counts[~window].sum(0)
        if not new.sum() or not old.sum():
            assert found == missing == np.inf
            continue
        assert found == pytest.approx(psi(old, new) - psi_bias(old, new), abs=1e-9)
        assert missing == pytest.approx(abs(new[-1] / new.sum() - old[-1] / old.sum()))


@given(arrays.arrays(np.float64, st.integers(0, 50), elements=st.floats(0, 10)), st.floats(0, 10))
def test_a_p_value_is_never_0_and_falls_with_what_was_observed(null, observed):
    assert 1 / (len(null) + 1) <= p_value(null, observed) <= 1
    assert p_value(null, observed + 1) <= p_value(null, observed)
