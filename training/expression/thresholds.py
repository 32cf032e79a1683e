"""Where a model's threshold lies for a lineage that it has not learnt, found without labels.

The order of logits carries over from one lineage to another, their place does not. So a mixture of
two normal distributions is fitted to the new lineage's logits, and the threshold is where both
densities cross. Both weigh the same there, whatever their shares, so that nothing is assumed of how
many cells are positive. Whether there are two kinds of cells at all is told apart from that.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from vexas_edge.errors import InputError

LEAST_CELLS_OF_LINEAGE = 10
_STARTS, _LEAST_VARIANCE, _STEPS = 5, 1e-3, 2001
# Ashman's D, over which two normal distributions are taken to be apart (Ashman 1994,
# 10.1086/117248).
_APART = 2.0
# A gain in BIC under minus this is strong evidence against a second one (Kass and Raftery 1995,
# 10.1080/01621459.1995.10476572).
_STRONG = 6.0
# Of the way between the modes of the lineage that was learnt from, so far apart must the two be,
# and the lower one must lie before so much of it. Ours, from drawn mixtures of real cells.
_LEAST_DISTANCE, _MIDDLE = 0.2, 0.5


@dataclass(frozen=True, kw_only=True)
class LearntModes:
    """The medians of the logits of the cells that were learnt from, negative and positive ones."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class TwoNormals:
    """A mixture of two normal distributions, fitted to the logits of a lineage, the lower first.

    means, spreads, shares: of each.
    gain: in BIC over one distribution; above 0 where two describe the logits better.
    """

    means: tuple[float, float]
    spreads: tuple[float, float]
    shares: tuple[float, float]
    gain: float

    @property
    def crossing(self) -> float:
        """Where both densities are equal, between their means: the threshold without labels."""
        logits = np.linspace(*self.means, _STEPS)
        low, high = (
            -0.5 * ((logits - mean) / spread) ** 2 - np.log(spread)
            for mean, spread in zip(self.means, self.spreads, strict=True)
        )
        over = np.flatnonzero(high > low)
        return float(logits[over[0]]) if len(over) else float(np.mean(self.means))

    @property
    def apart(self) -> float:
        """Ashman's D: how far the means are apart, in spreads."""
        return float(np.sqrt(2) * (self.means[1] - self.means[0]) / np.hypot(*self.spreads))

    def seems_mixed(self, modes: LearntModes) -> bool:
        """Whether the lineage seems to have cells of both kinds, not of one alone.

        The two distributions must be apart, one must not describe the logits much better, and the
        lower one must lie nearer to the negative cells that were learnt from.

        Args:
            modes: of the cells that were learnt from, by the same model.
        """
        way = modes.high - modes.low
        lower, upper = ((mean - modes.low) / way for mean in self.means)
        return bool(
            self.apart > _APART
            and self.gain > -_STRONG
            and upper - lower > _LEAST_DISTANCE
            and lower < _MIDDLE
        )


def learnt_modes(logits: NDArray[np.float64], positive: NDArray[np.bool_]) -> LearntModes:
    """The modes of the cells that were learnt from.

    Args:
        logits: of the positive class over the other, float64 (N,).
        positive: bool (N,).

    Raises:
        InputError: the model does not tell them apart.
    """
    low, high = float(np.median(logits[~positive])), float(np.median(logits[positive]))
    if low >= high:
        raise InputError(
            f"the positive cells that were learnt from have a median logit of {high:.2f}, and the "
            f"others of {low:.2f}; the model does not tell them apart, so nothing carries over"
        )
    return LearntModes(low=low, high=high)


def two_normals(logits: NDArray[np.float64]) -> TwoNormals:
    """The mixture that is fitted to the logits of a lineage's cells, float64 (n,).

    Raises:
        InputError: there are fewer than ten cells.
    """
    if len(logits) < LEAST_CELLS_OF_LINEAGE:
        raise InputError(
            f"there are {len(logits)} cells; a threshold without labels needs at least "
            f"{LEAST_CELLS_OF_LINEAGE} of a lineage"
        )
    column = logits[:, None]
    one, two = (
        GaussianMixture(n, n_init=_STARTS, random_state=0, reg_covar=_LEAST_VARIANCE).fit(column)
        for n in (1, 2)
    )
    low, high = two.means_[:, 0].argsort().tolist()
    means, spreads = two.means_[:, 0], np.sqrt(two.covariances_[:, 0, 0])
    return TwoNormals(
        means=(float(means[low]), float(means[high])),
        spreads=(float(spreads[low]), float(spreads[high])),
        shares=(float(two.weights_[low]), float(two.weights_[high])),
        gain=float(one.bic(column) - two.bic(column)),
    )


def threshold_for_share(logits: NDArray[np.float64], share: float) -> float:
    """The threshold over which this share of a lineage's cells lies, float64 (n,).

    The order of a network's logits may carry over better than their shape, which an additive model
    keeps: the share is then found by the latter, and the cells by the former.
    """
    ordered = np.sort(logits)
    place = len(ordered) - round(share * len(ordered))
    if place in (0, len(ordered)):
        return float(ordered[0] - 1.0 if place == 0 else ordered[-1])
    return float(ordered[place - 1 : place + 1].mean())
