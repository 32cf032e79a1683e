"""A cohort's cells alone on black, as files: so that training sees what scoring will see."""

import csv
import hashlib
import io
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from vexas_edge import read_case
from vexas_edge.ahead import run_ahead
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.errors import CellError
from vexas_edge.files import write_atomically
from vexas_edge.host.process import default_threads
from vexas_edge.results.names import check_distinct, file_stem_for_case
from vexas_edge.smear.case import Cell
from vexas_edge.smear.cohort import REQUIRED_COLUMNS, CohortCase
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.sources import Source

COHORT, LOST = "cohort.csv", "lost.csv"

Isolate = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class LostCell:
    """A cell that could not be read or isolated. reason: machine-readable; detail: for people."""

    sample: str
    cell: str
    reason: str
    detail: str


def isolate_cohort(
    rows: Sequence[CohortCase], isolate: Isolate, reading: ReadOptions, folder: Path
) -> tuple[LostCell, ...]:
    """Write every cell of the cohort, isolated, and `cohort.csv` and `lost.csv` for them.

    A cell's file is `SAMPLE/CLASS/NAME.png`: CLASS is canonical, NAME the original's and its hash.

    Raises:
        InputError: a case cannot be read.
    """
    check_distinct(row.sample for row in rows)
    lost: list[LostCell] = []
    for row in rows:
        lost += _isolate_case(row, isolate, reading, folder / file_stem_for_case(row.sample))
    write_atomically(folder / LOST, _lost_csv(lost))
    write_atomically(folder / COHORT, _cohort_csv(rows))
    return tuple(lost)


def _isolate_case(
    row: CohortCase, isolate: Isolate, reading: ReadOptions, folder: Path
) -> list[LostCell]:
    case = read_case(row.path, reading)
    folder.mkdir(parents=True, exist_ok=True)

    def work(cell: Cell) -> LostCell | None:
        return _isolate_cell(row, cell, case.source, isolate, folder)

    with closing(case.source), closing(_ahead(work, case.cells)) as done:
        return [lost for lost in done if lost]


def _ahead(
    work: Callable[[Cell], LostCell | None], cells: Sequence[Cell]
) -> Generator[LostCell | None, None, None]:
    return run_ahead(work, cells, threads=default_threads())


def _isolate_cell(
    row: CohortCase, cell: Cell, source: Source, isolate: Isolate, folder: Path
) -> LostCell | None:
    try:
        content = source.read(cell.path)
        alone = isolate(rgb_from_bytes(content))
    except CellError as error:
        return LostCell(sample=row.sample, cell=cell.path, reason=error.reason, detail=str(error))
    # Two cells of one class may share a name, in different folders or by their suffix.
    identity = hashlib.sha256(content).hexdigest()[:16]
    place = folder / cell.cell_class / f"{PurePosixPath(cell.path).stem}_{identity}.png"
    place.parent.mkdir(exist_ok=True)
    png = io.BytesIO()
    Image.fromarray(alone).save(png, "PNG")
    write_atomically(place, png.getvalue())
    return None


def _cohort_csv(rows: Sequence[CohortCase]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*REQUIRED_COLUMNS, *rows[0].covariates))
    for row in rows:
        place = file_stem_for_case(row.sample)
        own = (row.patient, row.sample, place, row.label, row.split)
        writer.writerow((*own, *row.covariates.values()))
    return text.getvalue().encode()


def _lost_csv(lost: Sequence[LostCell]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("sample", "cell", "reason", "detail"))
    writer.writerows((cell.sample, cell.cell, cell.reason, cell.detail) for cell in lost)
    return text.getvalue().encode()
