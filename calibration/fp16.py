"""Half precision, written in the graph: the encoder in float16, everything around it in float32."""

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from calibration.region import Region, encoder_region, float_constants
from export.graph import rebuilt
from vexas_edge.errors import BundleError

# No activation on the gate's cells may be larger: half of what float16 can hold.
LARGEST_ACTIVATION = 32_768.0

# The emulation's output that it is read from.
LARGEST = "largest_activation"

LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


def half_precision(model: ModelProto) -> ModelProto:
    """The fused graph with its encoder in float16: casts at its entry and exit, weights converted.

    Raises:
        BundleError: no fused graph, an unknown operator, or a weight that float16 cannot hold.
    """
    region = encoder_region(model)
    weights = _half_weights(model, region)
    halves = {name: f"{name}/float16" for name in (*region.tensors(), *weights)}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        inside = node in region.nodes
        nodes.append(_renamed(node, halves, halves) if inside else node)
        if region.entry in node.output:
            nodes.append(_cast(region.entry, halves[region.entry], TensorProto.FLOAT16))
        if region.exit in node.output:
            nodes.append(_cast(halves[region.exit], region.exit, TensorProto.FLOAT))
    constants = [numpy_helper.from_array(half, halves[name]) for name, half in weights.items()]
    return rebuilt(model, nodes, constants)


def emulated_half_precision(model: ModelProto) -> ModelProto:
    """The fused graph in float32 that rounds weights and every encoder activation to float16.

    Run it with graph optimisation off: onnxruntime's CPU provider executes float16 files in
    float32, so their own outputs prove nothing, and its optimiser takes such casts away. A further
    output, float32 (), is the largest magnitude of any rounded activation.
    """
    region = encoder_region(model)
    weights = _half_weights(model, region)
    rounded = {name: f"{name}/rounded" for name in weights}
    raw = {name: f"{name}/raw" for name in region.tensors()}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        nodes.append(_renamed(node, rounded if node in region.nodes else {}, raw))
        for name in set(node.output).intersection(raw):
            nodes.append(_cast(raw[name], f"{name}/float16", TensorProto.FLOAT16))
            nodes.append(_cast(f"{name}/float16", name, TensorProto.FLOAT))
    extremes = []
    for name in region.tensors():
        extremes.append(f"{name}/largest")
        nodes.append(_node("Abs", [name], f"{name}/magnitude"))
        nodes.append(_node("ReduceMax", [f"{name}/magnitude"], extremes[-1], keepdims=0))
    nodes.append(_node("Max", extremes, LARGEST))
    watched = ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.append(helper.make_tensor_value_info(LARGEST, TensorProto.FLOAT, []))
    constants = [
        numpy_helper.from_array(half.astype(np.float32), rounded[name])
        for name, half in weights.items()
    ]
    return rebuilt(watched, nodes, constants)


def _half_weights(model: ModelProto, region: Region) -> dict[str, np.ndarray]:
    """The float32 constants that the region's nodes take, as float16, by name."""
    constants = float_constants(model)
    used = {name for node in region.nodes for name in node.input if name in constants}
    weights = {name: numpy_helper.to_array(constants[name]) for name in sorted(used)}
    for name, values in weights.items():
        largest = float(np.abs(values).max()) if values.size else 0.0
        if largest > LARGEST_FLOAT16:
            raise BundleError(f"weight {name} reaches {largest:.3g}, more than float16 can hold")
    return {name: values.astype(np.float16) for name, values in weights.items()}


def _renamed(node: NodeProto, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [inputs.get(name, name) for name in node.input]
    copy.output[:] = [outputs.get(name, name) for name in node.output]
    return copy


def _cast(source: str, target: str, to: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}/cast", to=to)


def _node(operator: str, inputs: Sequence[str], output: str, **attributes: int) -> NodeProto:
    return helper.make_node(operator, inputs, [output], name=output, **attributes)
