"""Judges a score of images, covariates, and both together, on the same patients, properly nested.

Whatever is chosen is chosen on the patients to fit on: the classifier's own options, the regression
that joins score and covariates, and the threshold of each call.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.judging.folds import Fold, fold_indices
from training.judging.stacking import (
    AskedCovariate,
    columns_of,
    described,
    fitted_stack,
)

IMAGE, COVARIATES, BOTH = "image", "covariates", "both"
_INNER_FOLDS, _SMALLEST_SPREAD = 4, 1e-9


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What some patients taught.

    out_of_fold: a logit for each of these patients, by models that were not fitted on that one.
    score: gives the logits of other patients, float64 (n,), by their rows.
    """

    out_of_fold: np.ndarray
    score: Callable[[np.ndarray], np.ndarray]


# From the rows of the patients to fit on to what they teach.
Learn = Callable[[np.ndarray], Learnt]


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """The patients.

    groups: their labels.
    covariates: each one's values by name, as text, empty if missing.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    positive: str
    covariates: tuple[Mapping[str, str], ...]

    @property
    def truth(self) -> np.ndarray:
        """Whether each is in the positive group, bool (P,)."""
        return np.array([group == self.positive for group in self.groups])


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """How one kind of score judges the patients of a fold.

    probabilities: float64 (n,).
    calls: bool (n,), by a threshold that was chosen on the patients to fit on.
    """

    probabilities: np.ndarray
    calls: np.ndarray
    threshold: float


@dataclass(frozen=True, kw_only=True)
class JudgedFold:
    """The patients of a fold by their rows, and what each kind of score says of them."""

    judged: np.ndarray
    kinds: dict[str, Verdicts]


def judged_fold(
    subjects: Subjects,
    asked: Sequence[AskedCovariate],
    learnt: Learnt,
    fold: Fold,
    *,
    joined: bool = False,
) -> JudgedFold:
    """One fold's patients, judged by what the others taught.

    Args:
        asked: the covariates; without any, only the image's score is judged.
        learnt: from the fold's patients to fit on.
        joined: whether what was learnt has the covariates in it, so that it is "both".

    Raises:
        UsageError, InputError: a covariate cannot be used.
    """
    fit, judge = fold
    known, new = learnt.out_of_fold[:, None], learnt.score(judge)[:, None]
    middle, spread = known.mean(), max(known.std(), _SMALLEST_SPREAD)
    image = (known - middle) / spread, (new - middle) / spread
    parts = {BOTH if joined else IMAGE: image}
    if asked:
        values = subjects.covariates
        found = [described(one, [values[i][one.name] for i in fit]) for one in asked]
        known, new = (
            columns_of(found, [values[i] for i in rows], [subjects.names[i] for i in rows])
            for rows in fold
        )
        parts[COVARIATES] = known, new
        if not joined:
            parts[BOTH] = np.hstack([image[0], known]), np.hstack([image[1], new])
    truth = subjects.truth[fit]
    kinds = {kind: _verdicts(*columns, truth) for kind, columns in parts.items()}
    return JudgedFold(judged=judge, kinds=kinds)


def judged_folds(
    subjects: Subjects,
    asked: Sequence[AskedCovariate],
    learn: Learn,
    folds: Sequence[Fold],
    *,
    joined: bool = False,
) -> list[JudgedFold]:
    """All folds, each judged by what its other patients teach."""
    return [judged_fold(subjects, asked, learn(f[0]), f, joined=joined) for f in folds]


def _verdicts(known: np.ndarray, new: np.ndarray, truth: np.ndarray) -> Verdicts:
    """Verdicts on new patients, (n, F), by a regression and a threshold from known ones, (m, F)."""
    out_of_fold = np.empty(len(truth))
    for fit, judge in fold_indices(truth, _INNER_FOLDS):
        out_of_fold[judge] = fitted_stack(known[fit], truth[fit]).logits(known[judge])
    threshold = best_threshold(_probabilities(out_of_fold), truth)
    found = _probabilities(fitted_stack(known, truth).logits(new))
    return Verdicts(probabilities=found, calls=found >= threshold, threshold=threshold)


def best_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The threshold with the best balanced accuracy, in the middle of the widest of equal gaps.

    Args:
        probabilities: of patients by models that were not fitted on them, (n,).
        truth: whether each is positive, bool (n,).
    """
    levels = np.unique(np.concatenate([[0.0], probabilities, [1.0]]))
    middles, widths = (levels[1:] + levels[:-1]) / 2, np.diff(levels)
    calls = probabilities >= middles[:, None]
    right = calls[:, truth].mean(1) + (~calls[:, ~truth]).mean(1)
    best = np.flatnonzero(right >= right.max() - 1e-12)
    return float(middles[best[np.argmax(widths[best])]])


def _probabilities(logits: np.ndarray) -> np.ndarray:
    found: np.ndarray = 1 / (1 + np.exp(-logits))
    return found
