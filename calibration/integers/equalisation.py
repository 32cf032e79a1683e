"""Brings the channels of a tensor closer in range, so that one grid suits them all.

A channel is divided by a factor in the layer that computes it and multiplied by it in the layers
that use it (Nagel et al. 2019, arXiv 1906.04721; the exponent after Xiao et al. 2023, arXiv
2211.10438). The network computes the same as long as only operators that commute with a positive
factor are in between: ReLU and poolings, but not smooth gates or additions.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper

from calibration.integers.layers import Layer, weighted_layers
from calibration.integers.ranges import Batches, channel_extents
from calibration.region import Region, users_of
from export.graph import rebuilt

_EXPONENT = 0.5
# The least range, as a share of the largest, that a channel is treated as having.
_SMALLEST_SHARE = 1e-3

_PASSED_THROUGH = ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize")


def equalise_channels(model: ModelProto, region: Region, batches: Batches) -> ModelProto:
    """The same network with channels of similar range, as far as possible."""
    layers = weighted_layers(model, region)
    walk = _Walk(model, region, layers)
    takers = {name: found for name in layers if (found := walk.takers(name))}
    if not takers:
        return model
    activations = {name: walk.activation(name) for name in takers}
    extents = channel_extents(model, list(activations.values()), batches)
    weights = {name: layer.weights.copy() for name, layer in layers.items()}
    biases = {name: layer.bias for name, layer in layers.items()}
    for name, reached in takers.items():
        factors = _factors(extents[activations[name]])
        weights[name] /= factors.reshape(-1, 1, 1, 1)
        biases[name] = biases[name] / factors
        for taker, first in reached:
            weights[taker][:, first : first + len(factors)] *= factors.reshape(1, -1, 1, 1)
    return _with_values(model, layers, weights, biases)


def _factors(extents: np.ndarray) -> np.ndarray:
    extents = extents.astype(np.float64)
    return np.maximum(extents, max(extents.max() * _SMALLEST_SHARE, 1e-12)) ** _EXPONENT


class _Walk:
    """Finds the layers that use a layer's output."""

    def __init__(self, model: ModelProto, region: Region, layers: Mapping[str, Layer]) -> None:
        self._layers = layers
        self._exit = region.exit
        self._users = users_of(model)
        self._channels = _channels(model)

    def activation(self, name: str) -> str:
        """The layer's output, after its rectifier if that is the output's only user."""
        users = self._users[name]
        rectified = len(users) == 1 and users[0].op_type in ("Relu", "LeakyRelu")
        return users[0].output[0] if rectified else name

    def takers(self, name: str) -> list[tuple[str, int]]:
        """The layers that use the tensor, each with the index of the tensor's first channel there.

        Empty if something uses the tensor that does not commute with a factor.
        """
        is_convolution = self._layers[name].node.op_type == "Conv"
        return (self._reached(name, 0) or []) if is_convolution else []

    def _reached(self, name: str, first: int) -> list[tuple[str, int]] | None:
        if name == self._exit:
            return None
        found = []
        for user in self._users.get(name, ()):
            reached = self._through(user, name, first)
            if reached is None:
                return None
            found += reached
        return found

    def _through(self, user: NodeProto, name: str, first: int) -> list[tuple[str, int]] | None:
        output, inputs = user.output[0], list(user.input)
        if user.op_type in _PASSED_THROUGH:
            return self._reached(output, first)
        if user.op_type == "Concat" and inputs.count(name) == 1 and _axis(user) == 1:
            before = [self._channels[other] for other in inputs[: inputs.index(name)]]
            return self._reached(output, first + sum(before))
        layer = self._layers.get(output)
        if layer is None or user.op_type != "Conv" or layer.groups > 1:
            return None
        return [(output, first)]


def _axis(node: NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "axis"), 0)


def _channels(model: ModelProto) -> dict[str, int]:
    """The number of channels of each tensor, its second dimension."""
    known = onnx.shape_inference.infer_shapes(model).graph.value_info
    shapes = {value.name: value.type.tensor_type.shape.dim for value in known}
    return {name: dims[1].dim_value for name, dims in shapes.items() if len(dims) > 1}


def _with_values(
    model: ModelProto,
    layers: Mapping[str, Layer],
    weights: Mapping[str, np.ndarray],
    biases: Mapping[str, np.ndarray],
) -> ModelProto:
    constants, nodes = [], []
    for node in model.graph.node:
        copy = NodeProto()
        copy.CopyFrom(node)
        nodes.append(copy)
        name = node.output[0]
        if name in layers:
            values = {f"{name}/weights": weights[name]}
            if np.any(biases[name]):
                values[f"{name}/bias"] = biases[name]
            copy.input[1:] = list(values)
            constants += [
                numpy_helper.from_array(value.astype(np.float32), key)
                for key, value in values.items()
            ]
    return rebuilt(model, nodes, constants)
