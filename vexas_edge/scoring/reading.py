"""The first look at a model's cells: all are read once before any is encoded.

How bright the bare slide of the case is must be known before its first cell can be normalised, and
copies are found before they cost the engine anything.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vexas_edge.ahead import run_ahead
from vexas_edge.bundle.manifest import Manifest
from vexas_edge.cells.background import (
    Background,
    background_of_image,
    is_alone_on_black,
    middle_background,
)
from vexas_edge.cells.canvas import AS_IT_IS, DecodedCell, decode_cell
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.cells.likeness import near_copies, shows_nothing, signature_of_image
from vexas_edge.errors import CellError, InputError
from vexas_edge.results.values import UsedCell
from vexas_edge.smear.case import UNNAMED, Case, Cell
from vexas_edge.talk import Progress

# Images are kept until the engine wants them, up to this size a case, which is over 600 cells of
# 360 px; those beyond it are decoded again. So memory does not grow with the case.
KEPT_BYTES = 256 << 20

# An image is remarked on whose bare slide differs by more levels from the case's, or whose area is
# more than so many times larger or smaller than is usual in the case.
_OTHER_LIGHT, _OTHER_SIZE = 40, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadCell:
    """One distinct cell that could be read.

    background: the bare slide in its image.
    signature: by which images of the same cell are known, int16 (8, 8, 3).
    size_px: height and width of its image.
    alone_on_black: whether the cell was cut out, so that there is no slide around it.
    pixels: uint8 (H, W, 3) RGB; None where it is not kept.
    """

    cell: Cell
    record: UsedCell
    background: Background
    signature: NDArray[np.int16]
    size_px: tuple[int, int]
    alone_on_black: bool
    pixels: NDArray[np.uint8] | None


@dataclass(frozen=True, kw_only=True)
class ReadCells:
    """The cells of one model, read once.

    distinct: in the case's order.
    others: those that could not be read, that show nothing, and copies.
    """

    case: Case
    distinct: tuple[ReadCell, ...]
    others: tuple[UsedCell, ...]

    @property
    def records(self) -> tuple[UsedCell, ...]:
        """Of every cell, whether it can be used or not, by path."""
        own = (read.record for read in self.distinct)
        return tuple(sorted((*own, *self.others), key=lambda record: record.path))

    @property
    def background(self) -> Background:
        """The bare slide of the case, as the distinct cells show it, of which there is one."""
        return middle_background([read.background for read in self.distinct])

    def decoded(self, read: ReadCell) -> DecodedCell:
        """One of the distinct cells, with the pixels of its image.

        Raises:
            InputError: it is not what it was.
        """
        identity = bytes.fromhex(read.record.identity)
        return DecodedCell(record=read.record, identity=identity, pixels=self.pixels(read))

    def pixels(self, read: ReadCell) -> NDArray[np.uint8]:
        """The image of one of the distinct cells, uint8 (H, W, 3).

        Raises:
            InputError: it is not what it was.
        """
        if read.pixels is not None:
            return read.pixels
        again = decode_cell(self.case.source, read.cell, AS_IT_IS)
        found, known = again.record, read.record
        same = (found.identity, found.sha256) == (known.identity, known.sha256)
        if again.pixels is None or not same:
            raise _changed(read.cell.path)
        return again.pixels


@dataclass(frozen=True, kw_only=True)
class ReadSmear:
    """All cells of a case that a bundle's models look at, read once.

    of_models: by model, those that have a cell of their classes.
    unnamed: those that nobody has named, and that are no copy of one with a name; None where there
    are none.
    bystanders: those with a name that no model looks at, where all cells are read.
    started, clock: when reading began, as UTC and as `time.perf_counter` counts.
    """

    case: Case
    of_models: dict[str, ReadCells]
    unnamed: ReadCells | None = None
    bystanders: ReadCells | None = None
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
            raise _changed(record.path) from error


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
            copies.append(_copied(cell.record, "same_pixels", same))
        elif original < len(named):
            same = f"shows the same as {named[original].record.path}"
            copies.append(_copied(cell.record, "nearly_same_pixels", same))
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


def read_cells(
    case: Case,
    name: str,
    classes: Collection[str],
    progress: Progress,
    *,
    threads: int,
    room: int = KEPT_BYTES,
) -> ReadCells:
    """All cells of these classes, decoded once.

    Args:
        name: the model's, for the progress.
        room: how many bytes of images are kept.

    Raises:
        InputError, MemoryError: the disk or the PC fails, which says nothing about the cells.
    """
    cells = case.cells_of(classes)
    first: dict[str, ReadCell] = {}
    others: list[UsedCell] = []

    def work(cell: Cell) -> tuple[DecodedCell, ReadCell | None]:
        decoded = decode_cell(case.source, cell, AS_IT_IS)
        pixels = decoded.pixels
        return decoded, None if pixels is None else _measured(cell, decoded.record, pixels)

    with closing(run_ahead(work, cells, threads=threads)) as looked_at:
        for done, (decoded, measured) in enumerate(looked_at, start=1):
            record = decoded.record
            if measured is None:
                others.append(record)
            elif shows_nothing(measured.signature):
                others.append(empty_cell(record))
            elif record.identity in first:
                same = f"same pixels as {first[record.identity].record.path}"
                others.append(_copied(record, "same_pixels", same))
            else:
                room -= 0 if measured.pixels is None else measured.pixels.nbytes
                first[record.identity] = measured if room >= 0 else replace(measured, pixels=None)
            progress(f"{name} read", done, len(cells))
    distinct, copies = _without_near_copies(list(first.values()))
    return ReadCells(case=case, distinct=remarked(distinct), others=(*others, *copies))


def _measured(cell: Cell, record: UsedCell, pixels: NDArray[np.uint8]) -> ReadCell:
    image = Image.fromarray(pixels)
    return ReadCell(
        cell=cell,
        record=record,
        background=background_of_image(image),
        signature=signature_of_image(image),
        size_px=(pixels.shape[0], pixels.shape[1]),
        alone_on_black=is_alone_on_black(pixels),
        pixels=pixels,
    )


def _without_near_copies(cells: list[ReadCell]) -> tuple[list[ReadCell], list[UsedCell]]:
    """The cells that differ, and the records of those that show one of them again.

    Which one is kept depends on the images alone, not on their names.
    """
    ordered = sorted(cells, key=lambda read: read.record.identity)
    copies = near_copies([read.signature for read in ordered])
    records = [
        _copied(
            ordered[number].record,
            "nearly_same_pixels",
            f"shows the same as {ordered[original].record.path}",
        )
        for number, original in copies.items()
    ]
    dropped = {record.path for record in records}
    return [read for read in cells if read.record.path not in dropped], records


def remarked(cells: Sequence[ReadCell]) -> tuple[ReadCell, ...]:
    """The cells, with remarks on those whose image is unlike the others of the case."""
    if not cells:
        return ()
    usual = middle_background([read.background for read in cells])
    usual_px = sorted(_area_px(read) for read in cells)[(len(cells) - 1) // 2]

    def remarks(read: ReadCell) -> tuple[str, ...]:
        apart = max(abs(a - b) for a, b in zip(read.background, usual, strict=True))
        other_size = not usual_px <= _OTHER_SIZE * _area_px(read) <= _OTHER_SIZE**2 * usual_px
        return (*["other_light"] * (apart > _OTHER_LIGHT), *["other_size"] * other_size)

    return tuple(
        replace(read, record=replace(read.record, remarks=remarks(read))) for read in cells
    )


def _area_px(read: ReadCell) -> int:
    return read.size_px[0] * read.size_px[1]


def _changed(path: str) -> InputError:
    return InputError(f"{path} changed while its case was being scored; score the case again")


def empty_cell(record: UsedCell) -> UsedCell:
    """The record of a cell whose image shows nothing."""
    detail = "shows one colour all over, so no cell"
    return replace(record, status="rejected", reason="empty", detail=detail)


def _copied(record: UsedCell, reason: str, detail: str) -> UsedCell:
    return replace(record, status="duplicate", reason=reason, detail=detail)
