"""How well a score separates two groups of patients, and how sure that is."""

from collections.abc import Sequence
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


@dataclass(frozen=True, kw_only=True)
class CovariateAlone:
    """How well one covariate separates the groups without any model.

    direction: which values speak for the positive group; chosen on these same patients, so an
    uninformative covariate comes out a little over 0.5. lead: how far its ROC-AUC exceeds the
    model's on the patients that have a value, with the interval of the same resamples.
    """

    name: str
    direction: str
    separation: Separation
    lead: float
    lead_low: float
    lead_high: float


def separation(scores: np.ndarray, positive: np.ndarray) -> Separation:
    """ROC-AUC of the scores float (n,) for the patients where `positive`, bool (n,).

    Patients are resampled within each group, with replacement. The classifier is not fitted again,
    so the interval says nothing of another training set.
    """
    resampled = _resampled_aucs(scores, positive)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Separation(
        n=len(scores), roc_auc=roc_auc(scores, positive), low=float(low), high=float(high)
    )


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The share of pairs of a positive and another patient that the score puts in order."""
    return float(_wins(scores, positive).mean())


def balanced_accuracy(calls: np.ndarray, positive: np.ndarray) -> float:
    """The mean of sensitivity and specificity, from bool (n,) each."""
    return float((calls[positive].mean() + (~calls[~positive]).mean()) / 2)


def covariate_alone(
    name: str, texts: Sequence[str], scores: np.ndarray, positive: np.ndarray
) -> CovariateAlone | None:
    """One covariate beside the model; None where it is neither numeric nor two-valued.

    Args:
        texts: each patient's value as cohort.csv has it; empty where it is not known.
        scores: each patient's score by the model.
    """
    found = _values(texts)
    if found is None:
        return None
    values, higher, lower = found
    known = ~np.isnan(values)
    values, scores, positive = values[known], scores[known], positive[known]
    rises = roc_auc(values, positive) >= 0.5
    values = values if rises else -values
    leads = _resampled_aucs(values, positive) - _resampled_aucs(scores, positive)
    low, high = np.percentile(leads, [2.5, 97.5])
    return CovariateAlone(
        name=name,
        direction=higher if rises else lower,
        separation=separation(values, positive),
        lead=roc_auc(values, positive) - roc_auc(scores, positive),
        lead_low=float(low),
        lead_high=float(high),
    )


def _values(texts: Sequence[str]) -> tuple[np.ndarray, str, str] | None:
    """Numbers float (n,), NaN where unknown, and what a high and a low one are called."""
    try:
        return np.array([float(t) if t else np.nan for t in texts]), "higher", "lower"
    except ValueError:
        kinds = sorted(set(texts) - {""})
    if len(kinds) != 2:
        return None
    codes = {kinds[0]: 0.0, kinds[1]: 1.0, "": np.nan}
    return np.array([codes[t] for t in texts]), kinds[1], kinds[0]


def _wins(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """For each positive patient and each other one: 1 where it has more, 0.5 where as much."""
    ours, others = scores[positive][:, None], scores[~positive][None, :]
    return (ours > others) + 0.5 * (ours == others)


def _resampled_aucs(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """ROC-AUC of `N_RESAMPLES` resamples; the same patients in each, whatever the scores."""
    rng = np.random.Generator(np.random.PCG64(0))
    wins = _wins(scores, positive)
    n_positive, n_other = wins.shape
    rows = rng.integers(0, n_positive, (N_RESAMPLES, n_positive))
    columns = rng.integers(0, n_other, (N_RESAMPLES, n_other))
    pairs = zip(rows, columns, strict=True)
    return np.array([wins[np.ix_(row, column)].mean() for row, column in pairs])
