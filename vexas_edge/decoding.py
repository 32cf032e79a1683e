"""Cells from files to canvases, ahead of the engine, in bounded memory and in a fixed order."""

import hashlib
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from numpy import ndarray

from vexas_edge.case import Cell
from vexas_edge.errors import CellError
from vexas_edge.images import place_on_canvas, rgb_from_bytes
from vexas_edge.manifest import LargerCells
from vexas_edge.results import UsedCell
from vexas_edge.sources import Source

# Cells a task: enough that handing tasks over costs nothing beside decoding them.
_CELLS_A_TASK = 8


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


def decode_cells(
    source: Source, cells: Sequence[Cell], canvas: Canvas, *, threads: int, ahead: int
) -> Generator[DecodedCell, None, None]:
    """Each cell in turn, decoded by `threads` threads while the caller works on earlier ones.

    Close it when stopping early, before the source is closed.

    Args:
        ahead: cells that may wait decoded, at most; it bounds memory.
    """
    tasks = [cells[i : i + _CELLS_A_TASK] for i in range(0, len(cells), _CELLS_A_TASK)]
    waiting: deque[Future[list[DecodedCell]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(_decode_task, source, task, canvas))
                if len(waiting) * _CELLS_A_TASK >= ahead:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _decode_task(source: Source, cells: Sequence[Cell], canvas: Canvas) -> list[DecodedCell]:
    return [decode_cell(source, cell, canvas) for cell in cells]


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
