"""The two graphs that a model ships: one from cells to probabilities, and the exact head alone."""

import numpy as np
from onnx import ModelProto, TensorProto

from export.classifier import Classifier, onnx_from_classifier
from export.graph import GraphBuilder, declared
from export.median import add_median
from export.preprocessing import Preprocessing, add_preprocessing
from vexas_edge.bundle.contract import (
    AGGREGATES,
    CELLS,
    DECISIONS,
    DRAWS,
    EMBEDDING,
    ENCODINGS,
    FEATURES,
    PIXELS,
    PROBABILITIES,
    encoding_contract,
    fused_contract,
    head_contract,
)
from vexas_edge.bundle.manifest import EncodingKind

# Encodings are divided by max(norm, this), as torch.nn.functional.normalize does.
SMALLEST_NORM = 1e-12


def fuse_graphs(
    encoder: ModelProto,
    classifier: Classifier,
    preprocessing: Preprocessing,
    *,
    encoding: EncodingKind,
    canvas_px: int,
    draw_size: int,
) -> ModelProto:
    """One graph from cells and draws to encodings, probabilities and decisions, all float32.

    Inputs and outputs are those of `fused_contract`. The inner tensors `pixels`, `embedding` and
    `aggregates` keep these names, so that `export.parity` can compare them.

    Args:
        encoder: from `export.encoder`: one input float32 (N, 3, H, W), one output (N, D).
        encoding: what the classifier was fitted on.
    """
    n_features = embedding_width(encoder)
    graph = GraphBuilder()
    contract = fused_contract(
        canvas_px=canvas_px,
        draw_size=draw_size,
        encoding_width=n_features,
        n_classes=len(classifier.classes_),
    )
    _add_encodings(graph, encoder, preprocessing, encoding, canvas_px)
    _add_head(graph, classifier, n_features, draw_size, np.float32)
    return graph.model("fused", *declared(contract))


def encoding_graph(
    encoder: ModelProto, preprocessing: Preprocessing, *, canvas_px: int
) -> ModelProto:
    """The part of the fused graph before the classifier, from `cells` to L2-normalised `encodings`.

    The workshop fits on these.
    """
    contract = encoding_contract(canvas_px=canvas_px, encoding_width=embedding_width(encoder))
    graph = GraphBuilder()
    _add_encodings(graph, encoder, preprocessing, "l2", canvas_px)
    return graph.model("encoding", *declared(contract))


def head_from_classifier(classifier: Classifier, *, n_features: int, draw_size: int) -> ModelProto:
    """The graph that every score comes from: encodings and draws to probabilities and decisions.

    The sum over support vectors and everything after it are computed in float64.
    """
    contract = head_contract(
        draw_size=draw_size, encoding_width=n_features, n_classes=len(classifier.classes_)
    )
    graph = GraphBuilder()
    _add_head(graph, classifier, n_features, draw_size, np.float64)
    return graph.model("head", *declared(contract))


def embedding_width(encoder: ModelProto) -> int:
    """D, the number of features that an encoder returns per cell."""
    return encoder.graph.output[0].type.tensor_type.shape.dim[1].dim_value


def _add_encodings(
    graph: GraphBuilder,
    encoder: ModelProto,
    preprocessing: Preprocessing,
    encoding: EncodingKind,
    canvas_px: int,
) -> None:
    """Add the nodes from cells to encodings."""
    pixels = graph.rename(add_preprocessing(graph, CELLS, preprocessing, canvas_px), PIXELS)
    outputs = graph.place(encoder, "encoder", {encoder.graph.input[0].name: pixels})
    embedding = graph.rename(outputs[encoder.graph.output[0].name], EMBEDDING)
    if encoding == "l2":
        _add_normalised(graph, embedding, ENCODINGS)
    else:
        graph.node("Identity", embedding, output=ENCODINGS)


def _add_normalised(graph: GraphBuilder, embedding: str, output: str) -> None:
    norm = graph.node("ReduceL2", embedding, graph.columns(1), keepdims=1)
    norm = graph.node("Max", norm, graph.constant(SMALLEST_NORM, np.float32))
    graph.node("Div", embedding, norm, output=output)


def _add_head(
    graph: GraphBuilder, classifier: Classifier, n_features: int, draw_size: int, accumulate: type
) -> None:
    """Add the nodes from encodings and draws to probabilities and decisions."""
    median = add_median(graph, ENCODINGS, DRAWS, draw_size)
    aggregates = graph.rename(median, AGGREGATES)
    model = onnx_from_classifier(classifier, n_features, accumulate)
    outputs = graph.place(model, "classifier", {FEATURES: aggregates})
    for name in (PROBABILITIES, DECISIONS):
        graph.node("Cast", outputs[name], output=name, to=TensorProto.FLOAT)
