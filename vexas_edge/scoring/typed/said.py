"""What models that name cells say, and a smear whose cells have such names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vexas_edge.results.typing import CellTyping
from vexas_edge.results.values import UsedCell
from vexas_edge.scoring.reading import ReadSmear

NONE_KNOWN: Mapping[str, NDArray[np.float32]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class SaidOfCells:
    """What a model that names cells says of some.

    records: of all of them.
    probabilities: of each class, float64 (C,), by the identity of each cell that could be put on
    the model's canvas.
    encodings: of the same cells, float32 (D,).
    """

    records: tuple[UsedCell, ...]
    probabilities: Mapping[str, NDArray[np.float64]]
    encodings: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class TypedSmear:
    """A smear whose cells have the names that a model gave.

    read: its models have the cells that were named as theirs, too.
    typing: how cells were named; None where there was nobody to name them, or nothing to name.
    cells: those that nobody had named, by path.
    is_whole: whether all cells were read, since there is a model that names cells.
    encodings: of cells that were named, float32 (D,), by the model that named them and by identity.
    """

    read: ReadSmear
    typing: CellTyping | None = None
    cells: tuple[UsedCell, ...] = ()
    is_whole: bool = False
    encodings: Mapping[str, Mapping[str, NDArray[np.float32]]] = field(default_factory=dict)
