"""How a model's probabilities become the class of a cell: one rule for training and scoring alike.

A cell is named by its most probable class if that is sure enough. If not, but several finer classes
together are, such as segmented and band neutrophils, it is named by the class that they make up.
Else it stays without a name, which is better than a wrong one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vexas_edge.smear.case import UNNAMED
from vexas_edge.smear.vocabulary import SUBCLASSES


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedCell:
    """What a model says of a cell.

    predicted, probability: the likeliest class, and how likely it is.
    name: the class by which the cell is named, or `UNNAMED`.
    """

    predicted: str
    probability: float
    name: str


def wider_classes(classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The classes that two or more of these make up, with the places of these.

    >>> wider_classes(["neutrophil_band", "lymphocyte", "neutrophil_segmented"])
    {'neutrophil': (0, 2)}
    """
    found = {
        wide: tuple(i for i, name in enumerate(classes) if name in (wide, *finer))
        for wide, finer in SUBCLASSES.items()
    }
    return {wide: places for wide, places in found.items() if len(places) > 1}


def candidates(
    probabilities: NDArray[np.float64], classes: Sequence[str]
) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.float64]]]:
    """For each name that a cell may get, which cells might get it, and how probable it is of each.

    Args:
        probabilities: float64 (N, C).
        classes: C of them.

    Returns:
        bool (N,) and float64 (N,) by name, wider classes first.
    """
    best = probabilities.argmax(axis=1)
    places = wider_classes(classes)
    places |= {name: (i,) for i, name in enumerate(classes) if name not in places}
    return {
        name: (np.isin(best, own), probabilities[:, list(own)].sum(axis=1))
        for name, own in places.items()
    }


def named(
    probabilities: NDArray[np.float64], classes: Sequence[str], limits: Mapping[str, float]
) -> list[NamedCell]:
    """The names of N cells.

    Args:
        probabilities: float64 (N, C).
        classes: C of them.
        limits: the least probability with which a cell is named so; no cell gets a name that is not
            among them.

    >>> limits = {"lymphocyte": 0.8, "neutrophil": 0.9}
    >>> kinds = ["lymphocyte", "neutrophil_segmented", "neutrophil_band"]
    >>> found = named(np.array([[0.9, 0.1, 0], [0.02, 0.6, 0.38], [0.5, 0.3, 0.2]]), kinds, limits)
    >>> [(cell.predicted, cell.name) for cell in found]
    [('lymphocyte', 'lymphocyte'), ('neutrophil_segmented', 'neutrophil'), ('lymphocyte', '')]
    """
    names = np.full(len(probabilities), UNNAMED, dtype=object)
    for name, (may, probability) in candidates(probabilities, classes).items():
        if name in limits:  # a finer name, which comes later, takes the place of a wider one
            names[may & (probability >= limits[name])] = name
    best = probabilities.argmax(axis=1)
    return [
        NamedCell(predicted=classes[place], probability=float(row[place]), name=name)
        for place, row, name in zip(best.tolist(), probabilities, names.tolist(), strict=True)
    ]


def meant_by(name: str) -> tuple[str, ...]:
    """The canonical classes of which a cell is rightly called by this name."""
    return (name, *SUBCLASSES.get(name, ()))


def is_of(name: str, classes: Sequence[str]) -> bool:
    """Whether a model that takes these classes takes a cell of this name.

    A wide name counts if the model takes every class that it may mean, a fine one if it is named.

    >>> is_of("neutrophil", ["neutrophil_segmented", "neutrophil_band"])
    True
    >>> is_of("neutrophil", ["neutrophil_segmented"])
    False
    """
    finer = SUBCLASSES.get(name)
    return name in classes or (finer is not None and set(finer) <= set(classes))
