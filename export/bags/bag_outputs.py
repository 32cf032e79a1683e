"""What a trained bag says of a patient, by its network in torch and the regression behind it."""

import numpy as np
from scipy.special import expit

from export.bags.bag_file import Regression, TrainedBag
from vexas_edge.bundle.contract import (
    CELL_LOGITS,
    CELL_WEIGHTS,
    DECISIONS,
    IMAGE_PROBABILITIES,
    PROBABILITIES,
)


def outputs_of(
    bag: TrainedBag, encodings: np.ndarray, covariates: np.ndarray
) -> dict[str, np.ndarray]:
    """For the cells of one patient, by the names of the head's outputs.

    Args:
        encodings: float32 (N, D).
        covariates: float32 (1, M), standardised.
    """
    import torch

    facts = bag.facts
    with torch.inference_mode():
        answers = bag.layers.of_encodings(torch.from_numpy(encodings), [len(encodings)])
        logits, weights = answers.cells.double().numpy(), answers.weights.double().numpy()
        if facts.in_network:
            known = torch.from_numpy(covariates) @ bag.layers.covariates
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
