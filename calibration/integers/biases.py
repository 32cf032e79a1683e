"""Corrects biases for the mean errors that rounded activations bring.

Rounding is no noise where values are concentrated: a SiLU returns most of its values between -0.28
and 0, where a grid has only a few integers, and a convolution sums the errors. So each layer's
bias takes up the mean error of its outputs, channel by channel (Nagel et al. 2019, arXiv
1906.04721, section 4.2).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from onnx import ModelProto, TensorProto

from calibration.integers.layers import Layer
from calibration.integers.recipe import RoundedModel
from calibration.proof.exact import exact_session
from export.graph import GraphBuilder, tensor


def with_corrected_biases(rounded: RoundedModel, batches: Iterable[np.ndarray]) -> RoundedModel:
    """The same integer weights, with biases for which each layer's mean outputs are the exact ones.

    A layer's error is measured with the layers before it exact, but with all rounding between them
    and it. So one pass over the cells serves for all layers, and no error is corrected twice.

    Args:
        batches: of cells, a hundred or so in all.
    """
    found = rounded.calibration
    layers = {name: layer for name, layer in found.layers.items() if layer.node.op_type != "MatMul"}
    session = exact_session(_with_errors(found.model, rounded.graph(), layers))
    source = session.get_inputs()[0].name
    totals = {name: np.zeros_like(rounded.weights[name].bias) for name in layers}
    count = 0
    for cells in batches:
        for name, error in zip(layers, session.run(None, {source: cells}), strict=True):
            totals[name] += error * len(cells)
        count += len(cells)
    weights = dict(rounded.weights)
    for name, total in totals.items():
        weights[name] = replace(weights[name], bias=weights[name].bias - total / count)
    return replace(rounded, weights=weights)


def _with_errors(
    exact: ModelProto, integers: ModelProto, layers: Mapping[str, Layer]
) -> ModelProto:
    """Both graphs in one, with each layer's mean error per channel, float32 (C,), as an output.

    Each layer in integers is computed from what the exact layers before it return.
    """
    graph = GraphBuilder("errors/")
    graph.nodes.extend(exact.graph.node)
    graph.initializers.extend(exact.graph.initializer)
    source = exact.graph.input[0]
    graph.place(integers, "rounded", {source.name: source.name})
    forced = {f"errors/rounded/{name}": name for name in layers}
    for node in graph.nodes:
        node.input[:] = [forced.get(name, name) for name in node.input]
    outputs = []
    for rounded, name in forced.items():
        but_channels = (0, 2, 3) if layers[name].node.op_type == "Conv" else (0,)
        error = graph.node("Sub", rounded, name)
        mean = graph.node("ReduceMean", error, graph.columns(*but_channels), keepdims=0)
        outputs.append(tensor(mean, TensorProto.FLOAT, ["C"]))
    return graph.model("errors", [source], outputs)
