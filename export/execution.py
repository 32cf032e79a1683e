"""Runs graphs while they are being made: onnxruntime on the CPU, without its log."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto

from vexas_edge.host.libraries import load_library

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

onnxruntime = load_library("onnxruntime")

_ERRORS_ARE_RAISED = 4  # so onnxruntime need not print them too


def session_options() -> "SessionOptions":
    """Session options that keep onnxruntime's log off the console."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ARE_RAISED
    return options


def session_from(
    graph: ModelProto | bytes, options: "SessionOptions | None" = None
) -> "InferenceSession":
    """A session for the graph, on the CPU."""
    source = graph.SerializeToString() if isinstance(graph, ModelProto) else graph
    return onnxruntime.InferenceSession(
        source, options or session_options(), providers=["CPUExecutionProvider"]
    )


def run_graph(graph: ModelProto | bytes, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs of a graph by name.

    Args:
        values: by name, for every input of the graph; those that it does not take are left out.
    """
    return run_session(session_from(graph), values)


def run_session(
    session: "InferenceSession", values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """All outputs of a loaded graph by name, for values as `run_graph` takes them."""
    names = [output.name for output in session.get_outputs()]
    feeds = {given.name: values[given.name] for given in session.get_inputs()}
    return dict(zip(names, session.run(names, feeds), strict=True))


def run_in_parts(
    graph: ModelProto | bytes, rows: np.ndarray, rows_per_call: int = 8
) -> dict[str, np.ndarray]:
    """All outputs, by name, of a graph with one input, run a few rows at a time to bound memory.

    Args:
        rows: (n, ...), at least one.
    """
    session = session_from(graph)
    source = session.get_inputs()[0].name
    names = [output.name for output in session.get_outputs()]
    parts = [
        session.run(names, {source: rows[i : i + rows_per_call]})
        for i in range(0, len(rows), rows_per_call)
    ]
    outputs = (np.concatenate(part) for part in zip(*parts, strict=True))
    return dict(zip(names, outputs, strict=True))
