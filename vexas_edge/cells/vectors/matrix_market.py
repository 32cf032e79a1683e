"""The folder that Cell Ranger and others write: matrix.mtx, features.tsv and barcodes.tsv.

Features are the matrix's rows there, and cells its columns, in whose order its entries stand.
"""

import csv
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vexas_edge.cells.vectors.table import Block, FeatureNames, SparseRows, in_float32
from vexas_edge.cells.vectors.text_tables import bounded_lines, opened_text
from vexas_edge.errors import InputError
from vexas_edge.smear.walk import is_there

MATRIX = "matrix.mtx"
_PARTS = (MATRIX,), ("features.tsv", "genes.tsv"), ("barcodes.tsv",)
# Of several kinds of features in one matrix, the counts of genes.
_GENES = "Gene Expression"
_BANNER = ("%%matrixmarket", "matrix", "coordinate")
_LINES_PER_READING = 200_000
_LONGEST_LINE = 1000


@dataclass(frozen=True, kw_only=True)
class MatrixFolder:
    """Such a folder, whose features and barcodes are read.

    beside: the files of features and barcodes.
    kept: the rows of the matrix that are counts of genes, from 0, int32 (R,): their place among
    the features, or -1.
    """

    matrix: Path
    features: FeatureNames
    kept: NDArray[np.int32]
    barcodes: tuple[str, ...]
    beside: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """As `FeatureTable` has it."""
        return (self.matrix, *self.beside)

    def blocks(self) -> Iterator[Block]:
        """As `FeatureTable` has it: the cells of each reading, whole ones."""
        done, waiting = 0, np.empty((0, 3))
        with opened_text(self.matrix) as text:
            lines = bounded_lines(text, self.matrix, _LONGEST_LINE)
            n_entries = self._n_entries(lines)
            read = 0
            for entries in self._entries(lines):
                read += len(entries)
                waiting = np.concatenate([waiting, entries])
                whole = int(entries[-1, 1])  # the last cell may go on in the next reading
                n_ready = int(np.searchsorted(waiting[:, 1], whole))
                if n_ready:
                    yield self._block(waiting[:n_ready], done, whole)
                    done, waiting = whole, waiting[n_ready:]
        if read != n_entries:
            raise InputError(f"{self.matrix} has {read} entries and says {n_entries}")
        if done < len(self.barcodes):
            yield self._block(waiting, done, len(self.barcodes))

    def _block(self, entries: NDArray[np.float64], first: int, last: int) -> Block:
        """The cells from one to before another, of which these are the entries."""
        columns = self.kept[entries[:, 0].astype(np.int64)]
        known = columns >= 0
        cells = entries[known, 1].astype(np.int64)
        rows = SparseRows(
            values=in_float32(entries[known, 2]),
            columns=columns[known],
            starts=np.searchsorted(cells, np.arange(first, last + 1)).astype(np.int64),
            n_columns=len(self.features.names),
        )
        return Block(names=self.barcodes[first:last], rows=rows)

    def _n_entries(self, lines: Iterator[str]) -> int:
        """How many entries the header says that there are, of features and cells as they are."""
        banner = next(lines, "").casefold().split()
        if tuple(banner[:3]) != _BANNER or banner[3:] not in (
            ["integer", "general"],
            ["real", "general"],
        ):
            raise InputError(
                f"{self.matrix} is no matrix of numbers in the form `matrix coordinate integer "
                "general`"
            )
        line = next((line for line in lines if not line.startswith("%")), "")
        try:
            n_rows, n_cells, n_entries = map(int, line.split())
        except ValueError:
            raise InputError(f"{self.matrix} does not say its size") from None
        if (n_rows, n_cells) != (len(self.kept), len(self.barcodes)):
            raise InputError(
                f"{self.matrix} is of {n_rows} features and {n_cells} cells; the files beside it "
                f"name {len(self.kept)} and {len(self.barcodes)}"
            )
        return n_entries

    def _entries(self, lines: Iterator[str]) -> Iterator[NDArray[np.float64]]:
        """Feature, cell and value of entries, float64 (K, 3), from 0, some at a time."""
        last = 0.0
        written = filter(str.strip, lines)
        while some := list(islice(written, _LINES_PER_READING)):
            try:
                if any(len(line.split()) != 3 for line in some):
                    raise ValueError("not three words")
                with warnings.catch_warnings():
                    warnings.simplefilter("error")  # numpy warns of what is no number, and ends
                    numbers = np.fromstring("".join(some), np.float64, sep=" ")
                found = numbers.reshape(len(some), 3)
            except (ValueError, DeprecationWarning):
                raise InputError(f"{self.matrix} holds an entry that is no three numbers") from None
            found[:, :2] -= 1
            self._check(found, last)
            last = float(found[-1, 1])
            yield found

    def _check(self, entries: NDArray[np.float64], last: float) -> None:
        most = (len(self.kept), len(self.barcodes))
        if not (entries[:, :2] == np.rint(entries[:, :2])).all():
            raise InputError(f"{self.matrix} holds an entry whose place is no whole number")
        if (entries[:, :2] < 0).any() or (entries[:, :2] >= most).any():
            raise InputError(f"{self.matrix} holds an entry outside its own size")
        if (np.diff(entries[:, 1], prepend=last) < 0).any():
            raise InputError(
                f"{self.matrix} does not go cell by cell; write it again in the order of cells, "
                "such as from a matrix by columns (CSC)"
            )


def matrix_folder(folder: Path) -> MatrixFolder:
    """The folder with its features and barcodes.

    Raises:
        InputError: a file is missing, or cannot be read.
    """
    matrix, *named = matrix_files(folder)
    features = _table(named[0])
    wanted = [row for row in features if len(row) < 3 or row[2] == _GENES]
    kept = np.full(len(features), -1, np.int32)
    kept[[len(row) < 3 or row[2] == _GENES for row in features]] = np.arange(len(wanted))
    return MatrixFolder(
        matrix=matrix,
        features=FeatureNames(
            names=tuple(row[0] for row in wanted),
            others=tuple(row[1] for row in wanted) if all(len(row) > 1 for row in wanted) else (),
        ),
        kept=kept,
        barcodes=tuple(row[0] for row in _table(named[1])),
        beside=tuple(named),
    )


def matrix_files(folder: Path) -> tuple[Path, ...]:
    """The matrix, the features and the barcodes of such a folder.

    Raises:
        InputError: one is missing, or there twice.
    """
    return tuple(_one_of(folder, names) for names in _PARTS)


def is_matrix_part(path: Path) -> bool:
    """Whether a file of this name is read in such a folder."""
    return any(path.name.removesuffix(".gz") in names for names in _PARTS)


def _one_of(folder: Path, names: tuple[str, ...]) -> Path:
    """The one file of these names, plain or gzipped."""
    found = [
        folder / f"{name}{end}"
        for name in names
        for end in ("", ".gz")
        if is_there(folder / f"{name}{end}")
    ]
    if len(found) != 1:
        what = " or ".join(names)
        there = "both plain and gzipped, or twice" if found else "missing"
        raise InputError(f"{folder}: {what} is {there}; expected it once, plain or as .gz")
    return found[0]


def _table(path: Path) -> list[list[str]]:
    with opened_text(path) as text:
        rows = [row for row in csv.reader(bounded_lines(text, path), delimiter="\t") if row]
    if not rows:
        raise InputError(f"{path} is empty")
    return rows
