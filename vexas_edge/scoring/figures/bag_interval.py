"""How far the score of a bag may move if as many other cells of the same smear were scored."""

import math

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.models import Weighting
from vexas_edge.scoring.figures.interval import NORMAL_95, most_unseen, outwards, sigmoid

# A kind of cell that is missing here may be so sure, as a logit; and how rare such a kind is at the
# least, as a share of the cells.
_SURE, _RAREST = 4.0, 0.02


def bag_interval(
    logits: NDArray[np.float64], weights: NDArray[np.float64], weighting: Weighting
) -> tuple[float, float]:
    """The 95 % prediction interval of the score of as many other cells of the same smear.

    A cell's influence is how fast the weighted mean moves as more cells of its kind come in (Hampel
    1974, 10.1080/01621459.1974.10482962): for weights that a cell has by itself, its weight times
    its distance from the mean; for the highest cells, its distance from the lowest of these, or 0.
    The mean square of all influences gives the variance that the choice of cells causes. It is
    doubled, since the other cells are a random choice, too.

    How much cells differ is badly known from few cells. So the interval is at least as wide as if
    so many cells of a kind that is missing in one smear were in the other as chance allows in one
    of 20 pairs of smears. They are like the outermost cell or, where they can be 2 % of the cells
    or more, have a score of 0.02 or 0.98 if that is farther.

    Both ends are in [0, 1], rounded outwards to four decimals, with the score between them.

    Args:
        logits: what the score's logit would be if all cells were like this one, (N,).
        weights: of cells, (N,), of sum 1.

    Raises:
        ValueError: there is no cell, or not one weight per cell.

    >>> logits = np.linspace(-1, 2, 30)
    >>> bag_interval(logits, np.full(30, 1 / 30), "mean")
    (0.475, 0.7245)
    """
    if len(logits) == 0 or logits.shape != weights.shape:
        raise ValueError(f"{weights.shape} weights for {logits.shape} logits; expected one each")
    n_cells, middle = len(logits), float(weights @ logits)
    influences = _influences(logits, weights, weighting)
    variance = float((influences**2).sum()) / n_cells**2 * n_cells / max(n_cells - 1, 1)
    step = NORMAL_95 * math.sqrt(2 * variance)
    low, high = _with_missing_kinds(logits, weights, weighting)
    return outwards(sigmoid(min(low, middle - step)), sigmoid(max(high, middle + step)))


def _influences(
    logits: NDArray[np.float64], weights: NDArray[np.float64], weighting: Weighting
) -> NDArray[np.float64]:
    """Each cell's influence on the weighted mean, of mean 0, (N,)."""
    taken = _taken(weights, weighting)
    if taken is None:
        own: NDArray[np.float64] = weights * (logits - float(weights @ logits))
        return len(logits) * own
    found = np.mean([s * _over_the_rest(s * logits, taken) for s in _SIDES[weighting]], axis=0)
    centred: NDArray[np.float64] = found - found.mean()
    return centred


# The sides of the cells that are taken: the highest, and the lowest.
_SIDES: dict[Weighting, tuple[int, ...]] = {"topk": (1,), "topbottom": (1, -1)}


def _taken(weights: NDArray[np.float64], weighting: Weighting) -> int | None:
    """How many cells a side takes; None where each cell weighs by itself, or all weigh the same."""
    if weighting not in _SIDES or weights.max() == weights.min():
        return None
    n_weighed = int((weights > 0).sum())
    # Where the highest and the lowest overlap, the cells that are both weigh 1 / taken.
    overlap = n_weighed == len(weights)
    return round(1 / float(weights.max())) if overlap else n_weighed // len(_SIDES[weighting])


def _over_the_rest(values: NDArray[np.float64], taken: int) -> NDArray[np.float64]:
    """How far each value lies over the least of the highest `taken`, over their share of all."""
    least = float(np.sort(values)[-taken])
    over: NDArray[np.float64] = np.maximum(values - least, 0) * len(values) / taken
    return over


def _with_missing_kinds(
    logits: NDArray[np.float64], weights: NDArray[np.float64], weighting: Weighting
) -> tuple[float, float]:
    """The weighted means of smears with cells of a low kind, and of a high one."""
    n_cells, middle = len(logits), float(weights @ logits)
    unseen, taken = most_unseen(n_cells), _taken(weights, weighting)
    high = _beyond(logits, unseen)
    low = -_beyond(-logits, unseen)
    if taken is None:
        # By its own logit, a cell may become twice as heavy as a usual one.
        least = 2 / n_cells if weighting == "learned" else 0.0
        share = min(1.0, unseen * max(float(weights.max()), least))
        return middle + share * (low - middle), middle + share * (high - middle)
    sides = _SIDES[weighting]
    moves = [s * move for s in sides for move in _moves_of_highest(s * logits, taken, unseen)]
    return middle + min(moves) / len(sides), middle + max(moves) / len(sides)


def _moves_of_highest(values: NDArray[np.float64], taken: int, unseen: int) -> tuple[float, float]:
    """How far the mean of the highest moves without the very highest, and with higher ones."""
    ordered = np.sort(values)[::-1]
    fewer = ordered[unseen : unseen + taken]
    without = float(fewer.mean()) if len(fewer) else -_beyond(-values, unseen)
    more = min(unseen, taken)
    higher = (float(ordered[: taken - more].sum()) + more * _beyond(values, unseen)) / taken
    here = float(ordered[:taken].mean())
    return without - here, higher - here


def _beyond(values: NDArray[np.float64], unseen: int) -> float:
    """How high a kind of cells may be that is missing here."""
    highest = float(values.max())
    if unseen < _RAREST * len(values):  # then so many cells know what there is
        return highest
    return max(highest, _SURE)
