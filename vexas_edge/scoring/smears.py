"""All cells of a case, read once: of each model, others where cells are named, and the names."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from vexas_edge.bundle.manifest import Manifest
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.cells.likeness import near_copies
from vexas_edge.errors import CellError, InputError
from vexas_edge.results.typing import CellTyping, Retyping
from vexas_edge.results.values import UsedCell
from vexas_edge.scoring.reading import KEPT_BYTES, ReadCell, ReadCells, changed, copied, read_cells
from vexas_edge.smear.case import UNNAMED, Case
from vexas_edge.talk import Progress


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


def read_smear(
    case: Case, manifest: Manifest, progress: Progress, *, threads: int, whole: bool = False
) -> ReadSmear:
    """All cells that the bundle's models look at, decoded once; no engine is needed.

    Args:
        whole: whether all other cells are read, too, as where a model names cells.

    Raises:
        InputError: no image can be read, or the disk fails, which says nothing about the cells.
        MemoryError: the PC fails.
    """
    started, clock, room = datetime.now(UTC), time.perf_counter(), KEPT_BYTES
    of_models: dict[str, ReadCells] = {}
    for name, model in manifest.models.items():
        if not case.cells_of(model.cells):
            continue
        read = read_cells(case, name, model.cells, progress, threads=threads, room=room)
        room -= _kept_bytes(read)
        of_models[name] = read
    found = ReadSmear(case=case, of_models=of_models, started=started, clock=clock)
    if whole:
        found = _with_all_others(found, progress, threads=threads, room=room)
    _check_any_readable(found)
    return found


def _kept_bytes(read: ReadCells) -> int:
    """How many bytes of images are kept."""
    return sum(cell.pixels.nbytes for cell in read.distinct if cell.pixels is not None)


def _with_all_others(read: ReadSmear, progress: Progress, *, threads: int, room: int) -> ReadSmear:
    """The same smear with the cells that no model looks at, and those that nobody has named.

    A cell that lies in another folder with a name is known by that name, whatever a model would
    say; and all cells are counted.
    """
    case, looked_at = read.case, {cell.path for cell in read.records}
    classes = {cell.cell_class for cell in case.cells if cell.path not in looked_at} - {UNNAMED}
    bystanders = None
    if classes:
        bystanders = read_cells(case, "others", classes, progress, threads=threads, room=0)
    if not case.unnamed:
        return replace(read, bystanders=bystanders)
    unnamed = read_cells(case, "unnamed", (UNNAMED,), progress, threads=threads, room=room)
    named = [*read.of_models.values(), *([bystanders] if bystanders else [])]
    distinct = [cell for cells in named for cell in cells.distinct]
    return replace(read, bystanders=bystanders, unnamed=_without_copies_of(distinct, unnamed))


def _without_copies_of(named: Sequence[ReadCell], unnamed: ReadCells) -> ReadCells:
    """The unnamed cells but those that show a named one; these are copies."""
    if not named:
        return unnamed
    by_identity = {cell.record.identity: cell.record.path for cell in named}
    signatures = [cell.signature for cell in (*named, *unnamed.distinct)]
    near = near_copies(signatures)
    kept, copies = [], []
    for number, cell in enumerate(unnamed.distinct, start=len(named)):
        original = near.get(number, len(named))
        if cell.record.identity in by_identity:
            same = f"same pixels as {by_identity[cell.record.identity]}"
            copies.append(copied(cell.record, "same_pixels", same))
        elif original < len(named):
            same = f"shows the same as {named[original].record.path}"
            copies.append(copied(cell.record, "nearly_same_pixels", same))
        else:
            kept.append(cell)
    return replace(unnamed, distinct=tuple(kept), others=(*unnamed.others, *copies))


def _check_any_readable(read: ReadSmear) -> None:
    """Check that not every image is unreadable, which says something of the export and not of it.

    Raises:
        InputError: every one is.
    """
    records = list(read.records)
    if records and all(record.status == "unreadable" for record in records):
        first = records[0]
        raise InputError(
            f"none of its {len(records)} images can be read ({first.path}: {first.detail}); export "
            "or copy the smear again"
        )
