"""Graphs run while they are made: onnxruntime on the CPU, its own log kept off the console."""

import numpy as np
import onnxruntime
from onnx import ModelProto

_ERRORS_ARE_RAISED = 4  # so onnxruntime need not print them too


def session_options() -> onnxruntime.SessionOptions:
    """Options with onnxruntime's own log off."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ARE_RAISED
    return options


def session_from(
    graph: ModelProto | bytes, options: onnxruntime.SessionOptions | None = None
) -> onnxruntime.InferenceSession:
    """A session on the CPU."""
    source = graph.SerializeToString() if isinstance(graph, ModelProto) else graph
    return onnxruntime.InferenceSession(
        source, options or session_options(), providers=["CPUExecutionProvider"]
    )


def run_graph(graph: ModelProto | bytes, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs of a graph by name."""
    session = session_from(graph)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))
