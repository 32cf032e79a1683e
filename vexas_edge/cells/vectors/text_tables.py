"""Tables of cells as text: a row for each cell, after its name, and a column for each feature."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vexas_edge.cells.vectors.table import Block, FeatureNames, sparse_rows
from vexas_edge.errors import InputError
from vexas_edge.inputs import open_file

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
_ROWS_PER_BLOCK = 256
# Half a million numbers, or names of features, with what stands between them.
_LONGEST_LINE = 16 << 20


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table of text, plain or gzipped; features are those of its header."""

    path: Path
    delimiter: str
    features: FeatureNames

    @property
    def files(self) -> tuple[Path, ...]:
        """As `FeatureTable` has it."""
        return (self.path,)

    def blocks(self) -> Iterator[Block]:
        """As `FeatureTable` has it."""
        names: list[str] = []
        rows: list[NDArray[np.float32]] = []
        for name, numbers in self._rows():
            names.append(name)
            rows.append(numbers)
            if len(rows) == _ROWS_PER_BLOCK:
                yield Block(names=tuple(names), rows=sparse_rows(np.stack(rows)))
                names, rows = [], []
        if rows:
            yield Block(names=tuple(names), rows=sparse_rows(np.stack(rows)))

    def _rows(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        wanted = len(self.features.names)
        with opened_text(self.path) as text:
            lines = csv.reader(bounded_lines(text, self.path), delimiter=self.delimiter)
            next(lines)
            for row in lines:
                if not any(row):
                    continue
                name, *numbers = row
                if len(numbers) != wanted:
                    raise InputError(
                        f"{self.path}, line {lines.line_num}: {len(numbers)} values for {wanted} "
                        "features"
                    )
                yield name, self._numbers(numbers, lines.line_num)

    def _numbers(self, texts: list[str], line: int) -> NDArray[np.float32]:
        try:
            with np.errstate(over="ignore"):  # what is too large is refused as infinite
                return np.array(texts, np.float32)
        except ValueError:
            place = next(place for place, text in enumerate(texts) if not _is_number(text))
            raise InputError(
                f"{self.path}, line {line}, {self.features.names[place]}: {texts[place]!r} is no "
                "number"
            ) from None


def text_table(path: Path, delimiter: str) -> TextTable:
    """The table in a file, whose header is read.

    Raises:
        InputError: it cannot be read, or is no such table.
    """
    with opened_text(path) as text:
        lines = csv.reader(bounded_lines(text, path), delimiter=delimiter)
        header, first = next(lines, []), next(filter(any, lines), [])
    if len(header) < 2 or not first:
        raise InputError(
            f"{path} is no table of cells: expected a header with the names of features and a row "
            "for each cell"
        )
    # R writes no field above the names of the cells.
    names = header if len(first) == len(header) + 1 else header[1:]
    return TextTable(path=path, delimiter=delimiter, features=FeatureNames(names=tuple(names)))


def bounded_lines(text: TextIOWrapper, path: Path, longest: int | None = None) -> Iterator[str]:
    """The lines of a text; none is held that is longer than any that is meant.

    Raises:
        InputError: one is.
    """
    most = longest or _LONGEST_LINE
    while line := text.readline(most):
        if len(line) == most:
            raise InputError(f"{path} has a line of over {most} characters")
        yield line


@contextmanager
def opened_text(path: Path) -> Iterator[TextIOWrapper]:
    """A file of text, plain or gzipped.

    Raises:
        InputError: it cannot be read, is damaged, or is not UTF-8.
    """
    try:
        with open_file(path) as file:
            is_gzip = path.suffix == ".gz"
            with gzip.GzipFile(fileobj=file) if is_gzip else file as stream:
                yield TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8: {error}") from error
    except csv.Error as error:
        raise InputError(f"{path} is no table: {error}") from error


def _is_number(text: str) -> bool:
    try:
        np.array([text], np.float32)
    except ValueError:
        return False
    return True
