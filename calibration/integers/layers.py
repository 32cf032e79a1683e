"""The layers with constant weights, convolutions and matrix products, seen as matrices."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from calibration.region import Region
from vexas_edge.errors import BundleError

WEIGHTED = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One node with constant weights.

    name: of its output tensor.
    weights: float64, in the node's own shape.
    bias: float64 (C,), zeros if the node has none.
    channels: the weights' axis of output channels.
    attributes: the node's, by name.
    """

    name: str
    node: NodeProto
    weights: np.ndarray
    bias: np.ndarray
    channels: int
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def groups(self) -> int:
        """The number of groups into which a convolution divides its channels."""
        return int(self.attributes.get("group", 1))

    def matrices(self, weights: np.ndarray | None = None) -> np.ndarray:
        """The weights, or others of their shape, as (groups, channels per group, values summed)."""
        rows = np.moveaxis(self.weights if weights is None else weights, self.channels, 0)
        return rows.reshape(self.groups, len(rows) // self.groups, -1)

    def from_matrices(self, matrices: np.ndarray) -> np.ndarray:
        """The inverse of `matrices`: such matrices in the shape of the node's weights."""
        rows = np.moveaxis(self.weights, self.channels, 0)
        return np.moveaxis(matrices.reshape(rows.shape), 0, self.channels)


def weighted_layers(model: ModelProto, region: Region) -> dict[str, Layer]:
    """The region's layers by name, in the graph's order.

    Raises:
        BundleError: the graph does not state a convolution's padding.
    """
    constants = {t.name: t for t in model.graph.initializer}

    def values(name: str) -> np.ndarray:
        return numpy_helper.to_array(constants[name]).astype(np.float64)

    layers = {}
    for node in region.nodes:
        if node.op_type not in WEIGHTED or node.input[1] not in constants:
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            raise BundleError(
                f"convolution {node.output[0]} leaves its padding to the engine (auto_pad); "
                "export the encoder with explicit pads"
            )
        if attributes.get("transA") or {attributes.get(n, 1.0) for n in ("alpha", "beta")} != {1.0}:
            continue
        weights = values(node.input[1])
        first = node.op_type == "Conv" or attributes.get("transB", 0)
        channels = 0 if first else weights.ndim - 1
        has_bias = len(node.input) > 2 and node.input[2]
        layers[node.output[0]] = Layer(
            name=node.output[0],
            node=node,
            weights=weights,
            bias=values(node.input[2]) if has_bias else np.zeros(weights.shape[channels]),
            channels=channels,
            attributes=attributes,
        )
    return layers
