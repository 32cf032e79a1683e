"""Which classes are learnt: those that have cells enough, with near synonyms taken together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vexas_edge.errors import InputError
from vexas_edge.smear.vocabulary import SUBCLASSES

# Classes that are too rare or too alike to be learnt each for itself.
_TAKEN_AS = {
    "myeloblast": "blast",
    "monoblast": "blast",
    "platelet_giant": "platelet",
    "platelet_clump": "platelet",
    "prolymphocyte": "lymphocyte_variant",
}
_LEAST_CELLS, _LEAST_OWNERS = 15, 2


@dataclass(frozen=True, kw_only=True)
class LearntClasses:
    """The classes that a model gives.

    names: in alphabetical order.
    allowed: which of them each cell may be of, bool (N, C): one, or several where a source names
        no finer class than neutrophils, say; none for a cell of another class.
    """

    names: tuple[str, ...]
    allowed: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """The place of each cell's class, int64 (N,); -1 where it is none or one of several."""
        return np.where(self.allowed.sum(axis=1) == 1, self.allowed.argmax(axis=1), -1)


def taken_as(label: str) -> str:
    """The class that cells of a canonical class count as.

    >>> taken_as("monoblast")
    'blast'
    """
    return _TAKEN_AS.get(label, label)


def learnt_classes(labels: Sequence[str], owners: Sequence[str]) -> LearntClasses:
    """The classes with at least 15 cells of at least two patients.

    Where nothing tells patients apart, the patients are the sources, and one is enough. A class
    that finer ones make up is no class of its own where all of these are learnt; where only some
    are, its cells teach nothing, as they may be of the others.

    Raises:
        InputError: there are fewer than two such classes.
    """
    taken = [taken_as(label) for label in labels]
    least_owners = min(_LEAST_OWNERS, len(set(owners)))
    found = []
    for name in sorted(set(taken)):
        own = [owner for owner, one in zip(owners, taken, strict=True) if one == name]
        if len(own) >= _LEAST_CELLS and len(set(own)) >= least_owners:
            found.append(name)
    names = [name for name in found if not set(SUBCLASSES.get(name, ())) & set(found)]
    if len(names) < 2:
        counts = ", ".join(f"{name} {taken.count(name)}" for name in sorted(set(taken)))
        raise InputError(
            f"at least two classes need {_LEAST_CELLS} cells of {least_owners} patients; there are "
            f"{counts}"
        )
    whole = {name for name, finer in SUBCLASSES.items() if set(finer) <= set(names)}
    meant = [{label, *(SUBCLASSES[label] if label in whole else ())} for label in taken]
    allowed = np.array([[name in one for name in names] for one in meant])
    return LearntClasses(names=tuple(names), allowed=allowed)
