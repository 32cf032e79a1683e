"""Runs graphs on this CPU in the precision that they claim."""

from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto

from calibration.fp16 import LARGEST, emulated_half_precision
from calibration.gate.samples import BATCH
from calibration.proof.exact import exact_session
from export.execution import session_from, session_options
from vexas_edge.bundle.contract import ENCODINGS, GraphContract
from vexas_edge.host.libraries import load_library

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

onnxruntime = load_library("onnxruntime")


def encoded_by(
    session: "InferenceSession", contract: GraphContract, pixels: np.ndarray
) -> tuple[np.ndarray, float | None]:
    """Encodings float32 (N, D) of cells by a graph, and its largest activation if that is measured.

    Args:
        contract: of the fused graph.
        pixels: uint8 (N, H, W, 3).
    """
    names = [output.name for output in session.get_outputs()]
    wanted = [name for name in (ENCODINGS, LARGEST) if name in names]
    outputs = [
        session.run(wanted, contract.feeds_of_cells(pixels[start : start + BATCH]))
        for start in range(0, len(pixels), BATCH)
    ]
    # np.max, since Python's max may ignore NaN.
    largest = float(np.max([output[1] for output in outputs])) if LARGEST in names else None
    return np.concatenate([output[0] for output in outputs]), largest


def session_of(kind: str, graph: ModelProto | bytes) -> "InferenceSession":
    """A session on this CPU that computes in the graph's precision, for fp16 by emulation."""
    if kind != "fp16":
        return exact_session(graph)
    half = ModelProto.FromString(graph) if isinstance(graph, bytes) else graph
    options = session_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return session_from(emulated_half_precision(half), options)
