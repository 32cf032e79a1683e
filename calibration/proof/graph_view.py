"""Looks up, for a tensor of a graph, the node that makes it, its users, its type and its value."""

import onnx
from onnx import ModelProto

from calibration.region import users_of


class GraphView:
    """Constants, makers, users and element types of a model's tensors, by their names."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.nodes = list(model.graph.node)
        self.constants = {t.name: t for t in model.graph.initializer}
        self.constants |= {
            node.output[0]: attribute.t
            for node in self.nodes
            if node.op_type == "Constant"
            for attribute in node.attribute
            if attribute.name == "value"
        }
        self.users = users_of(model)
        self.maker = {name: node for node in self.nodes for name in node.output}
        self.types = _element_types(model)

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is a constant or a quantised constant."""
        maker = self.maker.get(name)
        if maker is not None and maker.op_type == "QuantizeLinear":
            return self.is_constant(maker.input[0])
        return name in self.constants

    def rank(self, name: str) -> int:
        """The number of dimensions of a constant or quantised constant."""
        maker = self.maker.get(name)
        if maker is not None and maker.op_type == "QuantizeLinear":
            return self.rank(maker.input[0])
        return len(self.constants[name].dims)

    def downstream(self, name: str) -> set[str]:
        """The tensor and every tensor that is computed from it."""
        reached, pending = {name}, [name]
        while pending:
            for node in self.users.get(pending.pop(), ()):
                new = set(node.output) - reached
                reached |= new
                pending += new
        return reached


def _element_types(model: ModelProto) -> dict[str, int]:
    """The element type of every tensor whose type is known."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model).graph
    except onnx.shape_inference.InferenceError:  # operators of a domain that onnx does not know
        inferred = model.graph
    values = [*inferred.input, *inferred.output, *inferred.value_info]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {t.name: t.data_type for t in model.graph.initializer}
