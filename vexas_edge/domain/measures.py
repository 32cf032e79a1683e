"""What is measured of a case's encodings, to be held against its model's training patients.

Cells of one case vary around it, and cases around all of them. In directions where the first
variance is 1 and the second is b, the mean of n cells lies `sqrt(sum(m^2 / (b + 1 / n)))` away, and
a single cell as a mean of one.
"""

import math

import numpy as np
from numpy.typing import NDArray

from vexas_edge.quality.statistics import CASE_STATISTICS

# What `encoding_measures` returns, in this order; all are natural logarithms.
ENCODING_MEASURES = ("case distance", "cell distance", "far cell distance", "nearest", "variance")

# Nearest neighbours are looked for among so many cells, as more cells always lie closer.
MOST_NEIGHBOURS = 40

_LEAST_SQUARE = 1e-12
_BLOCK = 1024  # cells that are computed on at a time, which bounds memory

# What the harm trees are not asked: levels that one gain a channel takes away, since a darker lamp
# would hide what else has changed, and the traces of a file format, which tell that an image was
# worked on and not how much that matters.
_NOT_ASKED = ("image", "slide", "light", "span", "none", "level_steps", "blocks", "wave")
HARM_PLACES = tuple(k for k, name in enumerate(CASE_STATISTICS) if not name.startswith(_NOT_ASKED))
_SPREADS = tuple(k for k, name in enumerate(CASE_STATISTICS) if name.endswith("_spread"))
# A spread is at least this part of the training cases' usual one, so that its logarithm ends.
_LEAST_SPREAD = 0.02


def encoding_measures(
    encodings: NDArray[np.float32],
    mean: NDArray[np.float64],
    axes: NDArray[np.float64],
    between: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The measures of a case's encodings, float64 (5,), named by `ENCODING_MEASURES`.

    How far the mean lies, the median cell, and the cell that a tenth lies beyond; the median
    distance of a cell to the one nearest to it; the variance of cells, summed over the encoding.

    Args:
        encodings: float32 (N, D), N at least 2, in the order of the cells' identities.
        mean, axes, between: as `Reference` has them.
    """
    n = len(encodings)
    own_mean = encodings.mean(axis=0, dtype=np.float64)
    placed, squares = np.empty((n, axes.shape[1])), 0.0
    for start in range(0, n, _BLOCK):
        wide = encodings[start : start + _BLOCK].astype(np.float64)
        placed[start : start + _BLOCK] = (wide - mean) @ axes
        squares += float(((wide - own_mean) ** 2).sum())
    of_case = float((placed.mean(axis=0) ** 2 / (between + 1 / n)).sum())
    of_cells = np.sort((placed**2 / (between + 1)).sum(axis=1))
    nearest = np.sort(_nearest_squares(encodings[:MOST_NEIGHBOURS].astype(np.float64)))
    variance = squares / (n - 1)
    lengths = (
        of_case,
        of_cells[(n - 1) // 2],
        of_cells[(9 * n - 1) // 10],
        nearest[len(nearest) // 2],
    )
    logs = [math.log(max(float(square), _LEAST_SQUARE)) / 2 for square in lengths]
    return np.array([*logs, math.log(max(variance, _LEAST_SQUARE))])


def sameness(statistics: NDArray[np.float64], centre: NDArray[np.float64]) -> float:
    """How much less a case's cells differ in their statistics than usual, the mean of logarithms.

    Args:
        statistics: of the case, float64 (S,).
        centre: of the training cases.
    """
    logs = [
        math.log(max(float(statistics[k] / centre[k]), _LEAST_SPREAD))
        for k in _SPREADS
        if centre[k] > 0
    ]
    return -sum(logs) / len(logs) if logs else 0.0


def outside_ranges(
    statistics: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> float:
    """How far the farthest statistic lies outside its training range, in spreads, or 0."""
    beyond = np.maximum(low - statistics, statistics - high) / spread
    return max(0.0, float(beyond.max()))


def harm_features(
    statistics: NDArray[np.float64], measures: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the harm trees are asked, float64 (..., F); never the score."""
    return np.concatenate([statistics[..., HARM_PLACES], measures], axis=-1)


def family_features(
    statistics: NDArray[np.float64], measures: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the trees that name a family are asked, float64 (..., S + 5)."""
    return np.concatenate([statistics, measures], axis=-1)


def _nearest_squares(encodings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each cell's squared distance to the nearest other one, float64 (n,)."""
    lengths = (encodings**2).sum(axis=1)
    squares = lengths[:, None] + lengths - 2 * encodings @ encodings.T
    np.fill_diagonal(squares, np.inf)
    nearest: NDArray[np.float64] = np.maximum(squares.min(axis=1), 0)
    return nearest
