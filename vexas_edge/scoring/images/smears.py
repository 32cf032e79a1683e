"""All images of a case, read once: of each model, others where cells are named."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from vexas_edge.bundle.manifest import Manifest
from vexas_edge.cells.likeness import near_copies
from vexas_edge.errors import InputError
from vexas_edge.scoring.images.reading import (
    KEPT_BYTES,
    ReadCell,
    ReadCells,
    copied,
    read_cells,
)
from vexas_edge.scoring.smears import ReadSmear
from vexas_edge.smear.case import UNNAMED, Case
from vexas_edge.talk import Progress


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
