"""Rewrites average pooling as a convolution, which integers run fast on the CPU."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorShapeProto, helper, shape_inference

from export.graph import GraphBuilder


def channels_of_means(model: ModelProto) -> dict[str, int]:
    """The number of channels of each average pooling that can be a convolution, by its output.

    These are the poolings that divide every sum by the whole window: none that leaves its padding
    out of the mean, and none whose windows reach beyond the border.
    """
    inferred = shape_inference.infer_shapes(model).graph
    shapes = {v.name: v.type.tensor_type.shape.dim for v in (*inferred.value_info, *inferred.input)}
    found = {}
    for node in model.graph.node:
        pooled = node.op_type == "AveragePool"
        dims: Sequence[TensorShapeProto.Dimension] = shapes.get(node.input[0], ()) if pooled else ()
        if len(dims) == 4 and dims[1].dim_value and _has_whole_windows(_attributes(node)):
            found[node.output[0]] = dims[1].dim_value
    return found


def _has_whole_windows(attributes: dict[str, Any]) -> bool:
    padded = any(attributes.get("pads", ())) and not attributes.get("count_include_pad", 0)
    dilated = any(step != 1 for step in attributes.get("dilations", ()))
    automatic = attributes.get("auto_pad", b"NOTSET") != b"NOTSET"
    return not (padded or dilated or automatic or attributes.get("ceil_mode", 0))


def mean_as_convolution(graph: GraphBuilder, node: NodeProto, n_channels: int) -> NodeProto:
    """The same mean as a depthwise convolution with integer weights of one, which sums exactly.

    onnxruntime's own integer average took as long as all 94 convolutions of an InceptionV3.
    """
    attributes = _attributes(node)
    window = attributes["kernel_shape"]
    scales = graph.constant(np.full(n_channels, 1 / math.prod(window)), np.float32)
    ones = graph.constant(np.ones((n_channels, 1, *window)), np.int8)
    zeros = graph.constant(np.zeros(n_channels), np.int8)
    weights = graph.node("DequantizeLinear", ones, scales, zeros, axis=0)
    kept = {name: attributes[name] for name in ("pads", "strides") if name in attributes}
    return helper.make_node(
        "Conv", [node.input[0], weights], node.output, node.name, group=n_channels, **kept
    )


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}
