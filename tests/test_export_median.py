"""The median as a graph: numpy's, bit for bit, for every number of cells."""

import numpy as np
import pytest
from onnx import TensorProto

from export.graph import GraphBuilder, tensor
from export.median import LARGEST_NETWORK, add_median
from vexas_edge.host.libraries import load_library

onnxruntime = load_library("onnxruntime")

N_CELLS, N_DRAWS, WIDTH = 50, 20, 6


def median_graph(draw_size: int) -> bytes:
    graph = GraphBuilder()
    median = add_median(graph, "encodings", "draws", draw_size)
    graph.node("Identity", median, output="aggregates")
    inputs = [
        tensor("encodings", TensorProto.FLOAT, ["N", WIDTH]),
        tensor("draws", TensorProto.INT64, ["A", draw_size]),
    ]
    outputs = [tensor("aggregates", TensorProto.FLOAT, ["A", WIDTH])]
    return graph.model("median", inputs, outputs).SerializeToString()


def drawn(rng: np.random.Generator, draw_size: int) -> dict[str, np.ndarray]:
    """Encodings with ties, both signs and magnitudes far apart, and draws that repeat cells."""
    encodings = rng.normal(size=(N_CELLS, WIDTH)) * 10.0 ** rng.integers(-6, 6, (N_CELLS, 1))
    encodings[:5] = encodings[5:10]
    draws = rng.integers(0, N_CELLS, (N_DRAWS, draw_size))
    return {"encodings": encodings.astype(np.float32), "draws": draws}


@pytest.mark.parametrize("draw_size", [*range(1, 34), 40])
def test_median_equals_numpys_bit_for_bit(draw_size: int) -> None:
    feeds = drawn(np.random.default_rng(draw_size), draw_size)
    (found,) = onnxruntime.InferenceSession(median_graph(draw_size)).run(None, feeds)
    expected = np.median(feeds["encodings"][feeds["draws"]], axis=1)
    assert found.dtype == expected.dtype == np.float32
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


def test_only_large_draws_are_sorted_by_topk() -> None:
    assert b"TopK" not in median_graph(LARGEST_NETWORK)
    assert b"TopK" in median_graph(LARGEST_NETWORK + 1)
