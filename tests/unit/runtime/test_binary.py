"""Tensors as bytes after the JSON."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_strategies

from penstock.runtime.calls import Answer, Call, Form
from penstock.runtime.codec import decode_call, encode_answer
from penstock.runtime.errors import RequestError
from penstock.runtime.tensors import NUMPY_TYPES, datatype_of
from tests.unit.runtime.server import Server
from tests.unit.runtime.test_protocol import MODEL, ROW

shapes = np_strategies.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)
numeric = st.sampled_from([dtype for dtype in NUMPY_TYPES.values() if dtype.kind != "O"])
arrays = st.one_of(
    numeric.flatmap(
        lambda dtype: np_strategies.arrays(
            dtype, shapes, elements={"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else None
        )
    ),
    np_strategies.arrays(object, shapes, elements=st.text(max_size=5)),
)


def message(data: bytes, /, size: int | None = None, **tensor: Any) -> tuple[bytes, int]:
    """A request with one tensor whose bytes are `data`."""
    declared = {"binary_data_size": len(data) if size is None else size}
    item = {"name": "x", "datatype": "FP64", "shape": [1], "parameters": declared, **tensor}
    head = json.dumps({"inputs": [item]}).encode()
    return head + data, len(head)


@settings(max_examples=150, deadline=None)
@given(st.lists(arrays, min_size=1, max_size=3), st.booleans())
def test_what_is_written_is_read_again(tensors: list[Any], binary: bool) -> None:
    named = {f"t{index}": array for index, array in enumerate(tensors)}
    form = Form(binary, {"t0": True})
    encoded = encode_answer(Answer("m", "r", {}, named), "id", form)
    assert encoded.json_size is not None
    answer = json.loads(encoded.body[: encoded.json_size])
    request = json.dumps({"inputs": answer["outputs"]}).encode()
    call = decode_call(request + encoded.body[encoded.json_size :], len(request))
    for tensor, (name, array) in zip(call.inputs, named.items(), strict=True):
        assert (tensor.name, tensor.datatype) == (name, datatype_of(array))
        np.testing.assert_array_equal(tensor.array, array)
        assert tensor.array.flags.writeable
        assert tensor.array.flags.aligned


FP64 = struct.pack("<d", 1.5)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (message(FP64[:7]), "7 bytes, FP64 takes 8"),
        (message(FP64, shape=[2]), "8 bytes, FP64 takes 16"),
        (message(FP64, size=9), "the body ends before"),
        (message(FP64, size=7), "7 bytes, FP64"),
        (message(FP64 + b"x", size=8), "1 bytes at the end"),
        (message(FP64, shape=[10**18]), "FP64 takes 8000000000000000000"),
        (message(struct.pack("<d", float("nan"))), "not finite"),
        (message(struct.pack("<f", float("inf")), datatype="FP32"), "not finite"),
        (message(b"\2", datatype="BOOL"), "no BOOL"),
        (message(FP64, data=[1.5]), "both data and binary_data_size"),
        (message(b"\1\0\0\0\xff", datatype="BYTES"), "not UTF-8"),
        (message(b"\2\0\0\0a", datatype="BYTES"), "not 1 strings"),
        (message(b"\1\0\0", datatype="BYTES"), "not 1 strings"),
        (message(b"\1\0\0\0ab", datatype="BYTES"), "not 1 strings"),
        (message(b"\4\0\0\0abcd", datatype="BYTES", shape=[2]), "not 2 strings"),
        (message(b"\1\0\0\0a", datatype="BYTES", shape=[10**18]), "strings"),
        (message(FP64, datatype="FP16"), "known are BOOL"),
        (message(FP64, parameters={"binary_data_size": -1}), "not an inference request"),
        ((message(FP64)[0], None), "not valid JSON"),
        ((message(b"", size=8)[0], None), "needs the header"),
        ((message(FP64)[0], 10**9), "not valid JSON"),
        ((b'{"inputs":[]}', 10**9), "by its header"),
    ],
)
def test_bytes_that_are_not_the_tensor(body: tuple[bytes, int | None], says: str) -> None:
    with pytest.raises(RequestError) as caught:
        decode_call(*body)
    assert caught.value.status == 400
    assert says in caught.value.message
    assert "\n" not in caught.value.message


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 60), st.sampled_from([*NUMPY_TYPES]), st.lists(st.integers(1, 5)))
@example(b"\xff\xff\xff\xff", 4, "BYTES", [1])
def test_any_bytes(data: bytes, size: int, datatype: str, shape: list[int]) -> None:
    try:
        result: Call | RequestError = decode_call(*message(data, size, datatype=datatype, shape=shape))
    except RequestError as error:
        result = error
    if isinstance(result, RequestError):
        assert (result.status, "\n" in result.message) == (400, False)
    else:
        assert list(result.inputs[0].array.shape) == shape


def post(server: Server, body: bytes, size: str) -> Any:
    headers = {"inference-header-content-length": size}
    return server.client.post(f"{MODEL}/infer", content=body, headers=headers)


def test_over_http(flight_server: Server) -> None:
    hour = {"name": "hour", "datatype": "INT64", "shape": [1, 1], "parameters": {"binary_data_size": 8}}
    outputs = [{"name": "label"}, {"name": "probabilities", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [hour, *ROW[:2]], "outputs": outputs}).encode()
    answer = post(flight_server, head + struct.pack("<q", 18), str(len(head)))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    size = int(answer.headers["inference-header-content-length"])
    label, probabilities = json.loads(answer.content[:size])["outputs"]
    assert label == {"name": "label", "datatype": "INT64", "shape": [1], "data": [1]}
    assert probabilities["parameters"] == {"binary_data_size": 16}
    assert probabilities["shape"] == [1, 2]
    assert "data" not in probabilities
    plain = flight_server.outputs(ROW)["probabilities"]["data"]
    assert list(struct.unpack("<2d", answer.content[size:])) == plain


@pytest.mark.parametrize("size", ["", "-1", "0", "x", "9" * 5000])
def test_a_header_that_is_no_length(flight_server: Server, size: str) -> None:
    answer = post(flight_server, b'{"inputs":[]}', size)
    assert answer.status_code == 400
    assert "must be the length" in answer.json()["error"]
