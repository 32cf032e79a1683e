"""Shares with intervals that come from resampling patients."""

import numpy as np
from numpy.typing import NDArray

from calibration.gate.separation import roc_auc

_RESAMPLED = 1000


def share_text(hit: NDArray[np.bool_], of: NDArray[np.bool_]) -> str:
    """The share of cases with its 95 % interval and how many there are.

    Args:
        hit, of: whether a case counts, and whether it is one, bool (..., P), patients last.
    """
    axes = tuple(range(hit.ndim - 1))
    counted, all_of = (hit & of).sum(axis=axes), of.sum(axis=axes)
    if not all_of.sum():
        return "no case"
    rng = np.random.default_rng(0)
    picks = rng.integers(len(counted), size=(_RESAMPLED, len(counted)))
    shares = counted[picks].sum(axis=1) / np.maximum(all_of[picks].sum(axis=1), 1)
    low, high = np.percentile(shares, [2.5, 97.5])
    return f"{counted.sum() / all_of.sum():.3f} ({low:.2f} to {high:.2f}; n {all_of.sum()})"


def auc_difference(
    scores: NDArray[np.float64], others: NDArray[np.float64], truth: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """ROC-AUC of scores less that of the others, the mean over seeds, and its 95 % interval.

    Args:
        scores, others: float64 (seeds, P).
    """

    def difference(rows: NDArray[np.intp]) -> float:
        pairs = zip(scores[:, rows], others[:, rows], strict=True)
        return float(np.mean([roc_auc(a, truth[rows]) - roc_auc(b, truth[rows]) for a, b in pairs]))

    rng = np.random.default_rng(0)
    drawn = (rng.integers(len(truth), size=len(truth)) for _ in range(_RESAMPLED))
    found = [difference(rows) for rows in drawn if 0 < truth[rows].sum() < len(rows)]
    low, high = np.percentile(found, [2.5, 97.5])
    return difference(np.arange(len(truth))), float(low), float(high)
