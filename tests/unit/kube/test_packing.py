"""JSON values of one kind in a fraction of their size."""

import os
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from penstock.kube.packing import Packing

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(JSON, min_size=1, max_size=5))
def test_whatever_was_packed_is_unpacked_in_any_order(values: list[Any]) -> None:
    packing = Packing()
    packed = [packing.pack(value) for value in values]
    assert [packing.unpack(item) for item in reversed(packed)] == values[::-1]


def test_what_is_larger_than_the_window_is_packed_too() -> None:
    packing = Packing()
    values = [{"text": os.urandom(40_000).hex(), "number": number} for number in range(3)]
    packed = [packing.pack(value) for value in values]
    assert [packing.unpack(item) for item in packed] == values


def test_objects_of_one_kind_shrink_to_what_tells_them_apart() -> None:
    def pod(number: int) -> dict[str, Any]:
        uid = os.urandom(16).hex()
        return {
            "metadata": {"name": f"flights-{number}", "uid": uid, "labels": {f"label-{n}": "a" * n for n in range(20)}},
            "status": {"conditions": [{"type": f"Type{n}", "status": "True"} for n in range(20)]},
        }

    packing = Packing()
    packing.pack(pod(0))
    assert len(orjson.dumps(pod(1))) > 1000
    assert len(packing.pack(pod(1))) < 120
