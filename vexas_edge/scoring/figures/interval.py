"""How far the score may move if as many other cells of the same smear were scored.

The standard error of a score says how far other draws of the same cells would move it, which is
little. Other cells move it far more. How far is found from the draws alone, without another call of
the classifier.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# The two-sided 95 % quantile of the normal distribution.
NORMAL_95 = 1.959963984540054

# Probabilities are kept this far from 0 and 1, where a logit is infinite.
_MARGIN = 1e-6

# Both ends are rounded outwards to 1 / _STEPS.
_STEPS = 10_000


def prediction_interval(
    probabilities: NDArray[np.float64], draws: NDArray[np.int64], n_cells: int
) -> tuple[float, float]:
    """The 95 % prediction interval of the score of as many other cells of the same smear.

    The infinitesimal jackknife (Efron 2014, 10.1080/01621459.2013.823775; Wager, Hastie and Efron
    2014, JMLR 15:1625) gives the variance that the choice of cells causes: a cell weighs as much as
    its count in a draw varies with the draw's logit. The variance is doubled, since the other
    cells are a random choice, too. All logits are moved down, then up, by 1.96 of its roots, and
    the mean probabilities are the ends.

    How much cells differ is badly known from few cells, or if all are alike. So the interval is at
    least as wide as if the other smear had as many cells of a kind that is missing here as chance
    allows in one of 20 pairs of smears, and each draw with half its cells of that kind went to 0,
    or to 1.

    The sums are exact, so the order of the cells and of the draws does not matter. Both ends are in
    [0, 1], rounded outwards to four decimals, with the score between them.

    Args:
        probabilities: of the positive class, of each draw; (A,), their mean is the score.
        draws: (A, K), indices of cells, drawn uniformly with replacement.
        n_cells: how many there are to draw from.

    Raises:
        ValueError: there is no draw, or not one probability per draw.

    >>> from vexas_edge.scoring.draws import draw_cells
    >>> draws = draw_cells([bytes([i]) * 8 for i in range(30)], 1000, 10, seed=0)
    >>> probabilities = np.where(np.median(draws, axis=1) < 15, 0.4, 0.7)
    >>> round(float(probabilities.mean()), 4), prediction_interval(probabilities, draws, 30)
    (0.5407, (0.3512, 0.7206))
    """
    if len(probabilities) == 0 or probabilities.shape != draws.shape[:1]:
        raise ValueError(
            f"{probabilities.shape} probabilities for draws {draws.shape}; expected one per draw"
        )
    values = probabilities.tolist()
    logits = [_logit(value) for value in values]
    step = NORMAL_95 * math.sqrt(2 * _variance_between_cells(logits, draws, n_cells))
    score = _mean(values)
    upset = _share_upset(n_cells, draws.shape[1])
    low = min(_mean([sigmoid(logit - step) for logit in logits]), score * (1 - upset))
    high = max(_mean([sigmoid(logit + step) for logit in logits]), score + (1 - score) * upset)
    return outwards(low, high)


def outwards(low: float, high: float) -> tuple[float, float]:
    """Both ends of an interval of probabilities, rounded outwards to four decimals."""
    return math.floor(low * _STEPS) / _STEPS, min(1.0, math.ceil(high * _STEPS) / _STEPS)


def _variance_between_cells(
    logits: Sequence[float], draws: NDArray[np.int64], n_cells: int
) -> float:
    """The variance of the mean logit over smears of `n_cells` cells, at least 0.

    The squared covariances of counts and logits are too large by what chance gives to so few draws
    (Wager, Hastie and Efron 2014, here for draws of K of N cells), which is taken off.
    N / (N - 1) is as in any variance of a sample.
    """
    n_draws, draw_size = draws.shape
    mean = _mean(logits)
    deviations = [logit - mean for logit in logits]
    held_by: list[list[float]] = [[] for _ in range(n_cells)]
    for deviation, draw in zip(deviations, draws.tolist(), strict=True):
        for cell in draw:
            held_by[cell].append(deviation)
    covariances = [math.fsum(held) / n_draws for held in held_by]
    variance_of_draws = _mean([deviation * deviation for deviation in deviations])
    by_chance: float = draw_size * (1 - 1 / n_cells) * variance_of_draws / n_draws
    excess = math.fsum(covariance * covariance for covariance in covariances) - by_chance
    return max(excess, 0.0) * n_cells / max(n_cells - 1, 1)


def most_unseen(n_cells: int) -> int:
    """How many of as many other cells may be of a kind that `n_cells` cells happen to lack.

    If `k` of all 2N cells are of that kind, all of them are among the others with a probability of
    C(N, k) / C(2N, k). The largest k for which this is at least 5 % is taken.

    >>> [most_unseen(n_cells) for n_cells in (1, 2, 3, 8, 40)]
    [1, 2, 3, 3, 4]
    """
    unseen = 1
    while 20 * math.comb(n_cells, unseen + 1) >= math.comb(2 * n_cells, unseen + 1):
        unseen += 1
    return unseen


def _share_upset(n_cells: int, draw_size: int) -> float:
    """The share of draws that may turn to a kind of cell that `n_cells` cells happen to lack.

    >>> [round(_share_upset(n_cells, 10), 3) for n_cells in (1, 2, 3, 8, 12, 20, 40)]
    [1.0, 1.0, 1.0, 0.306, 0.078, 0.033, 0.002]
    """
    unseen = most_unseen(n_cells)
    ways = sum(
        math.comb(draw_size, held) * unseen**held * (n_cells - unseen) ** (draw_size - held)
        for held in range((draw_size + 1) // 2, draw_size + 1)
    )
    return float(ways / n_cells**draw_size)


def _logit(probability: float) -> float:
    kept = min(max(probability, _MARGIN), 1 - _MARGIN)
    return math.log(kept / (1 - kept))


def sigmoid(logit: float) -> float:
    """The probability of a logit of any size."""
    return 1 / (1 + math.exp(-logit)) if logit > 0 else 1 - 1 / (1 + math.exp(logit))


def _mean(values: Sequence[float]) -> float:
    """The mean by an exact sum, the same in any order."""
    return math.fsum(values) / len(values)
