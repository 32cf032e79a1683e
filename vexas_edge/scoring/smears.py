"""All cells of a case, read once, and the names that were given to them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.cells.vectors.case import TableCase
from vexas_edge.errors import CellError
from vexas_edge.results.typing import CellTyping, Retyping
from vexas_edge.results.values import UsedCell
from vexas_edge.scoring.images.reading import ReadCells, changed
from vexas_edge.scoring.vectors.reading import ReadTable
from vexas_edge.smear.case import Case


@dataclass(frozen=True, kw_only=True)
class ReadSmear:
    """All cells of a case that a bundle's models look at, read once.

    of_models: by model, those that have a cell of their classes.
    unnamed: those that nobody has named, and that are no copy of one with a name; None where there
    are none.
    bystanders: those with a name that no model looks at, where all cells are read.
    retyping: what models that name cells said of those with a name; None where that was not asked.
    started, clock: when reading began, as UTC and as `time.perf_counter` counts.
    """

    case: Case
    of_models: dict[str, ReadCells]
    unnamed: ReadCells | None = None
    bystanders: ReadCells | None = None
    retyping: Retyping | None = None
    started: datetime
    clock: float

    @property
    def groups(self) -> tuple[ReadCells, ...]:
        """All that were read."""
        others = (one for one in (self.unnamed, self.bystanders) if one is not None)
        return (*self.of_models.values(), *others)

    @property
    def records(self) -> Iterator[UsedCell]:
        """Of every cell that was read, by a model at a time."""
        return (record for cells in self.groups for record in cells.records)

    def pixels(self, record: UsedCell) -> NDArray[np.uint8]:
        """The image of a cell that could be read, uint8 (H, W, 3).

        Raises:
            InputError: it is not what it was.
        """
        for cells in self.groups:
            for read in cells.distinct:
                if read.record.path == record.path:
                    return cells.pixels(read)
        try:
            return rgb_from_bytes(self.case.source.read(record.path))
        except CellError as error:
            raise changed(record.path) from error


# A case that was opened, and one whose cells were read.
AnyCase = Case | TableCase
ReadCase = ReadSmear | ReadTable


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
