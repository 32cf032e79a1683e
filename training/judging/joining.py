"""Joins a score of images with covariates, and sets thresholds, by the patients to fit on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from training.judging.folds import fold_indices
from training.judging.learnt import Learnt, Subjects
from training.judging.stacking import (
    AskedCovariate,
    Stack,
    columns_of,
    described,
    fitted_stack,
)
from vexas_edge.covariates.covariate import Covariate

IMAGE, COVARIATES, BOTH = "image", "covariates", "both"
_INNER_FOLDS, _SMALLEST_SPREAD = 4, 1e-9


@dataclass(frozen=True, kw_only=True)
class FittedKind:
    """One kind of score: its regression, and the threshold of a call."""

    stack: Stack
    threshold: float


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """How one kind of score judges some patients.

    probabilities: float64 (n,).
    calls: bool (n,), by a threshold that was chosen on the patients to fit on.
    """

    probabilities: np.ndarray
    calls: np.ndarray
    threshold: float


@dataclass(frozen=True, kw_only=True)
class Joining:
    """Everything that the patients to fit on say of how scores and covariates are joined.

    middle, spread: of the image's logits out of fold, by which they are standardised.
    kinds: of scores, by name; the columns of "both" are the image's and the covariates'.
    joined: whether the image's logits have the covariates in them already, as "both" then has.
    """

    middle: float
    spread: float
    covariates: tuple[Covariate, ...]
    kinds: dict[str, FittedKind]
    joined: bool

    def verdicts(
        self, logits: np.ndarray, values: Sequence[Mapping[str, str]], names: Sequence[str]
    ) -> dict[str, Verdicts]:
        """The verdicts of each kind on some patients.

        Args:
            logits: of the image, float64 (n,).
            values: of the patients' covariates, as text.
            names: of the patients, for messages.

        Raises:
            InputError: a covariate's value is missing or is none.
        """
        image = (logits[:, None] - self.middle) / self.spread
        columns = columns_of(self.covariates, values, names)
        found = {}
        for name, kind in self.kinds.items():
            own = _columns(name, image, columns, joined=self.joined)
            scores = probabilities_of(kind.stack.logits(own))
            found[name] = Verdicts(
                probabilities=scores, calls=scores >= kind.threshold, threshold=kind.threshold
            )
        return found


def joining_of(
    subjects: Subjects,
    asked: Sequence[AskedCovariate],
    learnt: Learnt,
    fit: np.ndarray,
    *,
    joined: bool = False,
) -> Joining:
    """How scores and covariates are joined, by the patients to fit on.

    Args:
        asked: the covariates; without any, there is only the image's score.
        learnt: from these patients.
        fit: their rows.
        joined: whether what was learnt has the covariates in it, so that it is "both".

    Raises:
        UsageError, InputError: a covariate cannot be used.
    """
    values, truth = [subjects.covariates[i] for i in fit], subjects.truth[fit]
    covariates = tuple(described(one, subjects.covariates, fit) for one in asked)
    columns = columns_of(covariates, values, [subjects.names[i] for i in fit])
    logits = learnt.out_of_fold[:, None]
    middle, spread = float(logits.mean()), max(float(logits.std()), _SMALLEST_SPREAD)
    image = (logits - middle) / spread
    own = BOTH if joined else IMAGE
    names = dict.fromkeys((COVARIATES, own, BOTH)) if asked else (own,)
    return Joining(
        middle=middle,
        spread=spread,
        covariates=covariates,
        kinds={
            name: _fitted_kind(_columns(name, image, columns, joined=joined), truth)
            for name in names
        },
        joined=joined,
    )


def _columns(kind: str, image: np.ndarray, covariates: np.ndarray, *, joined: bool) -> np.ndarray:
    if kind == COVARIATES:
        return covariates
    return np.hstack([image, covariates]) if kind == BOTH and not joined else image


def _fitted_kind(columns: np.ndarray, truth: np.ndarray) -> FittedKind:
    """The regression of all patients; the threshold is chosen on what it says out of inner folds.

    Args:
        columns: float64 (n, F).
    """
    out_of_fold = np.empty(len(truth))
    for fit, judge in fold_indices(truth, _INNER_FOLDS):
        out_of_fold[judge] = fitted_stack(columns[fit], truth[fit]).logits(columns[judge])
    threshold = best_threshold(probabilities_of(out_of_fold), truth)
    return FittedKind(stack=fitted_stack(columns, truth), threshold=threshold)


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


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """The probabilities of logits, float64."""
    found: np.ndarray = expit(logits)
    return found
