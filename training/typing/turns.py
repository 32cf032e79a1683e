"""What models say of cells that are asked in turn: each later one of those that it is for.

The first is asked of all cells. A later one names anew those with certain names, and shares out
among its classes the probability that their classes had.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """What all of them say of N cells.

    classes: the C that are told in the end. probabilities: float64 (N, C).
    names: the name of each, str (N,); empty where nothing is sure enough.
    strange: whether it has none since its patient is unlike those fitted on, bool (N,).
    """

    classes: tuple[str, ...]
    probabilities: np.ndarray
    names: np.ndarray
    strange: np.ndarray

    def without_strange(self, strange: np.ndarray) -> "SaidInTurn":
        """The same, but these cells, bool (N,), have no names."""
        return replace(self, names=np.where(strange, "", self.names), strange=strange)

    def of_rows(self, rows: np.ndarray) -> "SaidInTurn":
        """What is said of some of the cells, int64 (M,)."""
        return replace(
            self,
            probabilities=self.probabilities[rows],
            names=self.names[rows],
            strange=self.strange[rows],
        )


def said_of_all(parts: Sequence[SaidInTurn]) -> SaidInTurn:
    """What is said of several lots of cells, of one lot after the other."""
    return SaidInTurn(
        classes=parts[0].classes,
        probabilities=np.concatenate([one.probabilities for one in parts]),
        names=np.concatenate([one.names for one in parts]),
        strange=np.concatenate([one.strange for one in parts]),
    )


def said_in_turn(first: OneSaid, *others: OneSaid) -> SaidInTurn:
    """Join what models say of the same cells."""
    said = SaidInTurn(
        classes=first.classes,
        probabilities=first.probabilities,
        names=first.names,
        strange=np.zeros(len(first.probabilities), bool),
    )
    for one in others:
        said = _named_anew(said, one)
    return said


def _named_anew(before: SaidInTurn, one: OneSaid) -> SaidInTurn:
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
    return replace(
        before,
        classes=tuple(columns),
        probabilities=np.stack(list(columns.values()), axis=1),
        names=np.where(anew, one.names, before.names),
    )
