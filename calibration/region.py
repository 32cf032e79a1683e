"""Finds the part of a graph that may leave float32: the encoder, from pixels to the final pooling.

Preprocessing, the final pooling's output and the head stay in float32 in every precision.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import onnx
from onnx import ModelProto, NodeProto, TensorProto

from vexas_edge.bundle.contract import EMBEDDING, LOGITS, SCALED
from vexas_edge.errors import BundleError

# Operators that compute value by value, of which users make activation functions.
ELEMENTWISE = {
    *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Abs", "Neg", "Sqrt", "Exp", "Log", "Erf"),
    *("Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish"),
    *("Elu", "Selu", "Mish", "Softplus", "Softsign", "ThresholdedRelu"),
}

# Operators that we can write in another precision; inputs and output of each have the same type.
KNOWN_OPERATORS = {
    *ELEMENTWISE,
    *("Conv", "Gemm", "MatMul", "BatchNormalization"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Pad"),
    *("Concat", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity"),
}

# Further operators that a mask network may have.
_ENLARGING = {"Resize"}

# They compute a mean for every cell anew.
_NORMALISATIONS = {"InstanceNormalization", "LayerNormalization", "GroupNormalization"}
_NORMALISING = (
    "; a group, instance or layer normalisation cannot become part of a convolution, as a batch "
    "normalisation can, so such an encoder stays in float32"
)

_GLOBAL = ("GlobalAveragePool", "GlobalMaxPool")
_POOLINGS = ("AveragePool", "MaxPool", "ReduceMean", "ReduceMax")
_MAP_RANK = 4  # cells, channels, height, width


@dataclass(frozen=True, kw_only=True)
class Region:
    """The nodes, in the graph's order, between the tensors `entry` and `exit`, both float32."""

    entry: str
    exit: str
    nodes: tuple[NodeProto, ...]

    def tensors(self) -> tuple[str, ...]:
        """The names of the region's activations, its entry first."""
        return (self.entry, *(name for node in self.nodes for name in node.output if name))


def encoder_region(model: ModelProto) -> Region:
    """The encoder of a fused graph, up to the input of its final pooling.

    Of cells that are rows of numbers, it goes as far as we can write the operators in another
    precision: the layers that take all of the numbers come first, and a normalisation, attention or
    a search for neighbours behind them stays in float32.

    Raises:
        BundleError: it is not a fused graph of ours, or has operators that we cannot write in
            another precision; the message names them.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    if SCALED not in makers or EMBEDDING not in makers:
        raise BundleError(
            f"the graph has no tensors {SCALED!r} and {EMBEDDING!r}, so it is not a fused graph of "
            "vexas-workshop; name one from a bundle"
        )
    leave = _last_map(model, makers) if takes_maps(model) else _before_unknown(model)
    return _region(model, SCALED, leave)


def takes_maps(model: ModelProto) -> bool:
    """Whether the encoder of a fused graph takes images, and not rows of numbers."""
    return len(_shapes(model)[SCALED]) == _MAP_RANK


def classifier_region(model: ModelProto) -> Region:
    """All of an image classifier: from its one input to the input of its final Softmax.

    Raises:
        BundleError: it has several inputs, or operators that we cannot write in another precision.
    """
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    entries = [value.name for value in graph.input if value.name not in constants]
    if len(entries) != 1:
        raise BundleError(
            f"a classifier has one input, but this graph has {', '.join(entries) or 'none'}"
        )
    makers = {name: node for node in graph.node for name in node.output}
    last = makers[graph.output[0].name]
    leave = last.input[0] if last.op_type == "Softmax" else last.output[0]
    return _region(model, entries[0], leave)


def mask_region(model: ModelProto) -> Region:
    """The trained part of a mask network from `export.mask_graph`, between light and Softmax.

    Raises:
        BundleError: it is not a mask network of ours, or has operators that we cannot write in
            another precision.
    """
    makers = {name for node in model.graph.node for name in node.output}
    if not {SCALED, LOGITS} <= makers:
        raise BundleError(
            f"the graph has no tensors {SCALED!r} and {LOGITS!r}, so it is not a mask network of "
            "vexas-workshop"
        )
    return _region(model, SCALED, LOGITS, KNOWN_OPERATORS | _ENLARGING)


def _region(
    model: ModelProto, entry: str, leave: str, known: Collection[str] = KNOWN_OPERATORS
) -> Region:
    nodes = _between(model.graph.node, entry, leave)
    unknown = {
        node.op_type: node.output[0] for node in reversed(nodes) if node.op_type not in known
    }
    if unknown:
        named = ", ".join(f"{kind} (at {name})" for kind, name in sorted(unknown.items()))
        why = _NORMALISING if unknown.keys() & _NORMALISATIONS else ""
        raise BundleError(f"the network has operators that cannot be converted: {named}{why}")
    return Region(entry=entry, exit=leave, nodes=nodes)


def _before_unknown(model: ModelProto) -> str:
    """The last tensor of the chain from the scaled numbers on that only known operators make."""
    name, users = SCALED, users_of(model)
    while name != EMBEDDING:
        following = users.get(name, [])
        if len(following) != 1 or following[0].op_type not in KNOWN_OPERATORS:
            return name
        name = following[0].output[0]
    return name


def _last_map(model: ModelProto, makers: dict[str, NodeProto]) -> str:
    """The last tensor with height and width, the input of the final pooling.

    Everything after it, the pooling and any dense layer, stays in float32.
    """
    shapes = _shapes(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    name = EMBEDDING
    while len(shapes.get(name, ())) != _MAP_RANK:
        inputs = [i for i in makers[name].input if i in makers and i not in constants]
        if not inputs or name == SCALED:
            return EMBEDDING
        name = inputs[0]
    pooled = shapes[name][2:] == (1, 1) and makers[name].op_type in _POOLINGS
    return makers[name].input[0] if pooled or makers[name].op_type in _GLOBAL else name


def _shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = [*inferred.value_info, *inferred.input, *inferred.output]
    return {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}


def _between(nodes: Sequence[NodeProto], entry: str, leave: str) -> tuple[NodeProto, ...]:
    needed = {leave}
    found = []
    for node in reversed(nodes):
        if needed.intersection(node.output) and entry not in node.output:
            needed.update(name for name in node.input if name != entry)
            found.append(node)
    return tuple(reversed(found))


def float_constants(model: ModelProto) -> dict[str, TensorProto]:
    """The graph's float32 initializers by name."""
    return {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
    }


def users_of(model: ModelProto) -> dict[str, list[NodeProto]]:
    """The nodes that have a tensor as their input, by the tensor's name."""
    users: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    return users
