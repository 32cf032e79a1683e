"""The differential count: how many cells of each class, and which share of all leukocytes."""

from collections import Counter
from collections.abc import Iterable
from math import sqrt

from vexas_edge.results.typing import ClassCount
from vexas_edge.results.values import UsedCell
from vexas_edge.smear.vocabulary import CELL_CLASSES

# What lies among white cells and is none.
_NO_LEUKOCYTES = frozenset(
    {"erythroblast", "platelet", "platelet_giant", "platelet_clump", "smudge", "artefact"}
    | {"unidentified"}
)
_Z = 1.959964  # of a 95 % interval


def differential(named: Iterable[UsedCell], typed: Iterable[UsedCell]) -> dict[str, ClassCount]:
    """The count of each class, in the vocabulary's order, of the distinct cells that can be read.

    A model names cells of some classes more often than of others. So an interval begins where none
    of the cells without a name is of the class, and ends where all of them are.

    Args:
        named: the cells that have a class by their names, some maybe twice.
        typed: the cells that a model was asked about.
    """
    own = {cell.path: cell.cell_class for cell in named if cell.status == "used"}
    shown = [cell for cell in typed if cell.status == "used"]
    by_names = Counter(own.values())
    by_model = Counter(cell.cell_class for cell in shown if cell.named_by == "model")
    n_unnamed = len(shown) - by_model.total()
    counts = {name: by_names[name] + by_model[name] for name in CELL_CLASSES}
    total = sum(n for name, n in counts.items() if name not in _NO_LEUKOCYTES)
    return {
        name: ClassCount(n=n, n_by_model=by_model[name])
        if name in _NO_LEUKOCYTES
        else _count(n, by_model[name], total, n_unnamed)
        for name, n in counts.items()
        if n
    }


def _count(n: int, n_by_model: int, total: int, n_unnamed: int) -> ClassCount:
    return ClassCount(
        n=n,
        n_by_model=n_by_model,
        share=n / total,
        low=wilson(n, total + n_unnamed)[0],
        high=wilson(n + n_unnamed, total + n_unnamed)[1],
    )


def wilson(k: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson (JASA 1927), for k of n, n above 0.

    >>> [round(end, 3) for end in wilson(5, 100)]
    [0.022, 0.112]
    """
    share, extra = k / n, _Z**2 / n
    middle = (share + extra / 2) / (1 + extra)
    half = _Z * sqrt(share * (1 - share) / n + extra / (4 * n)) / (1 + extra)
    return max(0.0, middle - half), min(1.0, middle + half)
