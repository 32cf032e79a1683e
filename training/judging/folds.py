"""Splits of patients into those that are learnt from and those that are judged."""

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from vexas_edge.errors import InputError

# The rows that are learnt from, and those that are judged; int64 each.
Fold = tuple[np.ndarray, np.ndarray]

_HALVINGS = 10


def fold_indices(names: np.ndarray, most_folds: int, seed: int = 0) -> Iterator[Fold]:
    """Stratified folds of patients.

    Args:
        names: the group of each patient, (P,).
        most_folds: the number of folds, or less if the rarest group has fewer patients.

    Raises:
        InputError: there are fewer than two groups, or a group has fewer than two patients.
    """
    groups, counts = np.unique(names, return_counts=True)
    rarest = min(counts)
    if len(groups) < 2 or rarest < 2:
        found = ", ".join(f"{group} {n}" for group, n in zip(groups, counts, strict=True))
        raise InputError(
            f"folds need at least two groups of at least two patients each; there are {found}"
        )
    splitter = StratifiedKFold(min(most_folds, int(rarest)), shuffle=True, random_state=seed)
    yield from splitter.split(names, names)


def halvings(names: np.ndarray, seed: int = 0) -> Iterator[Fold]:
    """Ten random halves of the patients, stratified, each judged by what the other half teaches.

    It is how the lymphocytosis study (Grisi and Schmidt-Mengin) judged. Its halves share patients,
    so ten of them are not ten times the evidence.
    """
    splitter = StratifiedShuffleSplit(_HALVINGS, test_size=0.5, random_state=seed)
    yield from splitter.split(names, names)
