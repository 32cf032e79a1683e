"""Builds ONNX graphs: nodes, constants, and other models inserted as parts."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, inliner, numpy_helper

from vexas_edge.bundle.contract import GraphContract
from vexas_edge.bundle.operators import OPERATORS
from vexas_edge.errors import InputError

# Stated, since onnx's defaults are newer than what onnxruntime, TensorRT and skl2onnx support.
OPSET = 18
IR_VERSION = 10


class GraphBuilder:
    """Collects standard ONNX nodes and constants; every method returns tensor names."""

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._prefix = prefix
        self._names = 0
        self._renamed: set[str] = set()

    def node(
        self,
        operator: str,
        *inputs: str,
        output: str = "",
        unused_outputs: int = 0,
        **attributes: Any,
    ) -> str:
        """Add a node; returns the name of its first output."""
        output = output or self._new_name(operator)
        outputs = [output, *(f"{output}_unused_{i}" for i in range(unused_outputs))]
        self.nodes.append(
            helper.make_node(operator, list(inputs), outputs, name=output, **attributes)
        )
        return output

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Add an initializer that holds `value`, of any shape; returns its name."""
        name = self._new_name("constant")
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def columns(self, *indices: int) -> str:
        """Add an int64 constant, for the axes or indices of Gather, ReduceSum and the like."""
        return self.constant(indices, np.int64)

    def rename(self, old: str, new: str) -> str:
        """Rename a tensor that a node here computes; the finished model keeps the new name."""
        self._renamed.add(new)
        for node in self.nodes:
            for names in (node.input, node.output):
                for position, name in enumerate(names):
                    if name == old:
                        names[position] = new
        return new

    def place(self, model: ModelProto, name: str, inputs: Mapping[str, str]) -> dict[str, str]:
        """Insert a copy of `model`; returns the new names of its outputs by their old names.

        Args:
            model: a graph from `standard_model`.
            name: the prefix of its tensors' new names.
            inputs: the tensor here that feeds it, per input of the model.
        """
        prefix = f"{self._prefix}{name}/"
        copy = onnx.compose.add_prefix(model, prefix)
        for old, new in inputs.items():
            self.nodes.append(
                helper.make_node("Identity", [new], [prefix + old], name=prefix + old)
            )
        self.nodes.extend(copy.graph.node)
        self.initializers.extend(copy.graph.initializer)
        return {value.name: prefix + value.name for value in model.graph.output}

    def model(
        self, name: str, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]
    ) -> ModelProto:
        """The finished model at our opset and IR version, checked, without dead nodes."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.initializers)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="vexas-edge",
        )
        model = without_dead_nodes(without_identities(model, keep=self._renamed))
        onnx.checker.check_model(model, full_check=True)
        return model

    def _new_name(self, stem: str) -> str:
        self._names += 1
        return f"{self._prefix}{stem}_{self._names}"


def tensor(name: str, dtype: int, shape: Sequence[int | str]) -> ValueInfoProto:
    """The declaration of a graph's input or output; a name in `shape` is a free dimension."""
    return helper.make_tensor_value_info(name, dtype, list(shape))


def declared(contract: GraphContract) -> tuple[list[ValueInfoProto], list[ValueInfoProto]]:
    """The declarations of a contract's inputs and outputs."""
    inputs, outputs = (
        [
            tensor(
                t.name, helper.np_dtype_to_tensor_dtype(np.dtype(t.dtype)), [t.rows, *t.row_shape]
            )
            for t in tensors
        ]
        for tensors in (contract.inputs, contract.outputs)
    )
    return inputs, outputs


def standard_model(model: ModelProto, source: str) -> ModelProto:
    """The same model in standard operators at our opset, without metadata and doc strings.

    Exporters leave stack traces there, with paths of the machine that they ran on.

    Raises:
        InputError: it uses operators of another domain or such as a bundle's graphs may not, or
            cannot be converted to our opset.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    foreign = sorted(
        {f"{n.domain}::{n.op_type}" for n in model.graph.node if n.domain not in ("", "ai.onnx")}
    )
    if foreign:
        raise InputError(
            f"{source} uses operators outside the ONNX standard: {', '.join(foreign[:5])}. "
            "Export it with standard operators only, so that every engine can run it"
        )
    versions = {o.domain: o.version for o in model.opset_import}
    if versions.get("", versions.get("ai.onnx")) != OPSET:
        model = _converted(model, source)
    if unlisted := sorted({node.op_type for node in model.graph.node} - OPERATORS):
        raise InputError(
            f"{source} uses operators that no graph of a bundle may: {', '.join(unlisted[:5])}. "
            "Export it without them: for one size of images, in evaluation mode"
        )
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.opset_import[:]
    copy.opset_import.append(helper.make_opsetid("", OPSET))
    copy.ir_version = IR_VERSION
    for part in (*copy.graph.node, *copy.graph.initializer, copy.graph):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return copy


def _converted(model: ModelProto, source: str) -> ModelProto:
    # Older IR versions list every initializer among the inputs, too.
    constants = {tensor.name for tensor in model.graph.initializer}
    free = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(free)
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:
        raise InputError(
            f"{source} cannot be converted to opset {OPSET} ({error}); export it at opset {OPSET}"
        ) from error


def without_identities(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """The same model without Identity nodes, except those whose output is the graph's or kept."""
    outputs = {value.name for value in model.graph.output}.union(keep)
    bypass: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = bypass.get(name, name)
        if node.op_type == "Identity" and node.output[0] not in outputs:
            bypass[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    return _with_nodes(model, kept)


def without_dead_nodes(model: ModelProto) -> ModelProto:
    """The same model without the nodes and initializers that no graph output depends on."""
    needed = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return _with_nodes(model, kept[::-1], needed)


def between(model: ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> ModelProto:
    """The part of the model that computes `outputs` from `inputs`, which may be inner tensors."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    known = {v.name: v for v in [*inferred.value_info, *inferred.input, *inferred.output]}
    copy = ModelProto()
    copy.CopyFrom(model)
    makers = [node for node in copy.graph.node if not set(inputs).intersection(node.output)]
    graph = helper.make_graph(
        makers,
        copy.graph.name,
        [known[name] for name in inputs],
        [known[name] for name in outputs],
        copy.graph.initializer,
    )
    copy.graph.CopyFrom(graph)
    return without_dead_nodes(copy)


def rebuilt(
    model: ModelProto, nodes: Sequence[onnx.NodeProto], constants: Sequence[TensorProto]
) -> ModelProto:
    """The model with these nodes instead of its own and with more constants, checked.

    Nodes and constants that no output depends on are dropped.
    """
    graph = model.graph
    constants = [*graph.initializer, *constants]
    copy = ModelProto()
    copy.CopyFrom(model)
    copy.graph.CopyFrom(helper.make_graph(nodes, graph.name, graph.input, graph.output, constants))
    copy = without_dead_nodes(copy)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def _with_nodes(
    model: ModelProto, nodes: Sequence[onnx.NodeProto], needed: set[str] | None = None
) -> ModelProto:
    graph = model.graph
    initializers = [t for t in graph.initializer if needed is None or t.name in needed]
    copy = ModelProto()
    copy.CopyFrom(model)
    copy.graph.CopyFrom(
        helper.make_graph(nodes, graph.name, graph.input, graph.output, initializers)
    )
    return copy
