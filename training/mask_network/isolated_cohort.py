"""Writes a cohort's cells alone on black, so that training sees the same as scoring will."""

import csv
import io
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from vexas_edge.ahead import run_ahead
from vexas_edge.cells.background import Background
from vexas_edge.cells.canvas import Canvas, DecodedCell, canvas_of_case, decode_cell
from vexas_edge.files import write_atomically
from vexas_edge.host.process import default_threads
from vexas_edge.results.names import check_distinct, file_stem_for_case
from vexas_edge.results.spreadsheet import csv_from_rows, header_of
from vexas_edge.smear.case import Cell
from vexas_edge.smear.cohort import REQUIRED_COLUMNS, CohortCase, read_row
from vexas_edge.smear.options import ReadOptions

COHORT, LOST = "cohort.csv", "lost.csv"


@dataclass(frozen=True, kw_only=True)
class LostCell:
    """A cell that could not be read or isolated.

    reason: machine-readable.
    detail: for people.
    """

    sample: str
    cell: str
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class CutOut:
    """What is isolated, and how.

    isolate: turns an analyzer's crop into the cell alone on black.
    cells: canonical names of the classes; empty for all.
    background: the bare slide that each case is brought to before; None leaves cells as they are.
    reading: how a case's names are understood.
    """

    isolate: Callable[[np.ndarray], np.ndarray]
    cells: tuple[str, ...] = ()
    background: Background | None = None
    reading: ReadOptions

    @property
    def canvas(self) -> Canvas:
        return Canvas(canvas_px=None, isolate=self.isolate, background=self.background)


def isolate_cohort(rows: Sequence[CohortCase], asked: CutOut, folder: Path) -> tuple[LostCell, ...]:
    """Write the cohort's cells, isolated, with `cohort.csv`; returns those that were lost.

    Raises:
        InputError: a case cannot be read.
    """
    lost = isolate_rows(rows, asked, folder)
    write_atomically(folder / COHORT, _cohort_csv(rows))
    return lost


def isolate_rows(rows: Sequence[CohortCase], asked: CutOut, folder: Path) -> tuple[LostCell, ...]:
    """Write the cells of these rows, isolated, and the lost ones in `lost.csv`; returns the latter.

    A cell's file is `SAMPLE/CLASS/NAME.png`, where CLASS is the canonical name and NAME is the
    original name and a hash.

    Raises:
        InputError: a case cannot be read.
    """
    check_distinct(row.sample for row in rows)
    lost: list[LostCell] = []
    for row in rows:
        lost += _isolate_case(row, asked, folder / _name_of(row))
    write_atomically(folder / LOST, _lost_csv(lost))
    return tuple(lost)


def isolated_rows(rows: Sequence[CohortCase], folder: Path) -> tuple[CohortCase, ...]:
    """The rows of the cells that `isolate_rows` wrote to the folder."""
    return tuple(replace(row, path=folder / _name_of(row)) for row in rows)


def _name_of(row: CohortCase) -> str:
    return file_stem_for_case(row.sample)


def _isolate_case(row: CohortCase, asked: CutOut, folder: Path) -> list[LostCell]:
    folder.mkdir(parents=True, exist_ok=True)
    threads = default_threads()
    with read_row(row, asked.reading) as case:
        classes = asked.cells or {cell.cell_class for cell in case.cells}
        canvas = canvas_of_case(case, classes, asked.canvas, threads=threads)

        def work(cell: Cell) -> LostCell | None:
            return _isolate_cell(row, decode_cell(case.source, cell, canvas), folder)

        with closing(run_ahead(work, case.cells_of(classes), threads=threads)) as done:
            return [lost for lost in done if lost]


def _isolate_cell(row: CohortCase, cell: DecodedCell, folder: Path) -> LostCell | None:
    record = cell.record
    if cell.pixels is None:
        return LostCell(
            sample=row.sample, cell=record.path, reason=record.reason, detail=record.detail
        )
    # Two cells of one class may have the same name, in different folders or with other suffixes.
    name = f"{PurePosixPath(record.path).stem}_{record.identity[:16]}.png"
    place = folder / record.cell_class / name
    place.parent.mkdir(exist_ok=True)
    png = io.BytesIO()
    Image.fromarray(cell.pixels).save(png, "PNG")
    write_atomically(place, png.getvalue())
    return None


def _cohort_csv(rows: Sequence[CohortCase]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*REQUIRED_COLUMNS, *rows[0].covariates))
    for row in rows:
        own = (row.patient, row.sample, _name_of(row), row.label, row.split)
        writer.writerow((*own, *row.covariates.values()))
    return text.getvalue().encode()


def _lost_csv(lost: Sequence[LostCell]) -> bytes:
    columns = [field.name for field in fields(LostCell)]
    return header_of(columns) + csv_from_rows(map(asdict, lost), columns)
