"""Encodings as the graph makes them, and how far they may differ from the source's."""

import numpy as np

from export.fuse import SMALLEST_NORM

# Largest difference of any element of an encoding; less if cells differ so little from each other
# that this would hide a difference between them: see `encoding_tolerance`.
ENCODING_TOLERANCE = 1e-5
SHARE_OF_NEAREST_CELLS = 0.01
FLOAT32_NOISE = 5e-7  # a few units in the last place of an element near 1


def l2_normalised(embedding: np.ndarray) -> np.ndarray:
    """Each row divided by its L2 norm, as the graph does it."""
    return embedding / np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), SMALLEST_NORM)


def encoding_tolerance(encodings: np.ndarray) -> float:
    """How far an element of an encoding may differ from the source's.

    It is 1e-5, or 1 % of the largest element by which the two most similar cells differ if that is
    smaller, but never less than float32's own rounding: cells may differ in only a pixel or two.
    """
    nearest = min(
        (
            float(np.abs(encodings[i + 1 :] - encodings[i]).max(axis=1).min())
            for i in range(len(encodings) - 1)
        ),
    )
    return min(ENCODING_TOLERANCE, max(SHARE_OF_NEAREST_CELLS * nearest, FLOAT32_NOISE))


def mean_pairwise_cosine(encodings: np.ndarray) -> float:
    """How alike the cells look to the encoder, -1 to 1; near 1, their agreement shows little.

    >>> mean_pairwise_cosine(np.eye(3))
    0.0
    """
    n = len(encodings)
    total = float(np.sum(encodings.sum(axis=0, dtype=np.float64) ** 2))
    return (total - float(np.sum(encodings.astype(np.float64) ** 2))) / (n * (n - 1))
