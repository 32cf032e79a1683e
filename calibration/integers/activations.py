"""Finds activation functions, however many nodes each takes: SiLU, GELU, or what a user wrote.

An activation maps one tensor to another value by value, by operators and scalar constants alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from calibration.region import ELEMENTWISE, Region

_SILU = ["Mul", "Sigmoid"]


@dataclass(frozen=True, kw_only=True)
class Activation:
    """All functions of one tensor that are computed value by value.

    source: the tensor.
    nodes: what computes them, in the graph's order.
    """

    source: str
    nodes: tuple[NodeProto, ...]

    @property
    def is_composed(self) -> bool:
        """Whether rounding between its nodes is to be avoided.

        A single operator has no inner tensor, and a SiLU is two fast integer operators whose inner
        tensor, between 0 and 1, loses little by being rounded.
        """
        return len(self.nodes) > 1 and sorted(node.op_type for node in self.nodes) != _SILU


def activations(model: ModelProto, region: Region) -> tuple[Activation, ...]:
    """The region's activations, each with all nodes that depend on its source alone."""
    scalars = {t.name for t in model.graph.initializer if np.prod(t.dims, dtype=int) == 1}
    sources: dict[str, str] = {}
    members: dict[str, list[NodeProto]] = {}
    for node in region.nodes:
        varying = {name for name in node.input if name and name not in scalars}
        roots = {sources.get(name, name) for name in varying}
        if node.op_type in ELEMENTWISE and len(roots) == 1:
            (root,) = roots
            sources[node.output[0]] = root
            members.setdefault(root, []).append(node)
    return tuple(Activation(source=source, nodes=tuple(nodes)) for source, nodes in members.items())


def bounds_of(rectifier: NodeProto, constants: Mapping[str, TensorProto]) -> tuple[float, float]:
    """The least and the largest value that a Relu or a Clip returns."""
    if rectifier.op_type == "Relu":
        return 0.0, float("inf")
    least, most = float("-inf"), float("inf")
    named = [*rectifier.input[1:], "", ""]
    if named[0]:
        least = float(numpy_helper.to_array(constants[named[0]]))
    if named[1]:
        most = float(numpy_helper.to_array(constants[named[1]]))
    return least, most
