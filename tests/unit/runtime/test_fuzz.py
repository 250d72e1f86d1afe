"""Whatever bytes come, the answer is a call or one sentence with status 400."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.runtime.calls import Call
from penstock.runtime.codec import decode_call
from penstock.runtime.errors import RequestError
from penstock.runtime.tensors import NUMPY_TYPES

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4), max_leaves=12)
tensors = st.fixed_dictionaries(
    {
        "name": st.text(max_size=5) | scalars,
        "datatype": st.sampled_from([*NUMPY_TYPES, "FP16"]) | scalars,
        "shape": st.lists(st.integers(-2, 5) | scalars, max_size=4) | scalars,
        "data": trees,
    }
)
requests = st.fixed_dictionaries(
    {"inputs": st.lists(tensors, max_size=3) | scalars},
    optional={"id": scalars, "outputs": st.lists(st.fixed_dictionaries({"name": scalars}), max_size=2) | scalars},
)


def outcome(body: bytes) -> Call | RequestError:
    try:
        return decode_call(body)
    except RequestError as error:
        return error


def check(body: bytes) -> None:
    result = outcome(body)
    if isinstance(result, RequestError):
        assert (result.status, "\n" in result.message) == (400, False)
    else:
        assert all(tensor.array.dtype == NUMPY_TYPES[tensor.datatype] for tensor in result.inputs)


@settings(max_examples=300, deadline=None)
@given(requests)
def test_any_request(request: Any) -> None:
    check(json.dumps(request).encode(errors="surrogatepass"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
@example(b"[" * 100_000)
@example(b'{"inputs":[{"name":"a","datatype":"FP64","shape":[1],"data":' + b"[" * 50_000 + b"]" * 50_000 + b"}]}")
@example(b'{"inputs":[{"name":"a","datatype":"INT64","shape":[1],"data":[' + b"9" * 10_000 + b"]}]}")
def test_any_bytes(body: bytes) -> None:
    check(body)
