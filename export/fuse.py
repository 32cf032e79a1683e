"""The two graphs that a model ships: one from cells to probabilities, and the exact head alone."""

import hashlib

import numpy as np
from onnx import ModelProto

from export.graph import GraphBuilder, between, declared
from export.heads import Head
from export.scaling import InputScaling
from vexas_edge.bundle.contract import (
    CELLS,
    EMBEDDING,
    ENCODINGS,
    SCALED,
    encoding_contract,
    fused_contract,
    head_contract,
)
from vexas_edge.bundle.models import EncodingKind

# Encodings are divided by max(norm, this), as torch.nn.functional.normalize does.
SMALLEST_NORM = 1e-12


def fuse_graphs(
    encoder: ModelProto, head: Head, scaling: InputScaling, *, encoding: EncodingKind
) -> ModelProto:
    """One graph from cells to encodings, probabilities and decisions, all float32.

    Inputs and outputs are those of `fused_contract`. The inner tensors `scaled`, `embedding` and
    `aggregates` keep these names, so that `export.parity` can compare them.

    Args:
        encoder: one input, float32 (N, 3, H, W) or (N, G), and one output, (N, D).
        encoding: what the head was fitted on.
    """
    graph = GraphBuilder()
    _add_encodings(graph, encoder, scaling, encoding)
    head.add(graph, ENCODINGS, np.float32, fused=True)
    return graph.model("fused", *declared(fused_contract(scaling.cells, head.sizes)))


def encoding_graph(encoder: ModelProto, scaling: InputScaling) -> ModelProto:
    """The part of the fused graph before the classifier, from `cells` to L2-normalised `encodings`.

    The workshop fits on these.
    """
    contract = encoding_contract(scaling.cells, embedding_width(encoder))
    graph = GraphBuilder()
    _add_encodings(graph, encoder, scaling, "l2")
    return graph.model("encoding", *declared(contract))


def head_graph(head: Head) -> ModelProto:
    """The graph that every score comes from: encodings to probabilities and decisions.

    Its long sums, and everything after them, are computed in float64.
    """
    graph = GraphBuilder()
    head.add(graph, ENCODINGS, np.float64, fused=False)
    return graph.model("head", *declared(head_contract(head.sizes)))


def encoder_sha256(fused: ModelProto) -> str:
    """The hash of a fused graph's part from cells to encodings.

    Graphs that have the same give the same encodings, whatever follows these.
    """
    part = between(fused, [CELLS], [ENCODINGS])
    return hashlib.sha256(part.SerializeToString(deterministic=True)).hexdigest()


def embedding_width(encoder: ModelProto) -> int:
    """D, the number of features that an encoder returns per cell."""
    return encoder.graph.output[0].type.tensor_type.shape.dim[1].dim_value


def _add_encodings(
    graph: GraphBuilder, encoder: ModelProto, scaling: InputScaling, encoding: EncodingKind
) -> None:
    """Add the nodes from cells to encodings."""
    scaled = graph.rename(scaling.add(graph, CELLS), SCALED)
    outputs = graph.place(encoder, "encoder", {encoder.graph.input[0].name: scaled})
    embedding = graph.rename(outputs[encoder.graph.output[0].name], EMBEDDING)
    if encoding == "l2":
        _add_normalised(graph, embedding, ENCODINGS)
    else:
        graph.node("Identity", embedding, output=ENCODINGS)


def _add_normalised(graph: GraphBuilder, embedding: str, output: str) -> None:
    norm = graph.node("ReduceL2", embedding, graph.columns(1), keepdims=1)
    norm = graph.node("Max", norm, graph.constant(SMALLEST_NORM, np.float32))
    graph.node("Div", embedding, norm, output=output)
