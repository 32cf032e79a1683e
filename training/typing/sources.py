"""Labelled cells from several places: cohorts, folders of classes, tables of files.

    [sources.hospital]
    cohort = "cohort.csv"         # cases with class folders, whose patients are known
    split = "fit"                 # of these, the ones of this split alone

    [sources.barcelona]
    folder = "barcelona"          # a folder for each class
    reading = { class_map = "barcelona" }

    [sources.crops]
    labels = "labels.csv"         # columns file and cell_class and, if known, patient
    images = "images"             # where its files are, if not beside it

Names of classes are understood by each source's vocabulary. Where patients are not known, all
cells of a source stay together when cells are split.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec import Struct

from export.spec import Reading, fields_from_toml
from training.pretraining.cell_stack import CellStack
from vexas_edge.ahead import run_ahead
from vexas_edge.cells.canvas import AS_IT_IS, decode_cell, place_on_canvas
from vexas_edge.errors import InputError, UsageError
from vexas_edge.fields import Name
from vexas_edge.host.process import default_threads
from vexas_edge.inputs import table_from_csv
from vexas_edge.smear.case import Case, Cell
from vexas_edge.smear.cohort import cases_of_split, read_cohort, read_row
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import read_case
from vexas_edge.smear.sources import open_source
from vexas_edge.smear.vocabulary import IGNORE
from vexas_edge.text import listed

_COLUMNS, _PATIENT = ("file", "cell_class"), "patient"
# Of the longest sides of images, what nearly all are within, and how many times as long is none.
_USUAL, _LARGER = 0.99, 1.5


class CellSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place that labelled cells are in: exactly one of cohort, folder and labels.

    split: of a cohort, the split whose patients are taken; None for all.
    images: the folder of the files that labels name; None for the table's own.
    reading: how names of files and classes are understood.
    """

    cohort: str | None = None
    split: str | None = None
    folder: str | None = None
    labels: str | None = None
    images: str | None = None
    reading: Reading = Reading()


class _Sources(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sources: dict[Name, CellSource]


@dataclass(frozen=True, kw_only=True)
class LabelledCells:
    """Distinct cells with their classes.

    cells: `labels` are canonical classes, `samples` are sources, and `patients` keep together what
        must not be split.
    lost: a line for each cell that is not among them, for people.
    largest_px: a larger image does not show one cell: half as long again as nearly all of these.
    """

    cells: CellStack
    lost: tuple[str, ...]
    largest_px: int


@dataclass(kw_only=True)
class _Gathered:
    """Cells by identity, as they are found: image, class, owner, source, and where it was."""

    side_px: int
    longest_px: list[int] = field(default_factory=list)
    images: dict[bytes, np.ndarray] = field(default_factory=dict)
    sizes: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    said: dict[bytes, tuple[str, str, str, str]] = field(default_factory=dict)
    disputed: dict[bytes, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def add(self, identity: bytes, pixels: np.ndarray, said: tuple[str, str, str, str]) -> None:
        """Keep a cell unless it was there; one that has two classes is kept by neither."""
        self.longest_px.append(max(pixels.shape[:2]))
        first = self.said.setdefault(identity, said)
        if first[0] != said[0]:
            self.disputed[identity] = (
                f"{said[3]} is {said[0]}, and the same cell, {first[3]}, is {first[0]}"
            )
        if identity not in self.images:
            self.images[identity] = place_on_canvas(pixels, self.side_px, "crop")
            self.sizes[identity] = (
                min(self.side_px, pixels.shape[0]),
                min(self.side_px, pixels.shape[1]),
            )

    def cells(self) -> LabelledCells:
        kept = [identity for identity in self.images if identity not in self.disputed]
        if not kept:
            raise InputError("the sources hold no readable cell of a known class")
        said = [self.said[identity] for identity in kept]
        stack = CellStack(
            pixels=torch.from_numpy(np.stack([self.images[identity] for identity in kept])),
            sizes=torch.tensor([self.sizes[identity] for identity in kept]),
            patients=tuple(owner for _, owner, _, _ in said),
            samples=tuple(source for _, _, source, _ in said),
            labels=tuple(name for name, _, _, _ in said),
            identities=tuple(kept),
        )
        lost = (*self.lost, *self.disputed.values())
        largest = math.ceil(_LARGER * float(np.quantile(self.longest_px, _USUAL)))
        return LabelledCells(cells=stack, lost=lost, largest_px=largest)


def sources_from_file(path: Path) -> dict[str, CellSource]:
    """The sources that a TOML file names, by their names.

    Raises:
        InputError: the file cannot be read or is not TOML.
        UsageError: a field is missing, unknown or wrong; the message names it.
    """
    try:
        found = msgspec.convert(fields_from_toml(path), _Sources).sources
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}") from error
    for name, source in found.items():
        ways = (source.cohort, source.folder, source.labels)
        if sum(way is not None for way in ways) != 1:
            raise UsageError(
                f"{path}: sources.{name}: expected exactly one of cohort, folder and labels"
            )
        if source.split is not None and source.cohort is None:
            raise UsageError(f"{path}: sources.{name}: only a cohort has a split")
    if not found:
        raise UsageError(f"{path} names no source; see `vexas-workshop train typing --help`")
    return found


def labelled_cells(
    sources: Mapping[str, CellSource], folder: Path, *, side_px: int, skip_unreadable: bool
) -> LabelledCells:
    """The distinct cells of all sources, each in the middle of a black square.

    Args:
        folder: where the sources' paths start.
        side_px: of the squares, to which larger images are cropped.
        skip_unreadable: whether cells that cannot be read are left out instead of being an error.

    Raises:
        InputError: a source cannot be read, names a class that its vocabulary does not know, or
            holds a cell that is unreadable while such cells are not to be skipped.
    """
    found = _Gathered(side_px=side_px)
    for name, source in sources.items():
        for owner, case in cases_of(name, source, folder):
            with closing(case):
                _gather(name, owner, case, found)
    if found.lost and not skip_unreadable:
        raise InputError(
            f"{len(found.lost)} cells cannot be read (--skip-unreadable leaves them out); the "
            f"first is {found.lost[0]}"
        )
    return found.cells()


def _gather(source: str, owner: str, case: Case, found: _Gathered) -> None:
    work = run_ahead(
        lambda cell: decode_cell(case.source, cell, AS_IT_IS), case.cells, threads=default_threads()
    )
    for cell in work:
        where = f"{owner}: {cell.record.path}"
        if cell.pixels is None:
            found.lost.append(f"{owner}: {cell.fault}")
        else:
            found.add(cell.identity, cell.pixels, (cell.record.cell_class, owner, source, where))


def cases_of(name: str, source: CellSource, folder: Path) -> Iterator[tuple[str, Case]]:
    """The cases of a source, each with what its cells are kept together by."""
    reading = source.reading.options(folder)
    if source.cohort is not None:
        rows = read_cohort(folder / source.cohort)
        for row in cases_of_split(rows, source.split) if source.split else rows:
            yield f"{name}/{row.patient}", _checked(read_row(row, reading), name)
    elif source.folder is not None:
        yield name, _checked(read_case(folder / source.folder, reading), name)
    elif source.labels is not None:
        table = folder / source.labels
        images = folder / source.images if source.images else table.parent
        yield from _labelled(name, table, images, reading)


def _checked(case: Case, source: str) -> Case:
    """The same case, if every class of its folders is known."""
    unknown = sorted({file.class_name for file in case.ignored if file.class_name})
    if unknown:
        case.close()
        raise _unknown(source, unknown)
    return case


def _unknown(source: str, names: Sequence[str]) -> InputError:
    return InputError(
        f"source {source!r} has classes that its vocabulary does not know: "
        f'{listed(map(repr, names))}; name a class map, as in reading = {{ class_map = "FILE" }}'
    )


def _labelled(
    name: str, table: Path, images: Path, reading: ReadOptions
) -> Iterator[tuple[str, Case]]:
    """The files that a table names, by their patients; paths start at the folder of images."""
    by_owner: dict[str, list[Cell]] = {}
    unknown = set()
    for file, written, patient in _rows(table):
        cell_class = reading.vocabulary.class_of(written)
        if cell_class is None:
            unknown.add(written)
        elif cell_class != IGNORE:
            owner = f"{name}/{patient}" if patient else name
            cell = Cell(path=file, cell_class=cell_class, named_by="declared")
            by_owner.setdefault(owner, []).append(cell)
    if unknown:
        raise _unknown(name, sorted(unknown))
    for owner, cells in by_owner.items():
        source = open_source(images)
        missing = [cell.path for cell in cells if cell.path not in source.files]
        case = Case(name=owner, source=source, cells=tuple(cells), ignored=(), conflicts=())
        if missing:
            case.close()
            raise InputError(f"{table} names {missing[0]!r}, which is not in {images}")
        yield owner, case


def _rows(table: Path) -> Iterator[tuple[str, str, str]]:
    """File, class and patient of each row of a table; the patient is empty where it is unknown."""
    found = table_from_csv(table, "table of labels")
    columns = [name.casefold() for name in found.columns]
    for name in (*_COLUMNS, _PATIENT):
        if columns.count(name) > 1:
            raise InputError(f"{table} has the column {name!r} twice; rename one")
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise InputError(
            f"{table} has no column {' and '.join(missing)}; its header is "
            f"{','.join(found.columns)!r}"
        )
    for line, row in found.rows:
        if len(row) != len(columns):
            raise InputError(f"{table}, line {line}: {len(row)} values for {len(columns)} columns")
        by_name = dict(zip(columns, row, strict=True))
        file, written = (by_name[name] for name in _COLUMNS)
        if not file or not written:
            raise InputError(f"{table}, line {line}: no value for file or cell_class")
        yield file.replace("\\", "/"), written, by_name.get(_PATIENT, "")
