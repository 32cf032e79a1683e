"""Writes 8-bit integers into a graph, as pairs of QuantizeLinear and DequantizeLinear."""

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, NodeProto

from calibration.integers.activations import activations, bounds_of
from calibration.integers.grids import PASSING, Grid, Scheme
from calibration.integers.layers import WEIGHTED
from calibration.integers.means import channels_of_means, mean_as_convolution
from calibration.integers.rounding import IntegerWeights
from calibration.region import Region, float_constants, users_of
from export.graph import GraphBuilder, rebuilt

# These are fused with the node before them, so nothing is rounded in between.
_RECTIFIERS = ("Relu", "Clip")
_RECTIFIED = (*WEIGHTED, "Add")
_INTEGER = (
    *PASSING,
    *_RECTIFIERS,
    *("Add", "Mul", "Sigmoid", "LeakyRelu", "AveragePool", "GlobalAveragePool"),
)
_LOWEST = float(np.finfo(np.float32).min)


def quantize_int8(
    model: ModelProto,
    region: Region,
    scheme: Scheme,
    grids: Mapping[str, Grid],
    weights: Mapping[str, IntegerWeights],
) -> ModelProto:
    """The model with its region in integers; layers without integer weights stay in float.

    Args:
        grids: of the region's tensors, from `calibration.integers.grids`.
        weights: by the layer's name, from `calibration.integers.rounding`.
    """
    return _Int8(model, region, scheme, grids, weights).model()


class _Int8:
    """Writes the integer graph; nodes and layers are identified by their output tensors."""

    def __init__(
        self,
        model: ModelProto,
        region: Region,
        scheme: Scheme,
        grids: Mapping[str, Grid],
        weights: Mapping[str, IntegerWeights],
    ) -> None:
        self._source = model
        self._region = region
        self._scheme = scheme
        self._grids = grids
        self._weights = weights
        self._graph = GraphBuilder("int8/")
        # Signed grids are for TensorRT, whose own integer average is fast.
        self._means = {} if scheme.signed else channels_of_means(model)
        self._users = users_of(model)
        self._operators = {node.output[0]: node.op_type for node in region.nodes}
        self._composed = {
            node.output[0]
            for activation in activations(model, region)
            if activation.is_composed
            for node in activation.nodes
        }
        self._constants = float_constants(model)
        self._integer = self._integer_nodes()
        self._dequantised: dict[str, str] = {}

    def _integer_nodes(self) -> set[str]:
        """The nodes that compute in integers; a rectifier does if the node before it does.

        The nodes of an activation function of several do not, as each would round once more.
        """
        integer: set[str] = set()
        for node in self._region.nodes:
            name, kind = node.output[0], node.op_type
            follows = kind in _RECTIFIERS and self._operators.get(node.input[0]) in _RECTIFIED
            if name in self._weights or (
                kind in _INTEGER
                and name not in self._composed
                and (not follows or node.input[0] in integer)
            ):
                integer.add(name)
        return integer

    def model(self) -> ModelProto:
        if self._region.entry in {value.name for value in self._source.graph.input}:
            self._quantise(self._region.entry)
        for node in self._source.graph.node:
            self._write(node)
            if self._is_quantised(node.output[0]):
                self._quantise(node.output[0])
        return rebuilt(self._source, self._graph.nodes, self._graph.initializers)

    def _write(self, node: NodeProto) -> None:
        name = node.output[0]
        copy = NodeProto()
        copy.CopyFrom(node)
        in_float = self._operators.get(name) in WEIGHTED and name not in self._weights
        copy.input[:] = [
            # A layer in float takes the pixels as they are, since these are in float anyway.
            i if in_float and i == self._region.entry else self._dequantised.get(i, i)
            for i in node.input
        ]
        if name in self._weights:
            self._put_weights(copy, self._weights[name], self._grids[node.input[0]])
        if name in self._means and name in self._integer:
            copy = mean_as_convolution(self._graph, copy, self._means[name])
        self._graph.nodes.append(copy)
        if in_float:
            self._keep_in_float(copy)

    def _keep_in_float(self, node: NodeProto) -> None:
        """Add a Max that changes nothing after the layer.

        Without it, onnxruntime itself rounds the weights of a float layer that lies between two
        quantised tensors.
        """
        name = node.output[0]
        node.name = node.output[0] = f"{name}/float"
        self._graph.node(
            "Max", node.output[0], self._graph.constant(_LOWEST, np.float32), output=name
        )

    def _is_quantised(self, name: str) -> bool:
        users = self._users.get(name, [])
        if name not in self._grids:
            return False
        if name in self._integer:
            return not (
                len(users) == 1
                and users[0].op_type in _RECTIFIERS
                and users[0].output[0] in self._integer
                and self._operators.get(name) in _RECTIFIED
                and (self._scheme.signed or self._is_clipped_by_its_grid(users[0]))
            )
        return any(user.output[0] in self._integer for user in users)

    def _is_clipped_by_its_grid(self, rectifier: NodeProto) -> bool:
        """Whether the grid of its output ends within the rectifier's bounds.

        Only then does onnxruntime drop the rectifier; a convolution that it stays behind would
        compute in float.
        """
        low, high = self._grids[rectifier.output[0]].ends()
        least, most = bounds_of(rectifier, self._constants)
        return least <= low and high <= most

    def _quantise(self, name: str) -> None:
        grid, kind = self._grids[name], np.int8 if self._scheme.signed else np.uint8
        scale = self._graph.constant(grid.scale, np.float32)
        zero = self._graph.constant(grid.zero_point, kind)
        integers = self._graph.node("QuantizeLinear", name, scale, zero)
        self._dequantised[name] = self._graph.node("DequantizeLinear", integers, scale, zero)

    def _put_weights(self, node: NodeProto, weights: IntegerWeights, grid: Grid) -> None:
        scales = self._graph.constant(weights.scales)
        zeros = self._graph.constant(np.zeros(len(weights.scales)), np.int8)
        integers = self._graph.constant(weights.integers)
        node.input[1] = self._graph.node(
            "DequantizeLinear", integers, scales, zeros, axis=weights.channels
        )
        if node.op_type != "MatMul":
            node.input[2:] = [self._bias(weights, grid)]

    def _bias(self, weights: IntegerWeights, grid: Grid) -> str:
        if self._scheme.signed:
            return self._graph.constant(weights.bias, np.float32)
        scales = (np.float32(grid.scale) * weights.scales).astype(np.float32)
        integers = self._graph.constant(np.rint(weights.bias / scales), np.int32)
        return self._graph.node("DequantizeLinear", integers, self._graph.constant(scales), axis=0)
