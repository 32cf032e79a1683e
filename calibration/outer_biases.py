"""Takes the biases of half-precision convolutions out of them, into additions of their own.

onnxruntime adds a convolution's bias on CUDA by a slow kernel, which takes 3.9 ms of the 13.5
of a call of ResNet50. An addition of a constant is fast there.
"""

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.graph import rebuilt

# The inputs of a convolution that has a bias, and the first dimensions of its output.
_WITH_BIAS = 3
_ROWS_AND_CHANNELS = 2


def with_outer_biases(model: ModelProto) -> ModelProto:
    """The graph whose convolutions with a constant float16 bias are each followed by an Add of it.

    In exact arithmetic the result is the same; in float16 it is rounded once more, before the Add.
    Every other node is as it was, and so is the name of every tensor that others read.
    """
    biases = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT16
    }
    ranks = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    nodes: list[NodeProto] = []
    constants: dict[str, TensorProto] = {}
    for node in model.graph.node:
        if not _has_bias(node, biases, ranks):
            nodes.append(node)
            continue
        bias, rank = node.input[2], ranks[node.input[1]]
        per_channel = f"{bias}/{rank}d"  # convolutions of several ranks may share a bias
        constants[per_channel] = _per_channel(biases[bias], rank, per_channel)
        nodes += _apart(node, per_channel)
    return rebuilt(model, nodes, list(constants.values()))


def _has_bias(node: NodeProto, biases: dict[str, np.ndarray], ranks: dict[str, int]) -> bool:
    """Whether it is a convolution with constant weights and a constant float16 bias."""
    if node.op_type != "Conv" or len(node.input) < _WITH_BIAS:
        return False
    return node.input[2] in biases and node.input[1] in ranks


def _per_channel(bias: np.ndarray, rank: int, name: str) -> TensorProto:
    """The bias, float16 (C,), as a constant of shape (1, C, 1, ...) with `rank` dimensions."""
    spatial = (1,) * (rank - _ROWS_AND_CHANNELS)
    return numpy_helper.from_array(bias.reshape(1, -1, *spatial), name)


def _apart(node: NodeProto, bias: str) -> tuple[NodeProto, NodeProto]:
    """The convolution without its bias, and the addition that gives its output."""
    (output,) = node.output
    convolution = NodeProto()
    convolution.CopyFrom(node)
    convolution.input[:] = node.input[:2]
    convolution.output[:] = [f"{output}/unbiased"]
    added = helper.make_node("Add", [f"{output}/unbiased", bias], [output], name=f"{output}/bias")
    return convolution, added
