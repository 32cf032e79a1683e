"""Figures of several kinds of scores on the same patients, and their paired differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from sklearn.linear_model import LogisticRegression

from calibration.gate.separation import N_RESAMPLES, Separation, resampled_aucs, roc_auc, separation
from training.judging.intervals import Mean, Share, mean_of, share_of
from training.judging.joining import BOTH, COVARIATES, IMAGE
from training.judging.nested import JudgedFold
from training.judging.stacking import logit

_LEVELS = tuple(round(0.05 * k, 2) for k in range(1, 20))
_ORDER = (COVARIATES, IMAGE, BOTH)


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """A figure with its 95 % interval, from resampling patients within each group."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class NetBenefit:
    """What calls at one level of probability are worth (Vickers and Elkin 2006).

    model: the share of true positives, less that of false ones times the level's odds; in the unit
        of true positives per patient.
    everybody: the same if everybody is called positive.
    """

    level: float
    model: float
    everybody: float


@dataclass(frozen=True, kw_only=True)
class KindFigures:
    """How well one kind of score does over all patients.

    balanced_accuracy, sensitivity, specificity: of calls at thresholds chosen on others.
    slope: of a logistic regression of the truth on the scores' logits: 1 if they are as sure as
        they may be, below 1 if they are too sure.
    """

    kind: str
    separation: Separation
    balanced_accuracy: Bounded
    sensitivity: Share
    specificity: Share
    brier: float
    slope: float
    decision_curve: tuple[NetBenefit, ...]


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """How much better the first kind is than the second, on the same resampled patients."""

    first: str
    second: str
    roc_auc: Bounded
    balanced_accuracy: Bounded


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """All kinds of scores over the same patients."""

    how: str
    kinds: tuple[KindFigures, ...]
    differences: tuple[PairedDifference, ...]


@dataclass(frozen=True, kw_only=True)
class OverHalvings:
    """One kind of score, as the mean over halvings."""

    kind: str
    roc_auc: Mean
    balanced_accuracy: Mean


def balanced_accuracy(calls: np.ndarray, positive: np.ndarray) -> float:
    """The mean of sensitivity and specificity, from bool (n,) each."""
    return float((calls[positive].mean() + (~calls[~positive]).mean()) / 2)


def side_by_side(folds: Sequence[JudgedFold], truth: np.ndarray, how: str) -> SideBySide:
    """The figures over all patients, each of whom is in one fold.

    Args:
        truth: whether each patient is positive, bool (P,).
        how: says on whom the models were fitted.
    """
    rows = np.concatenate([fold.judged for fold in folds])
    positive = truth[rows]
    kinds = [kind for kind in _ORDER if kind in folds[0].kinds]
    scores = {k: np.concatenate([f.kinds[k].probabilities for f in folds]) for k in kinds}
    calls = {k: np.concatenate([f.kinds[k].calls for f in folds]) for k in kinds}
    figures = tuple(_figures(kind, scores[kind], calls[kind], positive) for kind in kinds)
    pairs = [(late, early) for early, late in combinations(kinds, 2)]
    differences = tuple(
        PairedDifference(
            first=one,
            second=other,
            roc_auc=bounded(
                roc_auc(scores[one], positive) - roc_auc(scores[other], positive),
                resampled_aucs(scores[one], positive) - resampled_aucs(scores[other], positive),
            ),
            balanced_accuracy=bounded(
                balanced_accuracy(calls[one], positive) - balanced_accuracy(calls[other], positive),
                resampled_accuracies(calls[one], positive)
                - resampled_accuracies(calls[other], positive),
            ),
        )
        for one, other in pairs
    )
    return SideBySide(how=how, kinds=figures, differences=differences)


def over_halvings(folds: Sequence[JudgedFold], truth: np.ndarray) -> tuple[OverHalvings, ...]:
    """The mean figures of each kind over halvings, whose patients overlap."""
    return tuple(
        OverHalvings(
            kind=kind,
            roc_auc=mean_of([roc_auc(f.kinds[kind].probabilities, truth[f.judged]) for f in folds]),
            balanced_accuracy=mean_of(
                [balanced_accuracy(f.kinds[kind].calls, truth[f.judged]) for f in folds]
            ),
        )
        for kind in _ORDER
        if kind in folds[0].kinds
    )


def resampled_accuracies(calls: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Balanced accuracy of the resamples of `resampled_aucs`; for any calls they are the same."""
    rng = np.random.Generator(np.random.PCG64(0))
    halves = []
    for hits in (calls[positive], ~calls[~positive]):
        rows = rng.integers(0, len(hits), (N_RESAMPLES, len(hits)))
        halves.append(hits[rows].mean(axis=1))
    found: np.ndarray = (halves[0] + halves[1]) / 2
    return found


def bounded(value: float, resampled: np.ndarray) -> Bounded:
    """The value with the 2.5th and 97.5th percentiles of its resamples."""
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Bounded(value=value, low=float(low), high=float(high))


def _figures(kind: str, scores: np.ndarray, calls: np.ndarray, positive: np.ndarray) -> KindFigures:
    return KindFigures(
        kind=kind,
        separation=separation(scores, positive),
        balanced_accuracy=bounded(
            balanced_accuracy(calls, positive), resampled_accuracies(calls, positive)
        ),
        sensitivity=share_of(calls[positive]),
        specificity=share_of(~calls[~positive]),
        brier=float(np.square(scores - positive).mean()),
        slope=_slope(scores, positive),
        decision_curve=tuple(_benefit(level, scores, positive) for level in _LEVELS),
    )


def _benefit(level: float, scores: np.ndarray, positive: np.ndarray) -> NetBenefit:
    odds, called = level / (1 - level), scores >= level
    share = positive.mean()
    return NetBenefit(
        level=level,
        model=float((called & positive).mean() - odds * (called & ~positive).mean()),
        everybody=float(share - odds * (1 - share)),
    )


def _slope(scores: np.ndarray, positive: np.ndarray) -> float:
    fitted = LogisticRegression(C=1e6).fit(logit(scores)[:, None], positive)
    return float(fitted.coef_[0, 0])
