"""The shares of a graph's multiply-adds that are computed in int8, float16 and float32.

A file with quantisers does not necessarily run in integers. So what onnxruntime's CPU provider
executes is read from its own optimised graph and profile, and what other engines should execute is
read from the file.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto

from export.execution import session_from, session_options
from vexas_edge.errors import BundleError

_INTEGER_LAYERS = ("QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger")
_LAYERS = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")
# The index of the weights among the inputs of layers where it is not 1.
_WEIGHTS = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3}
_SEEN_THROUGH = ("DequantizeLinear", "Cast", "Identity", "Transpose")
_KERNEL = "_kernel_time"  # how an executed node is marked in the profile


@dataclass(frozen=True, kw_only=True)
class Census:
    """Shares of multiply-adds, whose sum is 1.

    float_layers: names of the layers in float32.
    """

    int8: float
    fp16: float
    fp32: float
    float_layers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Layer:
    name: str
    kind: str
    multiply_adds: float


def executed_census(
    model: ModelProto, feeds: Mapping[str, np.ndarray], without: Collection[str] = ()
) -> Census:
    """The census of what onnxruntime's CPU provider runs, after it has optimised the graph.

    Args:
        without: names of nodes that are not counted.

    Raises:
        BundleError: no layer is left to be counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = session_options()
        options.optimized_model_filepath = str(Path(folder, "optimised.onnx"))
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = session_from(model, options)
        session.run(None, dict(feeds))
        profile = session.end_profiling()
        del session
        optimised = onnx.load(options.optimized_model_filepath)
        events = json.loads(Path(profile).read_text(encoding="utf-8"))
    outputs = {
        event["name"].removesuffix(_KERNEL): event["args"]["output_type_shape"]
        for event in events
        if event["name"].endswith(_KERNEL)
    }
    return _census(
        _layer(node, optimised, next(iter(outputs[node.name][0].values())), _executed_kind(node))
        for node in optimised.graph.node
        if node.op_type in (*_LAYERS, *_INTEGER_LAYERS) and node.name not in without
    )


def written_census(model: ModelProto, without: Collection[str] = ()) -> Census:
    """The census of what a strongly typed engine should run: layers between quantisers in integers.

    Args:
        without: names of nodes that are not counted.

    Raises:
        BundleError: no layer is left to be counted.
    """
    shapes = _shapes(model)
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    halves = {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT16}

    def kind(node: NodeProto) -> str:
        if all(makers.get(name) == "DequantizeLinear" for name in node.input[:2]):
            return "int8"
        return "fp16" if node.input[1] in halves else "fp32"

    return _census(
        _layer(node, model, shapes[node.output[0]], kind(node))
        for node in model.graph.node
        if node.op_type in _LAYERS and node.name not in without
    )


def multiply_adds(model: ModelProto, layers: Collection[str]) -> dict[str, float]:
    """Each layer's share of these layers' multiply-adds, by its output tensor."""
    shapes = _shapes(model)
    found = {
        node.output[0]: _layer(node, model, shapes[node.output[0]], "fp32").multiply_adds
        for node in model.graph.node
        if node.output[0] in layers
    }
    everything = sum(found.values())
    return {name: count / everything for name, count in found.items()}


def _shapes(model: ModelProto) -> dict[str, list[int]]:
    """The shape of every tensor, with 1 for what is free."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = [*inferred.value_info, *inferred.output]
    return {v.name: [d.dim_value or 1 for d in v.type.tensor_type.shape.dim] for v in values}


def _executed_kind(node: NodeProto) -> str:
    return "int8" if node.op_type in _INTEGER_LAYERS else "fp32"


def _layer(node: NodeProto, model: ModelProto, output: list[int], kind: str) -> _Layer:
    weights = _weights(node, model)
    channels = weights[0] if "Conv" in node.op_type else output[-1]
    return _Layer(name=node.name, kind=kind, multiply_adds=prod(output) * prod(weights) / channels)


def _weights(node: NodeProto, model: ModelProto) -> list[int]:
    """The shape of the node's weights, seen through their own dequantiser.

    Raises:
        BundleError: they are not constant.
    """
    shapes = {t.name: list(t.dims) for t in model.graph.initializer}
    name = node.input[_WEIGHTS.get(node.op_type, 1)]
    makers = {output: maker for maker in model.graph.node for output in maker.output}
    while name not in shapes and name in makers and makers[name].op_type in _SEEN_THROUGH:
        name = makers[name].input[0]
    if name not in shapes:
        raise BundleError(f"layer {node.name} has no constant weights, so it cannot be counted")
    return shapes[name]


def _census(layers: Iterable[_Layer]) -> Census:
    layers = list(layers)
    if not layers:
        raise BundleError(
            "the graph has no convolution and no matrix product, so its precision cannot be told"
        )
    total: Counter[str] = Counter()
    for layer in layers:
        total[layer.kind] += layer.multiply_adds  # type: ignore[assignment]
    everything = sum(total.values())
    return Census(
        int8=total["int8"] / everything,
        fp16=total["fp16"] / everything,
        fp32=total["fp32"] / everything,
        float_layers=tuple(layer.name for layer in layers if layer.kind == "fp32"),
    )
