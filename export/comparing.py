"""Comparing what a graph gives with what its source gave."""

import numpy as np

from vexas_edge.errors import BundleError


class ParityError(BundleError):
    """A step of the export changed the model's numbers."""


def compared(name: str, found: np.ndarray, expected: np.ndarray, allowed: float) -> float:
    """The largest difference of a tensor from what was expected.

    Raises:
        ParityError: it is larger than is allowed, or the shapes differ.
    """
    if found.shape != expected.shape:
        raise ParityError(f"{name}: shape {found.shape}, expected {expected.shape}")
    difference = largest(found, expected)
    if not difference <= allowed:
        raise ParityError(
            f"parity: {name} is the first tensor that diverges: it differs by {difference:.2e}, "
            f"allowed is {allowed:.2e}"
        )
    return difference


def largest(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, 0 of none."""
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    return rounded(difference.max()) if difference.size else 0.0


def rounded(value: float) -> float:
    """The value in three significant digits, all that a measured difference is good for."""
    return float(f"{value:.2e}")
