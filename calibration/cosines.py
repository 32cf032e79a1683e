"""How alike the encodings of two graphs are."""

import numpy as np

_SMALLEST = 1e-30


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The cosine of both encodings of each cell, float64 (n,); they need not be of length 1.

    Of a cell that both give as zeros it is 1.

    Args:
        ours, theirs: float32 (n, D).

    >>> cosines(np.array([[3.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 1.0], [0.0, 0.0]])).round(3)
    array([0.707, 1.   ])
    """
    first, second = ours.astype(np.float64), theirs.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    found: np.ndarray = (first * second).sum(axis=1) / np.maximum(lengths, _SMALLEST)
    found[~(first.any(axis=1) | second.any(axis=1))] = 1.0
    return found
