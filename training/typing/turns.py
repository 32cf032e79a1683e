"""What models say of cells that are asked in turn: each later one of those that it is for.

The first is asked of all cells. A later one names anew those with certain names, and shares out
among its classes the probability that their classes had.
"""

from dataclasses import dataclass, field

import numpy as np

from vexas_edge.typing.rule import meant_by, named


@dataclass(frozen=True, kw_only=True)
class OneSaid:
    """What one model says of N cells.

    classes: C of them. probabilities: float64 (N, C).
    limits: the least probability with which a cell gets each name.
    of: the names whose cells it names anew, and whose probability it shares out; empty for the
        first.
    """

    classes: tuple[str, ...]
    probabilities: np.ndarray
    limits: dict[str, float]
    of: tuple[str, ...] = ()

    @property
    def names(self) -> np.ndarray:
        """The name of each cell if it is asked, str (N,); empty where it is not sure enough."""
        found = named(self.probabilities, self.classes, self.limits)
        return np.array([cell.name for cell in found], dtype=object)


@dataclass(frozen=True, kw_only=True)
class SaidInTurn:
    """What all of them say: the classes that are told in the end, and the name of each cell.

    strange: whether its patient is so unlike those fitted on that the cell has no name, bool (N,);
        empty where nothing tells.
    """

    classes: tuple[str, ...]
    probabilities: np.ndarray
    names: np.ndarray
    strange: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))


def said_in_turn(first: OneSaid, *others: OneSaid) -> SaidInTurn:
    """Join what models say of the same cells."""
    said = SaidInTurn(classes=first.classes, probabilities=first.probabilities, names=first.names)
    for one in others:
        said = _joined(said, one)
    return said


def _joined(before: SaidInTurn, one: OneSaid) -> SaidInTurn:
    whose = {name for wide in one.of for name in meant_by(wide)}
    shared = [place for place, name in enumerate(before.classes) if name in whose]
    columns = {
        name: before.probabilities[:, place]
        for place, name in enumerate(before.classes)
        if place not in shared
    }
    mass = before.probabilities[:, shared].sum(axis=1)
    for name, own in zip(one.classes, one.probabilities.T, strict=True):
        columns[name] = columns.get(name, 0.0) + mass * own
    anew = np.isin(before.names, one.of) & (one.names != "")
    return SaidInTurn(
        classes=tuple(columns),
        probabilities=np.stack(list(columns.values()), axis=1),
        names=np.where(anew, one.names, before.names),
    )
