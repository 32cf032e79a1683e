"""The two graphs that ship for a model: cells to probabilities in one call, and the exact head."""

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto

from export.classifier import Classifier, onnx_from_classifier
from export.graph import GraphBuilder, tensor
from export.median import add_median
from export.preprocessing import Preprocessing, add_preprocessing

# Encodings are divided by max(norm, this), as torch.nn.functional.normalize does.
SMALLEST_NORM = 1e-12


def fuse_graphs(
    encoder: ModelProto,
    classifier: Classifier,
    preprocessing: Preprocessing,
    *,
    canvas_px: int,
    draw_size: int,
) -> ModelProto:
    """Cells and draws to encodings, probabilities and decisions, all float32, in one graph.

    Requires an encoder of one input float32 (N, 3, H, W) and one output (N, D), from
    `export.encoder`. Ensures the design's input and output names, types and shapes. The inner
    tensors `pixels`, `embedding` and `aggregates` keep these names, for parity to look at.
    """
    n_features = embedding_width(encoder)
    graph = GraphBuilder()
    cells, encodings = _add_encodings(graph, encoder, preprocessing, canvas_px)
    aggregates = graph.rename(add_median(graph, "encodings", "draws", draw_size), "aggregates")
    _add_classifier(graph, aggregates, onnx_from_classifier(classifier, n_features, np.float32))
    return graph.model("fused", [cells, _draws(draw_size)], [encodings, *_results(classifier)])


def encoding_graph(
    encoder: ModelProto, preprocessing: Preprocessing, *, canvas_px: int
) -> ModelProto:
    """The part of the fused graph that comes before any classifier: `cells` to `encodings`."""
    graph = GraphBuilder()
    cells, encodings = _add_encodings(graph, encoder, preprocessing, canvas_px)
    return graph.model("encoding", [cells], [encodings])


def head_from_classifier(classifier: Classifier, *, n_features: int, draw_size: int) -> ModelProto:
    """Encodings and draws to probabilities and decisions: the graph that every score comes from.

    The sum over support vectors and all that follows it is in float64.
    """
    graph = GraphBuilder()
    aggregates = graph.rename(add_median(graph, "encodings", "draws", draw_size), "aggregates")
    _add_classifier(graph, aggregates, onnx_from_classifier(classifier, n_features, np.float64))
    encodings = tensor("encodings", TensorProto.FLOAT, ["N", n_features])
    return graph.model("head", [encodings, _draws(draw_size)], _results(classifier))


def embedding_width(encoder: ModelProto) -> int:
    """D, the number of features that an encoder gives for a cell."""
    return encoder.graph.output[0].type.tensor_type.shape.dim[1].dim_value


def _add_encodings(
    graph: GraphBuilder, encoder: ModelProto, preprocessing: Preprocessing, canvas_px: int
) -> tuple[ValueInfoProto, ValueInfoProto]:
    """Nodes from `cells` to `encodings`; gives both, to be the graph's input and output."""
    pixels = add_preprocessing(graph, "cells", preprocessing, canvas_px)
    pixels = graph.rename(pixels, "pixels")
    outputs = graph.place(encoder, "encoder", {encoder.graph.input[0].name: pixels})
    embedding = graph.rename(outputs[encoder.graph.output[0].name], "embedding")
    _add_normalised(graph, embedding, "encodings")
    cells = tensor("cells", TensorProto.UINT8, ["N", canvas_px, canvas_px, 3])
    return cells, tensor("encodings", TensorProto.FLOAT, ["N", embedding_width(encoder)])


def _add_normalised(graph: GraphBuilder, embedding: str, output: str) -> None:
    norm = graph.node("ReduceL2", embedding, graph.columns(1), keepdims=1)
    norm = graph.node("Max", norm, graph.constant(SMALLEST_NORM, np.float32))
    graph.node("Div", embedding, norm, output=output)


def _add_classifier(graph: GraphBuilder, aggregates: str, model: ModelProto) -> None:
    outputs = graph.place(model, "classifier", {"features": aggregates})
    for name in ("probabilities", "decisions"):
        graph.node("Cast", outputs[name], output=name, to=TensorProto.FLOAT)


def _draws(draw_size: int) -> ValueInfoProto:
    return tensor("draws", TensorProto.INT64, ["A", draw_size])


def _results(classifier: Classifier) -> list[ValueInfoProto]:
    n_classes = len(classifier.classes_)
    return [
        tensor("probabilities", TensorProto.FLOAT, ["A", n_classes]),
        tensor("decisions", TensorProto.FLOAT, ["A", n_classes * (n_classes - 1) // 2]),
    ]
