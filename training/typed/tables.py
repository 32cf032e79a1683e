"""How well cells are told apart: tables of some classes, as the Leukopy study prints them.

In a table only cells of its classes count, and only its classes can be said; how well a model keeps
from naming other cells is judged by `training.typed.acceptance`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.judging.comparison import Bounded, bounded
from training.typing.turns import SaidInTurn
from vexas_edge.typing.rule import meant_by

# For each table, its classes and the canonical classes that each of them is made of.
_FIVE = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil")
_OTHERS = ("eosinophil", "basophil", "lymphocyte", "monocyte", "erythroblast", "platelet")
_GRANULOCYTES = (
    *("neutrophil_segmented", "neutrophil_band"),
    *("metamyelocyte", "myelocyte", "promyelocyte"),
)
TABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "five": {name: meant_by(name) for name in _FIVE},
    "eight": {
        "neutrophil_segmented": ("neutrophil_segmented",),
        "immature_granulocyte": ("neutrophil_band", *meant_by("immature_granulocyte")),
        **{name: meant_by(name) for name in _OTHERS},
    },
    "subclasses": {name: (name,) for name in _GRANULOCYTES},
    "eleven": {name: meant_by(name) for name in (*_GRANULOCYTES, *_OTHERS)},
}
_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """Of one class of a table: its cells, and how many are found and are right."""

    n: int
    recall: float
    precision: float | None
    f1: float


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table.

    confusion: the number of cells of each class (row) that were called each class (column).
    frozen: balanced accuracy of an SVM on the features of the encoder as it starts, on the same
        folds; None where there are no folds. gain: balanced accuracy less that.
    per_source: balanced accuracy by source, over its own classes of the table.
    """

    name: str
    n: int
    n_owners: int
    accuracy: float
    balanced_accuracy: Bounded
    macro_f1: float
    classes: dict[str, ClassFigures]
    confusion: tuple[tuple[int, ...], ...]
    per_source: dict[str, float]
    frozen: Bounded | None = None
    gain: Bounded | None = None


@dataclass(frozen=True, kw_only=True)
class JudgedCells:
    """Cells and what was said of them by what had not seen them.

    labels: canonical classes.
    owners: patients, or sources where they are not known.
    said: of them.
    """

    labels: tuple[str, ...]
    owners: tuple[str, ...]
    sources: tuple[str, ...]
    said: SaidInTurn


def table_of(judged: JudgedCells, name: str, frozen: np.ndarray | None = None) -> Table | None:
    """One of `TABLES`; None where cells of fewer than two of its classes are there or learnt.

    Args:
        frozen: the class of the table that the SVM on frozen features says, str (N,); an empty text
            for a cell of another class.
    """
    groups = groups_of(judged, name)
    if len(groups) < 2:
        return None
    truth = places_in(judged.labels, groups)
    rows = np.flatnonzero(truth >= 0)
    shares = np.stack([_share_of(judged, meant) for meant in groups.values()], axis=1)
    said = shares.argmax(axis=1)
    per_owner = _confusions(truth[rows], said[rows], np.array(judged.owners)[rows], len(groups))
    confusion = per_owner.sum(axis=0)
    found = {group: _figures(confusion, i) for i, group in enumerate(groups)}
    drawn = _drawn_owners(len(per_owner))
    resampled = _balanced(drawn, per_owner)
    frozen_figure = gain = None
    if frozen is not None:
        called = np.array([list(groups).index(one) if one else -1 for one in frozen])
        theirs = _confusions(truth[rows], called[rows], np.array(judged.owners)[rows], len(groups))
        others = _balanced(drawn, theirs)
        frozen_figure = bounded(_balanced_accuracy(theirs.sum(axis=0)), others)
        difference = _balanced_accuracy(confusion) - _balanced_accuracy(theirs.sum(axis=0))
        gain = bounded(difference, resampled - others)
    return Table(
        name=name,
        n=len(rows),
        n_owners=len(per_owner),
        accuracy=float(np.trace(confusion) / confusion.sum()),
        balanced_accuracy=bounded(_balanced_accuracy(confusion), resampled),
        macro_f1=float(np.mean([figures.f1 for figures in found.values()])),
        classes=found,
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        per_source=_per_source(judged, truth, said, len(groups)),
        frozen=frozen_figure,
        gain=gain,
    )


def groups_of(judged: JudgedCells, name: str) -> dict[str, tuple[str, ...]]:
    """The classes of a table of which there are cells, and of which the model knows one."""
    return {
        group: meant
        for group, meant in TABLES[name].items()
        if set(meant) & set(judged.labels) and set(meant) & set(judged.said.classes)
    }


def places_in(labels: Sequence[str], groups: Mapping[str, Sequence[str]]) -> np.ndarray:
    """The place of each label's group, int64 (N,); -1 for a label of none."""
    places = {label: place for place, meant in enumerate(groups.values()) for label in meant}
    return np.array([places.get(label, -1) for label in labels])


def _share_of(judged: JudgedCells, meant: Sequence[str]) -> np.ndarray:
    columns = [place for place, name in enumerate(judged.said.classes) if name in meant]
    return judged.said.probabilities[:, columns].sum(axis=1)


def _confusions(
    truth: np.ndarray, said: np.ndarray, owners: np.ndarray, n_groups: int
) -> np.ndarray:
    """For each owner, how many cells of each class were called each class, int64 (P, C, C)."""
    names, places = np.unique(owners, return_inverse=True)
    found = np.zeros((len(names), n_groups, n_groups), np.int64)
    known = said >= 0
    np.add.at(found, (places[known], truth[known], said[known]), 1)
    return found


def _drawn_owners(n_owners: int) -> np.ndarray:
    """How often each owner is in each resample, int64 (R, P)."""
    rng = np.random.default_rng(0)
    return rng.multinomial(n_owners, np.full(n_owners, 1 / n_owners), size=_RESAMPLES)


def _balanced(drawn: np.ndarray, per_owner: np.ndarray) -> np.ndarray:
    """Balanced accuracy of each resample, float64 (R,), over the classes that are in it."""
    shape = per_owner.shape[1:]
    confusions = (drawn @ per_owner.reshape(len(per_owner), -1)).reshape(-1, *shape)
    n = confusions.sum(axis=2)
    right = np.diagonal(confusions, axis1=1, axis2=2)
    recalls = np.where(n > 0, right / np.maximum(n, 1), np.nan)
    return np.asarray(np.nanmean(recalls, axis=1))


def _balanced_accuracy(confusion: np.ndarray) -> float:
    n = confusion.sum(axis=1)
    return float(np.mean(np.diagonal(confusion)[n > 0] / n[n > 0]))


def _figures(confusion: np.ndarray, place: int) -> ClassFigures:
    right, n, called = confusion[place, place], confusion[place].sum(), confusion[:, place].sum()
    return ClassFigures(
        n=int(n),
        recall=float(right / n),
        precision=float(right / called) if called else None,
        f1=float(2 * right / (n + called)),
    )


def _per_source(
    judged: JudgedCells, truth: np.ndarray, said: np.ndarray, n_groups: int
) -> dict[str, float]:
    sources, found = np.array(judged.sources), {}
    for source in dict.fromkeys(judged.sources):
        rows = np.flatnonzero((sources == source) & (truth >= 0))
        if len(rows):
            (confusion,) = _confusions(truth[rows], said[rows], sources[rows], n_groups)
            found[source] = _balanced_accuracy(confusion)
    return found
