"""How well a score separates two groups of patients, with an interval."""

from dataclasses import dataclass

import numpy as np

N_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Separation:
    """ROC-AUC of a score over `n` patients; low, high: its 95 % bootstrap interval."""

    n: int
    roc_auc: float
    low: float
    high: float


def separation(scores: np.ndarray, positive: np.ndarray) -> Separation:
    """ROC-AUC with which the scores, float (n,), find the patients that are `positive`, bool (n,).

    Patients are resampled with replacement within each group. The classifier is not fitted again,
    so the interval does not cover other training sets.
    """
    low, high = np.percentile(resampled_aucs(scores, positive), [2.5, 97.5])
    return Separation(
        n=len(scores), roc_auc=roc_auc(scores, positive), low=float(low), high=float(high)
    )


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The share of pairs of a positive and another patient in which the positive scores higher.

    A tie counts half.

    >>> roc_auc(np.array([0.9, 0.4, 0.6, 0.1]), np.array([True, True, False, False]))
    0.75
    """
    return float(_wins(scores, positive).mean())


def resampled_aucs(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """ROC-AUC of `N_RESAMPLES` resamples; for any scores the same patients are resampled."""
    rng = np.random.Generator(np.random.PCG64(0))
    wins = _wins(scores, positive)
    n_positive, n_other = wins.shape
    rows = rng.integers(0, n_positive, (N_RESAMPLES, n_positive))
    columns = rng.integers(0, n_other, (N_RESAMPLES, n_other))
    pairs = zip(rows, columns, strict=True)
    return np.array([wins[np.ix_(row, column)].mean() for row, column in pairs])


def _wins(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """(n_positive, n_other): 1 where the positive patient scores higher, 0.5 where they tie."""
    ours, others = scores[positive][:, None], scores[~positive][None, :]
    return (ours > others) + 0.5 * (ours == others)
