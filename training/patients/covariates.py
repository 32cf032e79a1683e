"""How well covariates alone, such as age, separate two groups of patients, beside a model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.gate.separation import Separation, resampled_aucs, roc_auc, separation
from vexas_edge.covariates.covariate import number_from_text


@dataclass(frozen=True, kw_only=True)
class CovariateAlone:
    """How well one covariate separates the groups without any model.

    direction: the values that speak for the positive group: "higher", "lower" or one of two
        values. It is chosen on these same patients, so an uninformative covariate has a ROC-AUC
        a little over 0.5.
    separation: its ROC-AUC.
    lead: how far its ROC-AUC exceeds the model's, on the patients that have a value.
    lead_low, lead_high: the 95 % interval of lead, over the same resamples.
    """

    name: str
    direction: str
    separation: Separation
    lead: float
    lead_low: float
    lead_high: float


def covariate_alone(
    name: str, texts: Sequence[str], scores: np.ndarray, positive: np.ndarray
) -> CovariateAlone | None:
    """One covariate beside the model.

    It is None if the covariate is neither numeric nor two-valued, or is known for one group only.

    Args:
        texts: each patient's value as in cohort.csv, empty if it is not known.
        scores: each patient's score by the model.
        positive: whether each patient is in the positive group.
    """
    found = _values(texts)
    if found is None:
        return None
    values, higher, lower = found
    known = ~np.isnan(values)
    values, scores, positive = values[known], scores[known], positive[known]
    if positive.all() or not positive.any():
        return None
    rises = roc_auc(values, positive) >= 0.5
    values = values if rises else -values
    leads = resampled_aucs(values, positive) - resampled_aucs(scores, positive)
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
    """The values as float (n,), NaN if unknown, and the names of a high and of a low value."""
    numbers = [number_from_text(text) for text in texts if text]
    if None not in numbers:
        values = [number_from_text(text) if text else np.nan for text in texts]
        return np.array(values, np.float64), "higher", "lower"
    kinds = sorted(set(texts) - {""})
    if len(kinds) != 2:
        return None
    codes = {kinds[0]: 0.0, kinds[1]: 1.0, "": np.nan}
    return np.array([codes[t] for t in texts]), kinds[1], kinds[0]
