"""The way of a cell from its file to a model's canvas."""

import hashlib
from collections.abc import Callable, Collection, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from vexas_edge.ahead import run_ahead
from vexas_edge.cells.background import (
    Background,
    apply_gains,
    background_of_cell,
    gain_table,
    middle_background,
)
from vexas_edge.cells.images import cell_from_bytes, identity_of
from vexas_edge.cells.limits import LargerCells
from vexas_edge.errors import CellError, RejectedCellError
from vexas_edge.results.values import UsedCell
from vexas_edge.smear.case import Case, Cell, Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """The square that a model sees, and how a cell is put on it.

    canvas_px: the side; None leaves each cell at the size of its image.
    larger: what happens to a cell that does not fit.
    isolate: turns an analyzer's crop, uint8 (H, W, 3), into the cell alone on black, where the
    model wants that; raises CellError if there is no plausible cell.
    background: the bare slide that every case is brought to, where the model wants that; cells can
    then be placed on a canvas `for_background` only.
    gains: what brings one case there, uint8 (3, 256).
    """

    canvas_px: int | None
    larger: LargerCells = "reject"
    isolate: Callable[[ndarray], ndarray] | None = field(default=None, compare=False)
    background: Background | None = None
    gains: ndarray | None = field(default=None, compare=False)

    def for_background(self, found: Background) -> "Canvas":
        """The canvas for the cells of a case whose bare slide is `found`."""
        if self.background is None:
            return self
        return replace(self, gains=gain_table(found, self.background))

    def place(self, pixels: ndarray) -> ndarray:
        """The cell as the model sees it, uint8 (canvas_px, canvas_px, 3).

        Raises:
            CellError: it does not fit, or cannot be isolated.
            ValueError: the model normalises, and the canvas is not one `for_background`.
        """
        if self.background is not None and self.gains is None:
            raise ValueError("cells that are normalised need the background of their case")
        if self.isolate:
            return self._on_canvas(self.isolate(self._evened_out(pixels)))
        # Black stays black, so that the part which is placed can be evened out alone.
        return self._evened_out(self._on_canvas(pixels))

    def _evened_out(self, pixels: ndarray) -> ndarray:
        return pixels if self.gains is None else apply_gains(pixels, self.gains)

    def _on_canvas(self, pixels: ndarray) -> ndarray:
        if self.canvas_px is None:
            return pixels
        return place_on_canvas(pixels, self.canvas_px, self.larger)


# Leaves a cell as its image shows it.
AS_IT_IS = Canvas(canvas_px=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedCell:
    """One cell that was read from its file.

    record: what the result says of it.
    identity: that of its pixels, `identity_of`; empty where they could not be decoded.
    pixels: uint8 (canvas_px, canvas_px, 3) RGB; None for a cell that cannot be used.
    """

    record: UsedCell
    identity: bytes
    pixels: ndarray | None

    @property
    def fault(self) -> str:
        """The cell's path and why it cannot be used, for people."""
        return f"{self.record.path}: {self.record.detail}"


def decoded_cells(
    case: Case, classes: Collection[str], canvas: Canvas, *, threads: int
) -> Generator[DecodedCell, None, None]:
    """Yield every cell of these classes, in the case's order, decoded a little ahead.

    Close the generator to stop early; the case must stay open until then.

    Args:
        canvas: where the model normalises, the one of this case, as `canvas_of_case` returns it.
    """
    cells = case.cells_of(classes)
    return run_ahead(lambda cell: decode_cell(case.source, cell, canvas), cells, threads=threads)


def canvas_of_case(case: Case, classes: Collection[str], canvas: Canvas, *, threads: int) -> Canvas:
    """The canvas for one case's cells of these classes; to normalise them, all are read once."""
    if canvas.background is None:
        return canvas
    return canvas.for_background(
        measured_background(case, classes, threads=threads) or canvas.background
    )


def measured_background(case: Case, classes: Collection[str], *, threads: int) -> Background | None:
    """The bare slide behind a case's distinct cells of these classes; None if none can be read."""

    def measured(cell: Cell) -> tuple[bytes, Background] | None:
        decoded = decode_cell(case.source, cell, AS_IT_IS)
        if decoded.pixels is None:
            return None
        return decoded.identity, background_of_cell(decoded.pixels)

    with closing(run_ahead(measured, case.cells_of(classes), threads=threads)) as found:
        distinct = dict(pair for pair in found if pair is not None)
    return middle_background(distinct.values()) if distinct else None


def decode_cell(source: Source, cell: Cell, canvas: Canvas) -> DecodedCell:
    """Read, identify and place one cell; if its content does not allow it, its record says why.

    Raises:
        InputError, MemoryError: the disk or the PC fails, which says nothing about the cell.
    """
    record = UsedCell(
        path=cell.path, cell_class=cell.cell_class, named_by=cell.named_by, status="used"
    )
    try:
        content = source.read(cell.path)
        record = replace(record, sha256=hashlib.sha256(content).hexdigest())
        pixels = cell_from_bytes(content)
    except CellError as error:
        return DecodedCell(record=_unused(record, error), identity=b"", pixels=None)
    identity = identity_of(pixels)
    record = replace(record, identity=identity.hex())
    return placed_cell(DecodedCell(record=record, identity=identity, pixels=pixels), canvas)


def placed_cell(cell: DecodedCell, canvas: Canvas) -> DecodedCell:
    """The same cell on the canvas; if it cannot be put there, its record says why.

    Args:
        cell: decoded, with the pixels of its image.
    """
    if cell.pixels is None:
        return cell
    try:
        return replace(cell, pixels=canvas.place(cell.pixels))
    except CellError as error:
        return replace(cell, record=_unused(cell.record, error), pixels=None)


def _unused(record: UsedCell, error: CellError) -> UsedCell:
    return replace(
        record,
        status="rejected" if isinstance(error, RejectedCellError) else "unreadable",
        reason=error.reason,
        detail=str(error),
    )


def place_on_canvas(
    pixels: NDArray[np.uint8], canvas_px: int, larger: LargerCells
) -> NDArray[np.uint8]:
    """The cell centred on black, uint8 (canvas_px, canvas_px, 3), from uint8 (H, W, 3).

    Where a margin or a crop is an odd number of pixels, the bottom and the right get one more.

    Raises:
        CellError: reason `larger_than_canvas`: a side is too long, and `larger` is "reject".
    """
    height, width, channels = pixels.shape
    if larger == "reject" and max(height, width) > canvas_px:
        raise CellError(
            "larger_than_canvas",
            f"the cell is {width} x {height} px; expected at most {canvas_px} x {canvas_px}, "
            "the model's canvas; larger = \"crop\" in the export's spec would take its middle",
        )
    rows_from, rows_to = _centred(height, canvas_px)
    columns_from, columns_to = _centred(width, canvas_px)
    canvas = np.zeros((canvas_px, canvas_px, channels), np.uint8)
    canvas[rows_to, columns_to] = pixels[rows_from, columns_from]
    return canvas


def _centred(size: int, canvas_px: int) -> tuple[slice, slice]:
    """Which part of a side is kept, and where on the canvas it goes."""
    kept = min(size, canvas_px)
    crop, margin = (size - kept) // 2, (canvas_px - kept) // 2
    return slice(crop, crop + kept), slice(margin, margin + kept)
