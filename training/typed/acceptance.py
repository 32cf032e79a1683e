"""Which cells get a name, which name, and how often it is right; every labelled cell counts."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from training.typed.tables import JudgedCells
from training.typing.classes import taken_as
from vexas_edge.smear.vocabulary import SUBCLASSES
from vexas_edge.typing.rule import meant_by

_BINS = 10


@dataclass(frozen=True, kw_only=True)
class NameFigures:
    """One name, finer ones of the same class included.

    n_named: how many cells got it. n_right: how many of these are of its class.
    n_of_class: how many cells there are of its class. found: the share of these that got it.
    """

    n_named: int
    n_right: int
    n_of_class: int
    precision: float | None
    found: float | None


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """What became of all labelled cells.

    of_names: by name.
    of_labels: for each canonical class, how many of its cells got each name; an empty text is none.
    """

    of_names: dict[str, NameFigures]
    of_labels: dict[str, dict[str, int]]


@dataclass(frozen=True, kw_only=True)
class Sureness:
    """Whether cells are of the class that is most probable as often as is said.

    bins: for each tenth of the probability, the number of cells, its mean and the share that is
        right.
    error: the mean difference of the two, weighed by cells (expected calibration error).
    """

    bins: tuple[tuple[int, float, float], ...]
    error: float


def acceptance_of(judged: JudgedCells) -> Acceptance:
    """Names beside labels."""
    names, truth = judged.said.names, np.array(judged.labels)
    given = {name for name in names if name}
    wide = {wide for wide, finer in SUBCLASSES.items() if given & {wide, *finer}}
    labels = sorted(set(judged.labels))
    of_labels = {label: dict(Counter(names[truth == label].tolist())) for label in labels}
    return Acceptance(
        of_names={name: _figures(judged, name) for name in sorted(given | wide)},
        of_labels=of_labels,
    )


def _figures(judged: JudgedCells, name: str) -> NameFigures:
    is_named = np.isin(judged.said.names, meant_by(name))
    is_of_class = np.isin(judged.labels, meant_by(name))
    n_named, n_right, n = (
        int(is_named.sum()),
        int((is_named & is_of_class).sum()),
        int(is_of_class.sum()),
    )
    return NameFigures(
        n_named=n_named,
        n_right=n_right,
        n_of_class=n,
        precision=n_right / n_named if n_named else None,
        found=n_right / n if n else None,
    )


def sureness_of(judged: JudgedCells) -> Sureness:
    """Calibration over the cells of learnt classes."""
    labels = np.array([taken_as(label) for label in judged.labels])
    known = np.isin(labels, judged.said.classes)
    probability = judged.said.probabilities.max(axis=1)[known]
    best = np.array(judged.said.classes)[judged.said.probabilities.argmax(axis=1)][known]
    right = best == labels[known]
    place = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    bins = tuple(
        (int(own.sum()), float(probability[own].mean()), float(right[own].mean()))
        for own in (place == one for one in range(_BINS))
        if own.any()
    )
    n_cells = sum(n for n, _, _ in bins)
    error = sum(n * abs(mean - share) for n, mean, share in bins) / n_cells if n_cells else 0.0
    return Sureness(bins=bins, error=float(error))
