"""Graphs with signed activations are summed exactly, also where the CPU's kernels saturate."""

import numpy as np
import onnx
import pytest

from calibration.proof import exact
from calibration.proof.exact import exact_session, has_signed_activations
from vexas_edge.host.libraries import load_library

onnxruntime = load_library("onnxruntime")


def graph(kind: str) -> onnx.ModelProto:
    """A convolution whose products of large values would saturate in pairs."""
    zero = {"int8": "int8 z = {0}", "uint8": "uint8 z = {0}"}[kind]
    return onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]>'
        " g (float[N,4,2,2] x) => (float[N,1,2,2] y)"
        f" <float s = {{1.0}}, {zero}, int8[1,4,1,1] w = {{127, 127, 127, 127}},"
        "  float[1] ws = {1.0}, int8[1] wz = {0}>"
        " { q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)"
        "   k = DequantizeLinear <axis = 0> (w, ws, wz) c = Conv (d, k)"
        "   p = QuantizeLinear (c, s, z) y = DequantizeLinear (p, s, z) }"
    )


def test_signed_activations_are_told_by_the_zero_point() -> None:
    assert has_signed_activations(graph("int8"))
    assert has_signed_activations(graph("int8").SerializeToString())
    assert not has_signed_activations(graph("uint8"))


@pytest.mark.parametrize(
    ("vnni", "kind", "fused"),
    [(True, "int8", True), (False, "int8", False), (False, "uint8", True)],
)
def test_only_signed_graphs_on_a_cpu_without_vnni_are_run_operator_by_operator(
    monkeypatch: pytest.MonkeyPatch, vnni: bool, kind: str, fused: bool
) -> None:
    monkeypatch.setattr(exact, "has_vnni", lambda: vnni)
    options = exact_session(graph(kind)).get_session_options()
    off = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert (options.graph_optimization_level != off) is fused


def test_the_sums_are_exact_on_this_cpu() -> None:
    x = np.full((1, 4, 2, 2), 127, np.float32)
    small = graph("int8")
    scale = next(t for t in small.graph.initializer if t.name == "ws")
    scale.CopyFrom(onnx.numpy_helper.from_array(np.array([1 / 127 / 4], np.float32), "ws"))
    (y,) = exact_session(small).run(None, {"x": x})
    assert y.ravel().tolist() == [127.0] * 4
