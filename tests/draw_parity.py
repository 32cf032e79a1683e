"""The bar that every draw of a head meets, beside scikit-learn on the same aggregates."""

from typing import Any

import numpy as np
from sklearn.svm import SVC

from export.coupling import couple

PROBABILITY_TOLERANCE = 1e-5
LARGEST_JUMP = 6e-3
SHARE_OF_JUMPS = 1e-3


def at_the_jump(classifier: Any, decisions: np.ndarray) -> np.ndarray:
    """Which draws lie at the threshold where libsvm's coupling stops, bool (A,)."""
    if not isinstance(classifier, SVC):
        return np.zeros(len(decisions), bool)
    n_classes = len(classifier.classes_)
    libsvm = -decisions if n_classes == 2 else decisions
    pairwise = 1 / (1 + np.exp(classifier._probA * libsvm + classifier._probB))
    return couple(np.clip(pairwise, 1e-7, 1 - 1e-7), n_classes)[2]


def check_draws(found: np.ndarray, expected: np.ndarray, jumps: np.ndarray) -> None:
    """Every draw within 1e-5, but for counted ones at libsvm's stopping threshold."""
    assert found.shape == expected.shape
    difference = np.abs(found - expected).max(axis=1)
    jumped = difference > PROBABILITY_TOLERANCE
    assert not (jumped & ~jumps).any()
    assert jumped.mean() <= SHARE_OF_JUMPS
    assert difference.max() <= LARGEST_JUMP
