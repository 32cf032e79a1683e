"""Judges a score of images, covariates, and both together, on the same patients, properly nested.

Whatever is chosen is chosen on the patients to fit on: the classifier's own options, the regression
that joins score and covariates, and the threshold of each call.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.judging.folds import Fold
from training.judging.joining import Verdicts, joining_of
from training.judging.learnt import Learn, Learnt, Subjects
from training.judging.stacking import AskedCovariate


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
        asked, joined: as `joining_of` has them.
        learnt: from the fold's patients to fit on.

    Raises:
        UsageError, InputError: a covariate cannot be used.
    """
    fit, judge = fold
    joining = joining_of(subjects, asked, learnt, fit, joined=joined)
    values, names = subjects.covariates, subjects.names
    kinds = joining.verdicts(
        learnt.score(judge), [values[i] for i in judge], [names[i] for i in judge]
    )
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
