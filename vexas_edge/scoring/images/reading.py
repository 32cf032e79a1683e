"""The first look at a model's cells: all are read once before any is encoded.

How bright the bare slide of the case is must be known before its first cell can be normalised, and
copies are found before they cost the engine anything.
"""

from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vexas_edge.ahead import run_ahead
from vexas_edge.cells.background import (
    Background,
    background_of_image,
    is_alone_on_black,
    middle_background,
)
from vexas_edge.cells.canvas import AS_IT_IS, DecodedCell, decode_cell
from vexas_edge.cells.likeness import near_copies, shows_nothing, signature_of_image
from vexas_edge.errors import InputError
from vexas_edge.results.values import UsedCell
from vexas_edge.smear.case import Case, Cell, Source
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
            raise changed(read.cell.path)
        return again.pixels


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
    look = partial(_looked_at, case.source)
    with closing(run_ahead(look, cells, threads=threads)) as looked_at:
        for done, (decoded, measured) in enumerate(looked_at, start=1):
            record = decoded.record
            if measured is None:
                others.append(record)
            elif shows_nothing(measured.signature):
                others.append(empty_cell(record))
            elif record.identity in first:
                same = f"same pixels as {first[record.identity].record.path}"
                others.append(copied(record, "same_pixels", same))
            else:
                room -= 0 if measured.pixels is None else measured.pixels.nbytes
                first[record.identity] = measured if room >= 0 else replace(measured, pixels=None)
            progress(f"{name} read", done, len(cells))
    distinct, copies = _without_near_copies(list(first.values()))
    return ReadCells(case=case, distinct=remarked(distinct), others=(*others, *copies))


def _looked_at(source: Source, cell: Cell) -> tuple[DecodedCell, ReadCell | None]:
    decoded = decode_cell(source, cell, AS_IT_IS)
    pixels = decoded.pixels
    return decoded, None if pixels is None else _measured(cell, decoded.record, pixels)


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
        copied(
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


def changed(path: str) -> InputError:
    return InputError(f"{path} changed while its case was being scored; score the case again")


def empty_cell(record: UsedCell) -> UsedCell:
    """The record of a cell whose image shows nothing."""
    detail = "shows one colour all over, so no cell"
    return replace(record, status="rejected", reason="empty", detail=detail)


def copied(record: UsedCell, reason: str, detail: str) -> UsedCell:
    return replace(record, status="duplicate", reason=reason, detail=detail)
