"""Writes half precision into a graph: the encoder in float16, everything else in float32."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from calibration.outer_biases import with_outer_biases
from calibration.region import Region, encoder_region, float_constants
from export.graph import rebuilt
from vexas_edge.errors import BundleError

# The largest activation allowed on the gate's cells: half of what float16 can hold.
LARGEST_ACTIVATION = 32_768.0
# The emulation's output that holds the largest activation.
LARGEST = "largest_activation"

LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


def half_precision(model: ModelProto) -> ModelProto:
    """The fused graph with its encoder in float16, with casts where the encoder starts and ends.

    The biases of its convolutions stand outside them, which is faster on CUDA.

    Raises:
        BundleError: it is not a fused graph, has an unknown operator, or a weight that float16
            cannot hold.
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
    return with_outer_biases(rebuilt(model, nodes, constants))


def emulated_half_precision(half: ModelProto) -> ModelProto:
    """A float32 graph with the results of a float16 graph: it rounds wherever that has float16.

    It is needed because onnxruntime's CPU provider executes float16 files in float32, so their own
    outputs prove nothing. Run it with graph optimisation off, as the optimiser removes such casts.
    A further output, float32 (), is the largest magnitude of any float16 activation, or NaN if one
    is NaN.

    Args:
        half: the graph that is judged, with its own weights and casts.
    """
    known = onnx.shape_inference.infer_shapes(half).graph.value_info
    halves = {v.name for v in known if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    nodes: list[NodeProto] = []
    extremes, faults = [], []
    for node in half.graph.node:
        rounded = halves.intersection(node.output)
        copy = _renamed(node, {}, {name: f"{name}/exact" for name in rounded})
        if node.op_type == "Cast" and (rounded or halves.intersection(node.input)):
            copy = helper.make_node("Identity", copy.input, copy.output, name=node.name)
        nodes.append(copy)
        for name in rounded:
            half_width = f"{name}/rounded"
            nodes.append(_node("Cast", [f"{name}/exact"], half_width, to=TensorProto.FLOAT16))
            nodes.append(_node("Cast", [half_width], name, to=TensorProto.FLOAT))
            nodes.append(_node("Abs", [name], f"{name}/magnitude"))
            nodes.append(_node("ReduceMax", [f"{name}/magnitude"], f"{name}/largest", keepdims=0))
            # Zero, or NaN where a value is NaN, which ReduceMax ignores.
            nodes.append(_node("Sub", [name, name], f"{name}/zeros"))
            nodes.append(_node("ReduceSum", [f"{name}/zeros"], f"{name}/fault", keepdims=0))
            extremes.append(f"{name}/largest")
            faults.append(f"{name}/fault")
    nodes.append(_node("Max", extremes, f"{LARGEST}/finite"))
    nodes.append(_node("Sum", [f"{LARGEST}/finite", *faults], LARGEST))
    watched = _with_float32_weights(half)
    watched.graph.output.append(helper.make_tensor_value_info(LARGEST, TensorProto.FLOAT, []))
    return rebuilt(watched, nodes, [])


def _with_float32_weights(half: ModelProto) -> ModelProto:
    """The same graph with its float16 weights as float32 and without the other tensors' types."""
    model = ModelProto()
    model.CopyFrom(half)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            exact = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(exact, tensor.name))
    del model.graph.value_info[:]
    return model


def _half_weights(model: ModelProto, region: Region) -> dict[str, np.ndarray]:
    """The float32 constants of the region's nodes, converted to float16, by name."""
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
    node = helper.make_node(operator, inputs, [output], name=output)
    node.attribute.extend(helper.make_attribute(*named) for named in attributes.items())
    return node
