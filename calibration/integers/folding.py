"""Rewrites a graph in the operators that integers can run, with the same results."""

from collections import Counter

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from calibration.region import Region
from export.graph import GraphBuilder, rebuilt

_SPATIAL = (2, 3)


def fold_for_integers(model: ModelProto, region: Region) -> ModelProto:
    """The model without the region's batch normalisations and means over height and width.

    A batch normalisation becomes part of the convolution before it, or a depthwise convolution; a
    mean over height and width becomes a GlobalAveragePool. Remaining tensors keep their names.
    """
    return _Folding(model, region).folded()


class _Folding:
    def __init__(self, model: ModelProto, region: Region) -> None:
        self._model = model
        self._inside = {node.output[0] for node in region.nodes}
        self._constants = {t.name: t for t in model.graph.initializer}
        self._uses = Counter(name for node in model.graph.node for name in node.input)
        self._uses.update(value.name for value in model.graph.output)
        self._convolutions: dict[str, NodeProto] = {}
        self._graph = GraphBuilder("folded/")

    def folded(self) -> ModelProto:
        for node in self._model.graph.node:
            inside = node.output[0] in self._inside
            if inside and node.op_type == "BatchNormalization":
                self._normalisation(node)
            elif inside and node.op_type == "ReduceMean" and self._is_over_space(node):
                self._graph.node("GlobalAveragePool", node.input[0], output=node.output[0])
            else:
                self._copied(node)
        return rebuilt(self._model, self._graph.nodes, self._graph.initializers)

    def _copied(self, node: NodeProto) -> None:
        copy = NodeProto()
        copy.CopyFrom(node)
        self._graph.nodes.append(copy)
        if copy.op_type == "Conv" and copy.output[0] in self._inside:
            self._convolutions[copy.output[0]] = copy

    def _is_over_space(self, node: NodeProto) -> bool:
        keeps = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
        axes = self._constants.get(node.input[1]) if len(node.input) > 1 else None
        if not keeps or axes is None:
            return False
        return tuple(sorted(int(a) % 4 for a in numpy_helper.to_array(axes))) == _SPATIAL

    def _normalisation(self, node: NodeProto) -> None:
        gain, offset, mean, variance = (self._values(name) for name in node.input[1:5])
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        scale = gain / np.sqrt(variance + epsilon)
        shift = offset - mean * scale
        convolution = self._convolutions.get(node.input[0])
        if convolution is not None and self._uses[node.input[0]] == 1:
            self._fold(convolution, scale, shift)
            convolution.output[0] = node.output[0]
            self._convolutions[node.output[0]] = convolution
        else:
            weights = self._graph.constant(scale.reshape(-1, 1, 1, 1), np.float32)
            bias = self._graph.constant(shift, np.float32)
            inputs = (node.input[0], weights, bias)
            self._graph.node("Conv", *inputs, output=node.output[0], group=len(scale))

    def _fold(self, convolution: NodeProto, scale: np.ndarray, shift: np.ndarray) -> None:
        weights = self._values(convolution.input[1])
        bias = self._values(convolution.input[2]) if len(convolution.input) > 2 else 0.0
        wide = scale.reshape(-1, *[1] * (weights.ndim - 1))
        folded = self._graph.constant(weights * wide, np.float32)
        shifted = self._graph.constant(bias * scale + shift, np.float32)
        convolution.input[1:] = [folded, shifted]

    def _values(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self._constants[name]).astype(np.float64)
