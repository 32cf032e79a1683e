"""How well a score separates two groups of patients, and how sure that is."""

from dataclasses import dataclass

import numpy as np

N_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Separation:
    """ROC-AUC of a score over `n` patients, with the bootstrap's 95 % interval."""

    n: int
    roc_auc: float
    low: float
    high: float


def separation(scores: np.ndarray, positive: np.ndarray) -> Separation:
    """ROC-AUC of the scores float (n,) for the patients where `positive`, bool (n,).

    Patients are resampled within each group, with replacement. The classifier is not fitted again,
    so the interval says nothing of another training set.
    """
    low, high = np.percentile(resampled_aucs(scores, positive), [2.5, 97.5])
    return Separation(
        n=len(scores), roc_auc=roc_auc(scores, positive), low=float(low), high=float(high)
    )


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The share of pairs of a positive and another patient that the score puts in order."""
    return float(_wins(scores, positive).mean())


def resampled_aucs(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """ROC-AUC of `N_RESAMPLES` resamples; the same patients in each, whatever the scores."""
    rng = np.random.Generator(np.random.PCG64(0))
    wins = _wins(scores, positive)
    n_positive, n_other = wins.shape
    rows = rng.integers(0, n_positive, (N_RESAMPLES, n_positive))
    columns = rng.integers(0, n_other, (N_RESAMPLES, n_other))
    pairs = zip(rows, columns, strict=True)
    return np.array([wins[np.ix_(row, column)].mean() for row, column in pairs])


def _wins(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """For each positive patient and each other one: 1 where it has more, 0.5 where as much."""
    ours, others = scores[positive][:, None], scores[~positive][None, :]
    return (ours > others) + 0.5 * (ours == others)
