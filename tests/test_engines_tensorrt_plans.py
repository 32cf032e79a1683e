"""What a TensorRT plan is built for and found by, and what its inspector's JSON proves.

The JSON here was written by hand in the form that NVIDIA publishes: TensorRT's guide on its engine
inspector, and the guide to what changed in it from TensorRT 10 to 11. No recording of an engine of
ours exists yet.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vexas_edge.bundle.contract import CHECKED_DRAWS, GOLDEN_CELLS, fused_contract
from vexas_edge.choices import Precision
from vexas_edge.engines.contract import EngineOptions, RowGroup
from vexas_edge.engines.tensorrt.plans import (
    Gpu,
    bucket_of,
    buckets_for,
    fill,
    input_shape,
    most_rows,
    n_bytes,
    plan_key,
    timings_key,
    without_padding,
)
from vexas_edge.engines.tensorrt.proof import Layer, layers_of, proved
from vexas_edge.errors import HostError
from vexas_edge.runtime.session import cells_per_call

GPU = Gpu(name="NVIDIA T4", capability="7.5", driver="580.65", tensorrt="11.4.0")


# Buckets


CONTRACT = fused_contract(canvas_px=272, draw_size=10, encoding_width=3, n_classes=2)
ROWS = CONTRACT.rows(32)


@pytest.mark.parametrize(
    ("block", "expected"), [(1, (1, 4)), (2, (1, 2, 4)), (4, (1, 4)), (32, (1, 32))]
)
def test_buckets_take_a_single_cell_the_self_test_and_a_whole_call(
    block: int, expected: tuple[int, ...]
) -> None:
    assert buckets_for(CONTRACT.rows(block)) == expected
    assert max(expected) >= GOLDEN_CELLS


def test_rows_that_may_not_be_filled_up_make_no_batch() -> None:
    fixed = RowGroup(tensors=frozenset({"cells"}), most=32)
    for rows in ((), (fixed,)):
        with pytest.raises(HostError, match="rows may not be filled up; use --engine onnxruntime"):
            buckets_for(rows)


@pytest.mark.parametrize("canvas_px", [16, 96, 112, 224, 272, 360, 400, 4096])
def test_scoring_never_brings_more_than_the_largest_bucket(canvas_px: int) -> None:
    most = cells_per_call(EngineOptions(engine="tensorrt"), canvas_px)
    assert most <= max(buckets_for(CONTRACT.rows(most)))
    assert most_rows(CONTRACT.rows(most))["draws"] == CHECKED_DRAWS


@pytest.mark.parametrize(("n_cells", "expected"), [(1, 1), (2, 4), (4, 4), (5, 32), (32, 32)])
def test_the_smallest_bucket_that_is_large_enough_is_taken(n_cells: int, expected: int) -> None:
    assert bucket_of({"cells": n_cells, "draws": 64}, ROWS, (1, 4, 32)) == expected


def test_more_cells_than_the_largest_bucket_are_refused() -> None:
    with pytest.raises(HostError, match="built for 32 rows per call at most and was given 33"):
        bucket_of({"cells": 33, "draws": 1}, ROWS, (1, 4, 32))


def test_only_the_rows_of_a_fused_graphs_inputs_are_free() -> None:
    assert input_shape("cells", (-1, 272, 272, 3), 4, ROWS) == (4, 272, 272, 3)
    assert input_shape("draws", (-1, 10), 4, ROWS) == (CHECKED_DRAWS, 10)
    for name, shape in (("pixels", (-1, 3)), ("cells", (-1, -1, -1, 3))):
        with pytest.raises(HostError, match=f"with the input {name} .*; expected a first"):
            input_shape(name, shape, 4, ROWS)


# Padding


def test_rows_are_filled_up_with_zeros_whatever_was_there_before() -> None:
    room = np.full((4, 2), 7, np.int64)
    fill(room, "draws", np.array([[1, 2], [3, 4]]))
    assert room.tolist() == [[1, 2], [3, 4], [0, 0], [0, 0]]
    with pytest.raises(HostError, match="takes 4 draws per call at most and was given 5"):
        fill(room, "draws", np.zeros((5, 2), np.int64))


def test_what_came_of_padding_is_dropped_and_the_rest_copied() -> None:
    outputs = {"encodings": np.ones((4, 3)), "probabilities": np.ones((64, 2))}
    kept = without_padding(outputs, {"cells": 3, "draws": 5}, ROWS)
    assert {name: value.shape for name, value in kept.items()} == {
        "encodings": (3, 3),
        "probabilities": (5, 2),
    }
    outputs["encodings"][:] = 0
    assert kept["encodings"].all()


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [((4, 272, 272, 3), np.uint8, 887_808), ((64, 10), np.int64, 5120), ((4, 512), "f4", 8192)],
)
def test_memory_is_as_large_as_its_tensor(shape: Any, dtype: Any, expected: int) -> None:
    assert n_bytes("x", shape, dtype) == expected


def test_a_tensor_without_a_size_gets_no_memory() -> None:
    with pytest.raises(HostError, match=r"how large encodings \(4, -1\) gets"):
        n_bytes("encodings", (4, -1), np.float32)


# Keys


@pytest.mark.parametrize(
    "changed",
    [
        {"graph": b"another"},
        {"precision": "int8"},
        {"rows": CONTRACT.rows(4)},
        {"gpu": replace(GPU, name="NVIDIA L4")},
        {"gpu": replace(GPU, capability="8.9")},
        {"gpu": replace(GPU, driver="581.00")},
        {"gpu": replace(GPU, tensorrt="11.5.0")},
    ],
    ids=lambda changed: str(next(iter(changed.values()))),
)
def test_a_plan_is_not_found_where_anything_differs(changed: dict[str, Any]) -> None:
    as_it_was: dict[str, Any] = {
        "graph": b"a graph",
        "precision": "fp32",
        "rows": ROWS,
        "gpu": GPU,
    }
    key = plan_key(**as_it_was)
    assert plan_key(**as_it_was) == key
    assert plan_key(**as_it_was | changed) != key
    assert json.loads(json.dumps(key)) == key


def test_graphs_share_the_timings_of_one_gpu() -> None:
    assert timings_key(GPU) == {
        "name": "NVIDIA T4",
        "capability": "7.5",
        "driver": "580.65",
        "tensorrt": "11.4.0",
    }


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
    layer("fire/squeeze", "CaskGemmConvolution", "Int8"),
    layer("fire/expand", "correlation", "Int8", "Half"),
    layer("kept in float", "CaskJitConv", "Float"),
    layer("kernel", "gemm", "Float"),
    layer("convert", "convert", "Int8"),
)


def test_layers_that_multiply_weights_are_found_with_what_they_take() -> None:
    assert layers_of(INT8) == (
        Layer(name="stem", is_convolution=True, computes_in="int8"),
        Layer(name="fire/squeeze", is_convolution=True, computes_in="int8"),
        Layer(name="fire/expand", is_convolution=True, computes_in="int8"),
        Layer(name="kept in float", is_convolution=True, computes_in="fp32"),
        Layer(name="kernel", is_convolution=False, computes_in="fp32"),
    )
    assert proved(INT8, "int8") == "convolutions: int8 3, fp32 1; products: fp32 1"


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
    old = {"Name": "c", "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": text}]}
    (found,) = layers_of(described(old))
    assert found.computes_in == expected


@pytest.mark.parametrize(("wanted", "took"), [("int8", "Float"), ("fp16", "Float")])
def test_an_engine_built_in_float32_by_mistake_is_refused(wanted: Precision, took: str) -> None:
    convolutions = [layer(f"conv{i}", "CaskConvolution", took) for i in range(3)]
    with pytest.raises(HostError) as refused:
        proved(described(*convolutions), wanted)
    assert str(refused.value) == (
        f"the TensorRT engine was built for {wanted}, but its convolutions compute in fp32 3 "
        "(such as 'conv0'); it is not kept. Use another --precision, or --engine onnxruntime"
    )


def test_the_reference_computes_in_float32_throughout() -> None:
    layers = [layer(f"conv{i}", "CaskConvolution", "Float") for i in range(9)]
    assert proved(described(*layers), "fp32") == "convolutions: fp32 9; products: none"
    with pytest.raises(HostError, match="built for fp32, but .* fp32 9, fp16 1 .*'odd'"):
        proved(described(*layers, layer("odd", "CaskConvolution", "Half")), "fp32")


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
        '{"Layers": [{"Name": "c", "LayerType": "CaskConvolution", "Inputs": []}]}',
        '{"Layers": [{"Name": "c", "LayerType": "CaskConvolution", "Inputs": [{"Format": "x"}]}]}',
        '{"Layers": []}',
        described(layer("kernel", "gemm", "Float")),
    ],
)
def test_a_description_that_says_too_little_proves_nothing(description: str) -> None:
    with pytest.raises(HostError, match="cannot be read .* so nothing proves what it computes in"):
        proved(description, "fp32")
