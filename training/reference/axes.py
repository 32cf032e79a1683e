"""The directions in which training cells vary, within a case and between cases."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

_MOST_COMPONENTS = 60


class Axes(NamedTuple):
    """What `Reference` holds under these names: float64 (D,), (D, P) and (P,)."""

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    between: NDArray[np.float64]


def axes_from_encodings(encodings: Sequence[NDArray[np.float32]]) -> Axes:
    """Directions in which cells of a case vary by 1 and independently, and cases by `between`.

    Principal components of all cells, at most 60; in them both covariances, each shrunk by the rule
    of Ledoit and Wolf (2004), are made diagonal together.

    Args:
        encodings: of each training case, float32 (N, D), two cells or more.
    """
    means = np.stack([cells.mean(axis=0, dtype=np.float64) for cells in encodings])
    mean = means.mean(axis=0)
    all_cells = np.concatenate(encodings).astype(np.float64) - mean
    n_components = min(_MOST_COMPONENTS, *all_cells.shape)
    _, vectors = np.linalg.eigh(all_cells.T @ all_cells)
    components = vectors[:, ::-1][:, :n_components]
    residuals = np.concatenate([c - m for c, m in zip(encodings, means, strict=True)]) @ components
    within = LedoitWolf(assume_centered=True).fit(residuals).covariance_
    between = LedoitWolf(assume_centered=True).fit((means - mean) @ components).covariance_
    within += np.eye(n_components) * (1e-9 + 1e-6 * np.trace(within) / n_components)
    whiten = np.linalg.inv(np.linalg.cholesky(within)).T
    variances, turn = np.linalg.eigh(whiten.T @ between @ whiten)
    return Axes(mean, components @ whiten @ turn, np.maximum(variances, 0))
