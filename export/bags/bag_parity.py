"""Proves that a bag's head gives what its network gives in torch."""

from typing import Any

import numpy as np
from onnx import ModelProto
from scipy.special import expit

from export.bags.bag_file import Regression, TrainedBag
from export.comparing import compared
from export.execution import run_graph
from vexas_edge.bundle.contract import (
    CELL_LOGITS,
    CELL_WEIGHTS,
    COVARIATES,
    DECISIONS,
    ENCODINGS,
    IMAGE_PROBABILITIES,
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
        for name, expected in expected_outputs(bag, encodings[:n], covariates).items():
            allowed = _TOLERANCE
            if name in (CELL_LOGITS, DECISIONS):
                allowed = _LOGIT_TOLERANCE * max(1.0, float(np.abs(expected).max()))
            found = compared(name, outputs[name], expected, allowed)
            measured[name] = max(measured.get(name, 0.0), found)
    return measured, outputs[PROBABILITIES]


def expected_outputs(
    bag: TrainedBag, encodings: np.ndarray, covariates: np.ndarray
) -> dict[str, np.ndarray]:
    """What the network gives for the cells of one patient, by the names of the head's outputs."""
    import torch

    facts = bag.facts
    with torch.inference_mode():
        answers = bag.network.of_encodings(torch.from_numpy(encodings), [len(encodings)])
        logits, weights = answers.cells.double().numpy(), answers.weights.double().numpy()
        if facts.in_network:
            known = torch.from_numpy(covariates) @ bag.network.covariates
            logits = logits + known.double().numpy()
    joined = _joined(bag, facts.final, logits, covariates)
    total = (weights * joined).sum().reshape(1, 1)
    found = {
        CELL_LOGITS: joined[:, None],
        CELL_WEIGHTS: weights[:, None],
        DECISIONS: total,
        PROBABILITIES: np.hstack([expit(-total), expit(total)]),
    }
    if facts.covariates and facts.image is not None:
        alone = (weights * _joined(bag, facts.image, logits, covariates)).sum().reshape(1, 1)
        found[IMAGE_PROBABILITIES] = np.hstack([expit(-alone), expit(alone)])
    return found


def _joined(
    bag: TrainedBag, regression: Regression, logits: np.ndarray, covariates: np.ndarray
) -> np.ndarray:
    """Cells' logits through the regression that ends the score, float64 (N,)."""
    first, *others = regression.weights
    standardised = (logits - bag.facts.middle) / bag.facts.spread
    known = float((covariates[0] * others).sum()) if others else 0.0
    found: np.ndarray = first * standardised + known + regression.bias
    return found
