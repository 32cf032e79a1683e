"""How far the score of a bag may move if as many other cells of the same smear were scored."""

import math

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.manifest import Weighting
from vexas_edge.scoring.figures.interval import NORMAL_95, most_unseen, outwards


def bag_interval(
    logits: NDArray[np.float64], weights: NDArray[np.float64], weighting: Weighting
) -> tuple[float, float]:
    """The 95 % prediction interval of the score of as many other cells of the same smear.

    A cell's influence is how fast the weighted mean moves as more cells of its kind come in (Hampel
    1974, 10.1080/01621459.1974.10482962): for weights that a cell has by itself, its weight times
    its distance from the mean; for the highest cells, its distance from the lowest of these, or 0.
    The mean square of all influences gives the variance that the choice of cells causes. It is
    doubled, since the other cells are a random choice, too.

    As in `prediction_interval`, the interval is at least as wide as if the other smear had as many
    cells of a kind that is missing here as chance allows, each as heavy as the heaviest here, and
    their share of the score went to 0, or to 1. A cell that weighs by its own logit may be twice as
    heavy as a usual one. Both ends are in [0, 1], rounded outwards to four
    decimals, with the score between them.

    Args:
        logits: what the score's logit would be if all cells were like this one, (N,).
        weights: of cells, (N,), of sum 1.

    Raises:
        ValueError: there is no cell, or not one weight per cell.

    >>> logits = np.linspace(-1, 2, 30)
    >>> bag_interval(logits, np.full(30, 1 / 30), "mean")
    (0.5097, 0.7233)
    """
    if len(logits) == 0 or logits.shape != weights.shape:
        raise ValueError(f"{weights.shape} weights for {logits.shape} logits; expected one each")
    n_cells, middle = len(logits), float(weights @ logits)
    influences = _influences(logits, weights, weighting)
    variance = float((influences**2).sum()) / n_cells**2 * n_cells / max(n_cells - 1, 1)
    step = NORMAL_95 * math.sqrt(2 * variance)
    score = sigmoid(middle)
    heaviest = max(float(weights.max()), 2 / n_cells if weighting == "learned" else 0.0)
    upset = min(1.0, most_unseen(n_cells) * heaviest)
    low = min(sigmoid(middle - step), score * (1 - upset))
    return outwards(low, max(sigmoid(middle + step), score + (1 - score) * upset))


def _influences(
    logits: NDArray[np.float64], weights: NDArray[np.float64], weighting: Weighting
) -> NDArray[np.float64]:
    """Each cell's influence on the weighted mean, of mean 0, (N,)."""
    n_cells, n_weighed = len(logits), int((weights > 0).sum())
    if weighting not in ("topk", "topbottom") or weights.max() == weights.min():
        own: NDArray[np.float64] = weights * (logits - float(weights @ logits))
        return n_cells * own
    signs = (1,) if weighting == "topk" else (1, -1)
    # Where the highest and the lowest overlap, the cells that are both weigh 1 / taken.
    taken = n_weighed // len(signs) if n_weighed < n_cells else round(1 / float(weights.max()))
    found = np.mean([s * _over_the_rest(s * logits, taken) for s in signs], axis=0)
    centred: NDArray[np.float64] = found - found.mean()
    return centred


def _over_the_rest(values: NDArray[np.float64], taken: int) -> NDArray[np.float64]:
    """How far each value lies over the least of the highest `taken`, over their share of all."""
    least = float(np.sort(values)[-taken])
    over: NDArray[np.float64] = np.maximum(values - least, 0) * len(values) / taken
    return over


def sigmoid(logit: float) -> float:
    """The probability of a logit of any size."""
    if logit < 0:
        return 1 - sigmoid(-logit)
    return 1 / (1 + math.exp(-logit))
