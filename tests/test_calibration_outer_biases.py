"""A half-precision convolution's bias stands outside it, and the numbers stay what they were."""

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from calibration.outer_biases import with_outer_biases
from vexas_edge.host.libraries import load_library

onnxruntime = load_library("onnxruntime")

RNG = np.random.default_rng(0)


def graph(text: str, **constants: np.ndarray) -> ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 18]> {text}')
    model.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in constants.items())
    onnx.checker.check_model(model, full_check=True)
    return model


def half(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float16)


def two_convolutions() -> ModelProto:
    """Two convolutions that share a bias, one without, one whose bias is computed."""
    return graph(
        "g (float16[N,3,8,8] x) => (float16[N,4,8,8] y) {"
        " a = Conv <pads = [1, 1, 1, 1]> (x, w, b) c = Conv (a, v, b) d = Conv (c, v)"
        " e = Abs (b) y = Conv (d, v, e) }",
        w=half(4, 3, 3, 3),
        v=half(4, 4, 1, 1),
        b=half(4),
    )


def run(model: ModelProto, x: np.ndarray) -> np.ndarray:
    """The graph's result as its nodes are written: without an optimiser that joins them again."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers)
    return session.run(None, {"x": x})[0]


def test_only_constant_biases_of_convolutions_are_taken_out() -> None:
    apart = with_outer_biases(two_convolutions()).graph
    assert [(n.op_type, list(n.input), list(n.output)) for n in apart.node] == [
        ("Conv", ["x", "w"], ["a/unbiased"]),
        ("Add", ["a/unbiased", "b/4d"], ["a"]),
        ("Conv", ["a", "v"], ["c/unbiased"]),
        ("Add", ["c/unbiased", "b/4d"], ["c"]),
        ("Conv", ["c", "v"], ["d"]),
        ("Abs", ["b"], ["e"]),
        ("Conv", ["d", "v", "e"], ["y"]),
    ]
    assert {t.name: list(t.dims) for t in apart.initializer} == {
        "w": [4, 3, 3, 3],
        "v": [4, 4, 1, 1],
        "b": [4],  # still read by Abs
        "b/4d": [1, 4, 1, 1],
    }


def test_the_numbers_are_the_same_but_for_one_more_rounding() -> None:
    model, x = two_convolutions(), half(2, 3, 8, 8)
    expected, found = (run(m, x).astype(np.float64) for m in (model, with_outer_biases(model)))
    # Half a step of float16 at the largest value, for each of the four roundings on the way.
    tolerance = 4 * 2**-11 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("rank", "letters"), [(3, "8"), (4, "8,8"), (5, "8,8,8")])
def test_a_bias_is_added_along_channels_in_any_number_of_dimensions(
    rank: int, letters: str
) -> None:
    model = graph(
        f"g (float16[N,3,{letters}] x) => (float16[N,4,{letters}] y) {{ y = Conv (x, w, b) }}",
        w=half(4, 3, *[1] * (rank - 2)),
        b=half(4),
    )
    apart = with_outer_biases(model)
    (bias,) = (t for t in apart.graph.initializer if t.name == f"b/{rank}d")
    assert list(bias.dims) == [1, 4, *[1] * (rank - 2)]
    x = half(2, 3, *[8] * (rank - 2))
    expected = run(model, x).astype(np.float64)
    tolerance = 2 * 2**-11 * np.abs(expected).max()
    np.testing.assert_allclose(run(apart, x).astype(np.float64), expected, rtol=0, atol=tolerance)


def test_names_of_nodes_and_attributes_stay() -> None:
    model = two_convolutions()
    for index, node in enumerate(model.graph.node):
        node.name = f"layer{index}"
    apart = with_outer_biases(model)
    first = next(node for node in apart.graph.node if node.name == "layer0")
    assert helper.get_node_attr_value(first, "pads") == [1, 1, 1, 1]
    names = [node.name for node in apart.graph.node]
    assert len(set(names)) == len(names)


def test_a_bias_in_float32_stays_where_it_is() -> None:
    model = graph(
        "g (float[N,3,8,8] x) => (float[N,4,8,8] y) { y = Conv (x, w, b) }",
        w=half(4, 3, 1, 1).astype(np.float32),
        b=half(4).astype(np.float32),
    )
    assert [node.op_type for node in with_outer_biases(model).graph.node] == ["Conv"]
    assert {t.data_type for t in model.graph.initializer} == {TensorProto.FLOAT}
