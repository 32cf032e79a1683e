"""One cell from its file to a model's canvas."""

import hashlib
from dataclasses import dataclass

from numpy import ndarray

from vexas_edge.case import Cell
from vexas_edge.errors import CellError
from vexas_edge.images import place_on_canvas, rgb_from_bytes
from vexas_edge.manifest import LargerCells
from vexas_edge.results import UsedCell
from vexas_edge.sources import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """The square that a model sees: its side, and what happens to a cell that is larger."""

    canvas_px: int
    larger: LargerCells


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedCell:
    """One cell. identity: SHA-256 digest of its file, empty where the file could not be read.

    pixels: uint8 (canvas_px, canvas_px, 3) RGB; None for a cell that cannot be used.
    """

    record: UsedCell
    identity: bytes
    pixels: ndarray | None


def decode_cell(source: Source, cell: Cell, canvas: Canvas) -> DecodedCell:
    """One cell, read, hashed, decoded and placed; its record says why where that failed."""
    identity = b""
    try:
        content = source.read(cell.path)
        identity = hashlib.sha256(content).digest()
        pixels = place_on_canvas(rgb_from_bytes(content), canvas.canvas_px, canvas.larger)
    except CellError as error:
        record = UsedCell(
            path=cell.path,
            cell_class=cell.cell_class,
            status="unreadable",
            reason=error.reason,
            detail=str(error),
            sha256=identity.hex(),
        )
        return DecodedCell(record=record, identity=identity, pixels=None)
    record = UsedCell(
        path=cell.path, cell_class=cell.cell_class, status="used", sha256=identity.hex()
    )
    return DecodedCell(record=record, identity=identity, pixels=pixels)
