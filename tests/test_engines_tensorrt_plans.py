"""What a TensorRT plan is built for and found by, and what its inspector's JSON proves.

The JSON here was written by hand in the form that NVIDIA publishes: TensorRT's guide on its engine
inspector, and the guide to what changed in it from TensorRT 10 to 11. No recording of an engine of
ours exists yet. What TensorRT for RTX says of real plans is in `test_engines_tensorrt_built`.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny import there

from vexas_edge.bundle.contract import HeadSizes, fused_contract, images_tensor
from vexas_edge.choices import Precision
from vexas_edge.engines.contract import EngineOptions, RowGroup
from vexas_edge.engines.tensorrt.plans import (
    MOST_ROWS,
    Gpu,
    PlanFor,
    blocked_rows,
    fill,
    input_shape,
    kind_of,
    n_bytes,
    plan_key,
)
from vexas_edge.engines.tensorrt.proof import Layer, layers_from_inspector, n_rounding, proved
from vexas_edge.errors import HostError
from vexas_edge.runtime.choice import cells_per_call
from vexas_edge.runtime.settings import CALL_SIZES

GPU = Gpu(name="NVIDIA T4", capability="7.5", driver="580.65")
CONTRACT = fused_contract(images_tensor(272), HeadSizes(encoding_width=3, draw_size=10))


# Sizes


@pytest.mark.parametrize("canvas_px", [16, 96, 112, 224, 272, 360, 400, 4096])
def test_scoring_and_preparing_bring_no_larger_calls_than_plans_take(canvas_px: int) -> None:
    assert cells_per_call(EngineOptions(engine="tensorrt"), images_tensor(canvas_px)) <= MOST_ROWS
    assert max(CALL_SIZES) <= MOST_ROWS


def test_encodings_depend_on_cells_alone() -> None:
    assert blocked_rows(CONTRACT.rows(32)).tensors == {"cells", "encodings"}


def test_rows_that_may_not_be_filled_up_make_no_calls_of_one_size() -> None:
    fixed = RowGroup(tensors=frozenset({"cells"}), most=32)
    for rows in ((), (fixed,)):
        with pytest.raises(HostError, match="rows may not be filled up; use --engine onnxruntime"):
            blocked_rows(rows)


def test_larger_calls_than_plans_take_are_refused() -> None:
    with pytest.raises(HostError, match="take 128 rows per call at most, and 129 were asked for"):
        blocked_rows(CONTRACT.rows(MOST_ROWS + 1))


def test_only_the_rows_of_an_input_are_free() -> None:
    assert input_shape("cells", (-1, 272, 272, 3), 4) == (4, 272, 272, 3)
    with pytest.raises(HostError, match="with the input cells .*; expected a first"):
        input_shape("cells", (-1, -1, -1, 3), 4)


def test_rows_are_filled_up_with_zeros_whatever_was_there_before() -> None:
    room = np.full((4, 2), 7, np.uint8)
    fill(room, np.array([[1, 2], [3, 4]], np.uint8))
    assert room.tolist() == [[1, 2], [3, 4], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [((4, 272, 272, 3), np.uint8, 887_808), ((64, 10), np.int64, 5120), ((4, 512), "f4", 8192)],
)
def test_memory_is_as_large_as_its_tensor(shape: Any, dtype: Any, expected: int) -> None:
    assert n_bytes("x", shape, dtype) == expected


def test_a_tensor_without_a_size_gets_no_memory() -> None:
    with pytest.raises(HostError, match=r"how large encodings \(4, -1\) gets"):
        n_bytes("encodings", (4, -1), np.float32)


# Kinds of GPUs and keys


@pytest.mark.parametrize(
    ("capability", "expected"),
    [("7.5", "7.5"), ("8.0", "8.0"), ("8.9", "8.0"), ("12.0", "8.0"), ("13.0", "8.0")],
)
def test_a_gpu_is_of_the_kind_of_turing_or_of_the_newer_ones(
    capability: str, expected: str
) -> None:
    kind = there(kind_of(capability))
    assert kind[0] == expected


@pytest.mark.parametrize("capability", ["6.1", "7.0", "8.7", "9.0", "10.0", "11.0"])
def test_others_are_of_no_kind(capability: str) -> None:
    assert kind_of(capability) is None


FOR_RTX = PlanFor(library="TensorRT for RTX 1.7", capabilities=("8.0", "8.6"))
FOR_THIS = PlanFor(library="TensorRT 11.4.0", gpu=GPU)


@pytest.mark.parametrize("wanted", [FOR_RTX, FOR_THIS])
def test_a_plan_is_not_found_where_anything_differs(wanted: PlanFor) -> None:
    key = plan_key(b"a graph", "fp32", wanted)
    assert plan_key(b"a graph", "fp32", wanted) == key
    assert json.loads(json.dumps(key)) == key
    others = [
        plan_key(b"another", "fp32", wanted),
        plan_key(b"a graph", "int8", wanted),
        plan_key(b"a graph", "fp32", replace(wanted, library="TensorRT 12")),
        plan_key(b"a graph", "fp32", replace(wanted, capabilities=("7.5",), gpu=None)),
        plan_key(b"a graph", "fp32", replace(FOR_THIS, gpu=replace(GPU, name="NVIDIA L4"))),
        plan_key(b"a graph", "fp32", replace(FOR_THIS, gpu=replace(GPU, driver="581.00"))),
    ]
    assert all(other != key for other in others)


# The proof


def tensor(datatype: str) -> dict[str, Any]:
    return {
        "Name": "x",
        "Location": "Device",
        "Dimensions": [4, 64, 68, 68],
        "Format": "Thirty-two wide channel vectorized row major",
        "Datatype": datatype,
    }


def layer(name: str, kind: str, takes: str, gives: str = "Float", **more: Any) -> dict[str, Any]:
    inputs, outputs = [tensor(takes), tensor("Float")], [tensor(gives)]
    return {"Name": name, "LayerType": kind, "Inputs": inputs, "Outputs": outputs, **more}


def described(*layers: Any) -> str:
    return json.dumps({"Layers": layers, "I/O Tensors": [{"Name": "cells", "IOMode": "Input"}]})


INT8 = described(
    layer("cast cells", "kgen", "UInt8"),
    layer("stem", "CaskConvolution", "Int8", "Int8", ParameterType="Convolution"),
    layer("reformat 1", "Reformat", "Int8"),
    layer("round", "kgen", "Float", "Int8"),
    layer("fire/squeeze", "CaskGemmConvolution", "Int8"),
    layer("fire/expand", "correlation", "Int8", "Half"),
    layer("kept in float", "CaskJitConv", "Float"),
    layer("kernel", "gemm", "Float"),
    layer("convert", "convert", "Int8", "Int8"),
)


def test_layers_that_multiply_weights_are_found_with_what_they_take_and_give() -> None:
    layers = layers_from_inspector(INT8)
    assert [layer for layer in layers if layer.kind != "other"] == [
        Layer(name="stem", kind="convolution", takes="int8", gives="int8"),
        Layer(name="fire/squeeze", kind="convolution", takes="int8", gives="fp32"),
        Layer(name="fire/expand", kind="convolution", takes="int8", gives="fp16"),
        Layer(name="kept in float", kind="convolution", takes="fp32", gives="fp32"),
        Layer(name="kernel", kind="product", takes="fp32", gives="fp32"),
    ]
    assert n_rounding(layers) == 1
    assert proved(layers, "int8") == (
        "convolutions: int8 3, fp32 1; products: fp32 1; kernels that round to int8: 1"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Row major linear FP32", "fp32"),
        ("Row major Int8 format", "int8"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Half", "fp16"),
        ("Float", "fp32"),
        ("BFloat16", "BFloat16"),
        ("N/A due to dynamic shapes", "N/A due to dynamic shapes"),
    ],
)
def test_a_type_is_read_from_the_words_of_tensorrt_10_too(text: str, expected: str) -> None:
    tensors = [{"Format/Datatype": text}]
    old = {"Name": "c", "LayerType": "CaskConvolution", "Inputs": tensors, "Outputs": tensors}
    (found,) = layers_from_inspector(described(old))
    assert (found.takes, found.gives) == (expected, expected)


@pytest.mark.parametrize(("wanted", "took"), [("int8", "Float"), ("fp16", "Float")])
def test_an_engine_built_in_float32_by_mistake_is_refused(wanted: Precision, took: str) -> None:
    convolutions = [layer(f"conv{i}", "CaskConvolution", took) for i in range(3)]
    with pytest.raises(HostError) as refused:
        proved(layers_from_inspector(described(*convolutions)), wanted)
    assert str(refused.value) == (
        f"the TensorRT engine was built for {wanted}, but its convolutions compute in fp32 3 "
        "(such as 'conv0'); it is not kept. Use another --precision, or --engine onnxruntime"
    )


def test_the_reference_computes_in_float32_throughout() -> None:
    layers = [layer(f"conv{i}", "CaskConvolution", "Float") for i in range(9)]
    assert proved(layers_from_inspector(described(*layers)), "fp32").startswith(
        "convolutions: fp32 9; products: none"
    )
    odd = layer("odd", "CaskConvolution", "Half")
    with pytest.raises(HostError, match="built for fp32, but .* fp32 9, fp16 1 .*'odd'"):
        proved(layers_from_inspector(described(*layers, odd)), "fp32")


@pytest.mark.parametrize(
    "description",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"Layers": 3}',
        '{"Layers": ["conv1 + relu1"]}',  # built without detailed verbosity
        '{"Layers": [{"Name": "c"}]}',
        '{"Layers": [{"Name": "c", "LayerType": "CaskConvolution", "Inputs": [], "Outputs": []}]}',
        '{"Layers": [{"Name": "c", "LayerType": "CaskConvolution", "Inputs": [{"Format": "x"}], '
        '"Outputs": []}]}',
        '{"Layers": []}',
        described(layer("kernel", "gemm", "Float")),
    ],
)
def test_a_description_that_says_too_little_proves_nothing(description: str) -> None:
    with pytest.raises(HostError, match="cannot be read .* so nothing proves what it computes in"):
        proved(layers_from_inspector(description), "fp32")
