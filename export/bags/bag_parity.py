"""Proves that a bag's head gives what its network gives in torch."""

from typing import Any

import numpy as np
from onnx import ModelProto

from export.bags.bag_file import TrainedBag
from export.bags.bag_outputs import outputs_of
from export.comparing import compared
from export.execution import run_graph
from vexas_edge.bundle.contract import (
    CELL_LOGITS,
    COVARIATES,
    DECISIONS,
    ENCODINGS,
    PROBABILITIES,
)

_TOLERANCE = 1e-5  # of weights and probabilities
_LOGIT_TOLERANCE = 1e-4  # as a share of the largest logit, which is at least 1


def bag_parity(
    graph: ModelProto, encodings: np.ndarray, covariates: np.ndarray, bag: TrainedBag
) -> tuple[dict[str, Any], np.ndarray]:
    """The head's differences from torch on all of these cells and on a single one.

    Args:
        encodings: float32 (N, D), N of at least 2, in the order of the bag.
        covariates: float32 (1, M), standardised.

    Returns:
        The largest differences, and the probabilities of all the cells, float32 (1, 2).

    Raises:
        ParityError: an output differs.
    """
    measured: dict[str, float] = {}
    for n in (1, len(encodings)):
        given = {ENCODINGS: encodings[:n], COVARIATES: covariates}
        names = [value.name for value in graph.graph.input]
        outputs = run_graph(graph, {name: given[name] for name in names})
        for name, expected in outputs_of(bag, encodings[:n], covariates).items():
            allowed = _TOLERANCE
            if name in (CELL_LOGITS, DECISIONS):
                allowed = _LOGIT_TOLERANCE * max(1.0, float(np.abs(expected).max()))
            found = compared(name, outputs[name], expected, allowed)
            measured[name] = max(measured.get(name, 0.0), found)
    return measured, outputs[PROBABILITIES]
