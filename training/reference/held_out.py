"""Scores of training patients by models that have not seen them."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

# The scores of some bags of cells, float64 (B,): from each one's encodings, float32 (N, D), and the
# identities of these cells.
Bag = tuple[NDArray[np.float32], Sequence[bytes]]
Scorer = Callable[[Sequence[Bag]], NDArray[np.float64]]


def held_out_scorers(
    patients: Sequence[str],
    labels: Sequence[str],
    fit_scorer: Callable[[NDArray[np.intp]], Scorer],
    seed: int = 0,
) -> list[Scorer]:
    """For each case a scorer that was fitted without its patient, five in all, or fewer.

    Args:
        patients: whose each case is. labels: of each case, the same for all of a patient.
        fit_scorer: fits the model's classifier on the cases of these indices.

    Raises:
        ValueError: a label has one patient only.
    """
    label_of = dict(zip(patients, labels, strict=True))
    names, groups = np.array(list(label_of)), list(label_of.values())
    rarest = min(groups.count(label) for label in set(groups))
    folds = StratifiedKFold(min(5, rarest), shuffle=True, random_state=seed)
    owners = np.array(patients)
    scorers: dict[int, Scorer] = {}
    for _, left in folds.split(groups, groups):
        is_left = np.isin(owners, names[left])
        scorer = fit_scorer(np.flatnonzero(~is_left))
        scorers |= dict.fromkeys(np.flatnonzero(is_left).tolist(), scorer)
    return [scorers[place] for place in range(len(owners))]
