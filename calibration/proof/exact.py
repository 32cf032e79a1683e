"""Integer graphs run on this CPU with the sums that any other CPU or GPU would compute."""

from typing import TYPE_CHECKING

from onnx import ModelProto, TensorProto

from export.execution import session_from, session_options
from vexas_edge.host.cpu import has_vnni
from vexas_edge.host.libraries import load_library

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

onnxruntime = load_library("onnxruntime")


def exact_session(graph: ModelProto | bytes) -> "InferenceSession":
    """A session in which no sum of signed 8-bit products saturates.

    Without VNNI, onnxruntime's integer kernels for signed activations saturate, just as those for
    8-bit weights do. There such a graph is run one operator at a time: dequantised values are then
    multiplied and summed in float32, which holds these sums, as slowly as the float32 graph runs.
    """
    options = session_options()
    if not has_vnni() and has_signed_activations(graph):
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return session_from(graph, options)


def has_signed_activations(graph: ModelProto | bytes) -> bool:
    """Whether the graph quantises activations to int8, as graphs for TensorRT do."""
    model = graph if isinstance(graph, ModelProto) else ModelProto.FromString(graph)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return any(
        node.op_type == "QuantizeLinear" and kinds.get(node.input[2]) == TensorProto.INT8
        for node in model.graph.node
    )
