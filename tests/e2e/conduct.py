"""Models that are fine on the held-out rows and misbehave on rows that only live traffic has.

Each is the flights' logistic regression with a few more nodes in its graph: on flights that were scheduled late in the
day (which the holdout leaves out) it fails, dawdles, says the opposite or takes all the memory it can get. So a gate
has nothing to object to, and live traffic has.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# The input that tells them, and from which value on.
FEATURE = "hour"
FROM = 18.0
# Another input, and a value below which the model's own example is and most rows are not.
WINDY = ("wind_speed", 10.0)
_FAR = 10**6
_ROUNDS = 400
_SIDE = 220
_GIGABYTES = 6


def misbehaving(source: Path, target: Path, how: str, on: tuple[str, float] = (FEATURE, FROM)) -> None:
    """Write a copy of the exported model in `source` that misbehaves: `fails`, `dawdles`, `lies` or `swells`."""
    shutil.copytree(source, target)
    path = target / "model.onnx"
    model = onnx.load(path)
    graph = model.graph
    output = next(
        item for item in graph.output if item.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.DOUBLE)
    )
    final, honest = output.name, f"{output.name}_honest"
    for node in graph.node:
        node.output[:] = [honest if name == final else name for name in node.output]
    kind = output.type.tensor_type.elem_type
    _constant(model, "late_from", np.array(on[1], np.float64))
    graph.node.extend(
        [
            helper.make_node("GreaterOrEqual", [on[0], "late_from"], ["is_late"]),
            helper.make_node("Cast", ["is_late"], ["late_number"], to=TensorProto.INT64),
            helper.make_node("ReduceMax", ["late_number"], ["late_max"], keepdims=0),
        ]
    )
    {"fails": _fails, "dawdles": _dawdles, "lies": _lies, "swells": _swells}[how](model, honest, final, kind)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _fails(model: onnx.ModelProto, honest: str, final: str, kind: int) -> None:
    """A row that is not there is asked for."""
    _constant(model, "nothing", np.zeros(1, np.float64))
    _constant(model, "far", np.array(_FAR, np.int64))
    model.graph.node.extend(
        [
            helper.make_node("Mul", ["late_max", "far"], ["place"]),
            helper.make_node("Gather", ["nothing", "place"], ["extra"]),
        ]
    )
    _added(model, honest, "extra", final, kind)


def _dawdles(model: onnx.ModelProto, honest: str, final: str, kind: int) -> None:
    """Matrices are multiplied for nothing."""
    rng = np.random.default_rng(0)
    _constant(model, "matrix", np.linalg.qr(rng.normal(size=(_SIDE, _SIDE)))[0])
    _constant(model, "rounds", np.array(_ROUNDS, np.int64))
    _constant(model, "yes", np.array(True))
    _constant(model, "zero", np.array(0.0))
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["turned_in", "matrix"], ["turned_out"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "turning",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("turned_in", TensorProto.DOUBLE, [_SIDE, _SIDE]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("turned_out", TensorProto.DOUBLE, [_SIDE, _SIDE]),
        ],
    )
    model.graph.node.extend(
        [
            helper.make_node("Mul", ["late_max", "rounds"], ["trips"]),
            helper.make_node("Loop", ["trips", "yes", "matrix"], ["turned"], body=body),
            helper.make_node("ReduceSum", ["turned"], ["sum"], keepdims=0),
            helper.make_node("Mul", ["sum", "zero"], ["extra"]),
        ]
    )
    _added(model, honest, "extra", final, kind)


def _lies(model: onnx.ModelProto, honest: str, final: str, kind: int) -> None:
    """Late becomes punctual and the other way round."""
    _constant(model, "one", np.array(1, np.float32 if kind == TensorProto.FLOAT else np.float64))
    model.graph.node.extend(
        [
            helper.make_node("Sub", ["one", honest], ["opposite"]),
            helper.make_node("Where", ["is_late", "opposite", honest], [final]),
        ]
    )


def _swells(model: onnx.ModelProto, honest: str, final: str, kind: int) -> None:
    """More memory is filled than the container may have."""
    _constant(model, "much", np.array([_GIGABYTES << 27], np.int64))
    _constant(model, "ones", np.array([1], np.int64))
    _constant(model, "zero", np.array(0.0))
    model.graph.node.extend(
        [
            helper.make_node("Mul", ["late_max", "much"], ["size"]),
            helper.make_node("Add", ["size", "ones"], ["shape"]),
            helper.make_node(
                "ConstantOfShape",
                ["shape"],
                ["filled"],
                value=numpy_helper.from_array(np.array([1.0], np.float64), "value"),
            ),
            helper.make_node("ReduceMax", ["filled"], ["most"], keepdims=0),
            helper.make_node("Mul", ["most", "zero"], ["extra"]),
        ]
    )
    _added(model, honest, "extra", final, kind)


def _added(model: onnx.ModelProto, honest: str, extra: str, final: str, kind: int) -> None:
    """The honest answer and a zero that takes its time, or its toll."""
    model.graph.node.extend(
        [
            helper.make_node("Cast", [extra], ["extra_kind"], to=kind),
            helper.make_node("Add", [honest, "extra_kind"], [final]),
        ]
    )


def _constant(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    model.graph.initializer.append(numpy_helper.from_array(value, name))
