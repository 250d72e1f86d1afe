"""Canonical JSON against the reference implementation of RFC 8785."""

from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.api.canonical import CanonicalizationError, canonical

texts = st.text(st.characters(exclude_categories=()), max_size=8) | st.sampled_from(
    ["\ue000", "\U00010000", "\x7f\x1f", "a:1.5", '[null,":2e3', "é", "\\u0041"]
)
scalars = st.none() | st.booleans() | st.integers() | st.integers(-3, 3) | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


def by_the_reference(value: Any) -> bytes | None:
    try:
        return rfc8785.dumps(value)
    except (CanonicalizationError, UnicodeEncodeError):
        return None


@given(values)
@example({"\ue000": 1, "\U00010000": 2})
@example([1e21, -0.0, 5e-7, 1.0])
@example(2**53)
@example(2**70)
@example({"a": float("nan")})
@example(float("inf"))
@example("\ud800")
@example({"\ud800": None})
@example({"a": ("b",)})
def test_it_writes_what_the_reference_writes_and_refuses_what_it_refuses(value: Any) -> None:
    wanted = by_the_reference(value)
    if wanted is None:
        with pytest.raises(CanonicalizationError):
            canonical(value)
    else:
        assert canonical(value) == wanted


@pytest.mark.parametrize("value", [{1: 2}, {"a": {1}}, b"a", object()])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises((CanonicalizationError, AttributeError)) as refused:
        rfc8785.dumps(value)
    with pytest.raises(refused.type):
        canonical(value)
