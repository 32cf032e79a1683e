"""Scores of training patients by models that have not seen them."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

# The score of a case, from its cells' encodings, float32 (N, D), and their identities.
Scorer = Callable[[NDArray[np.float32], Sequence[bytes]], float]


def held_out_scorers(
    labels: Sequence[str], fit_scorer: Callable[[NDArray[np.intp]], Scorer], seed: int = 0
) -> list[Scorer]:
    """For each patient a scorer that was fitted without it, five in all, or fewer.

    Args:
        labels: of each patient.
        fit_scorer: fits the model's classifier on the patients of these indices.

    Raises:
        ValueError: a label has one patient only.
    """
    rarest = min(list(labels).count(label) for label in set(labels))
    folds = StratifiedKFold(min(5, rarest), shuffle=True, random_state=seed)
    scorers: dict[int, Scorer] = {}
    for fitted, left in folds.split(labels, labels):
        scorer = fit_scorer(fitted)
        scorers |= dict.fromkeys(left.tolist(), scorer)
    return [scorers[place] for place in range(len(labels))]
