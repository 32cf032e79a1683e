"""Finds what TensorRT would refuse or silently change in a graph, without a GPU.

A finding is the *parser's* if TensorRT's own ONNX parser refuses the graph for it: in the tests,
the parser of TensorRT for RTX, which needs no GPU, agrees in both directions. Other findings are
*ours*: the parser takes the graph, but NVIDIA's documentation of TensorRT 11 says that it is
changed, refused later or not supported, or its scores would be others.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, defs, numpy_helper

from calibration.proof.graph_view import GraphView
from calibration.proof.operators import INTEGER_OPERATORS, UNSUPPORTED_OPERATORS
from vexas_edge.bundle.contract import ENCODINGS

LARGEST_OPSET = 25
LARGEST_TOPK = 3840

# The axis of output channels in each operator's weights.
_WEIGHT_AXES = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}
_POOLINGS = ("GlobalAveragePool", "GlobalMaxPool", "ReduceMean")
_SHAPING = ("Flatten", "Squeeze", "Unsqueeze", "Reshape", "Identity")
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that TensorRT would refuse or change.

    rule: its machine-readable name.
    where: the name of the node or tensor.
    by: who refuses it: TensorRT's own parser, or we.
    """

    rule: str
    where: str
    message: str
    remedy: str
    by: Literal["parser", "ours"] = "ours"


def preflight_findings(model: ModelProto) -> list[Finding]:
    """Every finding, rule by rule; if there is none, TensorRT 11 should accept the graph."""
    graph = GraphView(model)
    return [finding for rule in _RULES for finding in rule(graph)]


def _foreign_operators(graph: GraphView) -> Iterator[Finding]:
    for node in graph.nodes:
        if node.domain not in ("", "ai.onnx"):
            yield Finding(
                rule="foreign_operator",
                where=_name(node),
                message=f"{node.domain}::{node.op_type} is not a standard operator",
                remedy="write it in standard operators",
                # The parser goes by the name, and takes com.microsoft::Gelu for the standard one.
                by="ours" if defs.has(node.op_type) else "parser",
            )
    for opset in graph.model.opset_import:
        if opset.domain not in ("", "ai.onnx"):
            yield Finding(
                rule="foreign_opset",
                where=opset.domain,
                message=f"opset {opset.domain} is imported",
                remedy="remove it from opset_import",
            )


def _opset(graph: GraphView) -> Iterator[Finding]:
    for opset in graph.model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version > LARGEST_OPSET:
            yield Finding(
                rule="opset",
                where="opset_import",
                message=f"opset {opset.version} is above {LARGEST_OPSET}",
                remedy="export at opset 18",
            )


def _unsupported_operators(graph: GraphView) -> Iterator[Finding]:
    for node in graph.nodes:
        if node.domain not in ("", "ai.onnx") or node.op_type not in UNSUPPORTED_OPERATORS:
            continue
        rule, remedy = "unsupported_operator", "write it in other operators"
        if node.op_type in INTEGER_OPERATORS:
            rule, remedy = "integer_operator", "quantise with Quantize- and DequantizeLinear pairs"
        message = f"{node.op_type} is not supported"
        yield Finding(rule=rule, where=_name(node), message=message, remedy=remedy, by="parser")


def _uint8_tensors(graph: GraphView) -> Iterator[Finding]:
    inputs = {value.name for value in graph.model.graph.input}
    for name, kind in graph.types.items():
        if kind != TensorProto.UINT8 or name in graph.constants:
            continue
        others = [n for n in graph.users.get(name, ()) if n.op_type != "Cast"]
        if name not in inputs or others:
            yield Finding(
                rule="uint8_tensor",
                where=name,
                message="uint8 is supported only as a graph input that is followed by Cast",
                remedy="cast it to float first and quantise to int8",
                by="parser",
            )


def _quantisers(graph: GraphView) -> Iterator[Finding]:
    for node in graph.nodes:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        zero = graph.constants.get(node.input[2]) if len(node.input) > 2 else None
        if (
            node.op_type == "DequantizeLinear"
            and graph.types.get(node.input[0]) == TensorProto.INT32
        ):
            yield Finding(
                rule="quantised_bias",
                where=_name(node),
                message="an int32 bias is dequantised",
                remedy="leave the bias in float",
                by="parser",
            )
        integers = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
        if graph.types.get(integers) == TensorProto.UINT8:
            yield Finding(
                rule="uint8_quantiser",
                where=_name(node),
                message="it quantises to uint8",
                remedy="use int8 with zero-point 0",
                by="parser",
            )
        if zero is not None and np.any(numpy_helper.to_array(zero)):
            yield Finding(
                rule="zero_point",
                where=_name(node),
                message="its zero-point is not 0",
                remedy="quantise symmetrically",
                by="parser",
            )
        yield from _scale_findings(graph, node)


def _scale_findings(graph: GraphView, node: NodeProto) -> Iterator[Finding]:
    scale = graph.constants.get(node.input[1])
    if scale is None:
        yield Finding(
            rule="dynamic_scale",
            where=_name(node),
            message="its scale is computed at run time",
            remedy="quantise with calibrated, constant scales",
        )
    elif np.prod(scale.dims) > 1 and not graph.is_constant(node.input[0]):
        yield Finding(
            rule="per_channel_activation",
            where=_name(node),
            message="an activation is quantised per channel",
            remedy="use one scale for the whole activation",
        )
    elif np.prod(scale.dims) > 1:
        yield from _axis_findings(graph, node)


def _axis_findings(graph: GraphView, node: NodeProto) -> Iterator[Finding]:
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    axis += graph.rank(node.input[0]) if axis < 0 else 0
    for user in graph.users.get(node.output[0], ()):
        expected = _weight_axis(user)
        if expected is not None and axis != expected:
            yield Finding(
                rule="weight_axis",
                where=_name(node),
                message=f"weights of {_name(user)} are quantised along axis {axis}",
                remedy=f"quantise along axis {expected}, its output channels",
                by="parser",
            )


def _weight_axis(node: NodeProto) -> int | None:
    if node.op_type == "Gemm":
        transposed = next((a.i for a in node.attribute if a.name == "transB"), 0)
        return 0 if transposed else 1
    return _WEIGHT_AXES.get(node.op_type)


def _topk(graph: GraphView) -> Iterator[Finding]:
    for node in graph.nodes:
        if node.op_type != "TopK":
            continue
        k = graph.constants.get(node.input[1])
        if k is None or int(numpy_helper.to_array(k).item()) > LARGEST_TOPK:
            yield Finding(
                rule="topk_size",
                where=_name(node),
                message=f"its K is above {LARGEST_TOPK} or not constant",
                remedy=f"use a constant K of at most {LARGEST_TOPK}",
            )
        if next((a.i for a in node.attribute if a.name == "sorted"), 1) == 0:
            yield Finding(
                rule="topk_unsorted",
                where=_name(node),
                message="unsorted TopK is not supported",
                remedy="set sorted to 1",
            )


def _doubles(graph: GraphView) -> Iterator[Finding]:
    for name, kind in graph.types.items():
        if kind == TensorProto.DOUBLE:
            yield Finding(
                rule="float64",
                where=name,
                message="float64 is silently computed in float32",
                remedy="write it in float32 and check the loss of accuracy",
            )


def _dynamic_space(graph: GraphView) -> Iterator[Finding]:
    for value in graph.model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 4 and any(not d.dim_value for d in dims[1:]):
            yield Finding(
                rule="dynamic_space",
                where=value.name,
                message="a dimension of the image other than the batch is free",
                remedy="fix height, width and channels",
            )


def _quantised_head(graph: GraphView) -> Iterator[Finding]:
    below = graph.downstream(ENCODINGS)
    for node in graph.nodes:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        beside = {name for user in graph.users.get(node.output[0], ()) for name in user.input}
        if below.intersection([*node.input, *beside]):
            yield Finding(
                rule="quantised_head",
                where=_name(node),
                message="the head is quantised",
                remedy="leave everything after the encodings in float32",
            )
        elif node.op_type == "QuantizeLinear" and _is_final_pooling(graph, node.input[0]):
            yield Finding(
                rule="quantised_pooling",
                where=_name(node),
                message="the final pooling's output is quantised",
                remedy="leave it in float32",
            )


def _is_final_pooling(graph: GraphView, name: str) -> bool:
    """Whether the tensor is a pooling's output, reshaped or not, that no convolution follows."""
    node = graph.maker.get(name)
    while node is not None and node.op_type in _SHAPING:
        node = graph.maker.get(node.input[0])
    if node is None or node.op_type not in _POOLINGS:
        return False
    below = graph.downstream(node.output[0])
    return not any(
        user.op_type == "Conv" and below.intersection(user.input) for user in graph.nodes
    )


def _mixed_floats(graph: GraphView) -> Iterator[Finding]:
    for node in graph.nodes:
        kinds = {graph.types.get(name) for name in node.input if name}
        if len(kinds.intersection(_FLOATS)) > 1:
            yield Finding(
                rule="mixed_floats",
                where=_name(node),
                message=f"{node.op_type} has inputs in both float16 and float32",
                remedy="cast one of them",
                by="parser",
            )


_RULES: tuple[Callable[[GraphView], Iterator[Finding]], ...] = (
    _foreign_operators,
    _opset,
    _unsupported_operators,
    _uint8_tensors,
    _quantisers,
    _topk,
    _doubles,
    _dynamic_space,
    _quantised_head,
    _mixed_floats,
)


def _name(node: NodeProto) -> str:
    return node.name or node.output[0]
