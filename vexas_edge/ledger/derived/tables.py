"""The journal and the tables of a results folder, made from its results in the order of numbers."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vexas_edge.errors import HostError, InputError
from vexas_edge.files import replacing, write_atomically
from vexas_edge.ledger.journal import bytes_from_line, cells_csv, score_from_json
from vexas_edge.ledger.lines import CaseLine, JournalLine
from vexas_edge.ledger.reading import (
    CASES_CSV,
    CELLS_CSV,
    INDEX,
    JOURNAL,
    content_at,
    read_numbered,
)
from vexas_edge.ledger.sameness import Known
from vexas_edge.results.spreadsheet import PLAIN, CsvForm, csv_from_rows, header_of
from vexas_edge.results.tables import CASE_COLUMNS, CELL_COLUMNS, shown_row

# How much of the time a table may take that is made anew as a whole.
_SHARE = 0.1


def journal_from_lines(lines: Iterable[JournalLine]) -> bytes:
    """The journal of these lines, which are in the order of numbers."""
    return b"".join(map(bytes_from_line, lines))


def cases_csv(known: Known, form: CsvForm = PLAIN) -> bytes:
    """The table of results."""
    rows = (cases_csv_rows(line, known, form) for line in known)
    return header_of(CASE_COLUMNS, form) + b"".join(rows)


def cases_csv_rows(line: CaseLine, known: Known, form: CsvForm = PLAIN) -> bytes:
    """One result's part of cases.csv."""
    state, flags = known.state(line), known.flags(line)
    rows = (shown_row(row, state, flags, withheld=known.withholds(line)) for row in line.rows)
    return csv_from_rows(rows, CASE_COLUMNS, form)


def cells_csv_parts(
    folder: Path, lines: Iterable[JournalLine], form: CsvForm = PLAIN
) -> Iterator[bytes]:
    """The table of cells, part by part, since it may be large."""
    yield header_of(CELL_COLUMNS, form)
    for line in lines:
        if isinstance(line, CaseLine):
            score = score_from_json(line.file, read_numbered(folder, line.file))
            yield cells_csv(score, line.file, form)


def cells_csv_size(lines: Iterable[JournalLine]) -> int:
    """How many bytes cells.csv has."""
    of_cases = sum(line.cells_bytes for line in lines if isinstance(line, CaseLine))
    return len(header_of(CELL_COLUMNS)) + of_cases


def write_cells_csv(folder: Path, lines: Iterable[JournalLine]) -> None:
    """Make cells.csv anew. Raises HostError where it cannot be written."""
    with replacing(folder / CELLS_CSV) as partial, partial.open("wb") as stream:
        stream.writelines(cells_csv_parts(folder, lines))


class Tables:
    """The journal, the tables and the index of a folder while it is written.

    What cannot be written, as a table that a spreadsheet program holds, is made anew at the end; so
    is what would be made anew too often meanwhile. It is derived, so nothing is lost with it.

    Args:
        lines, known: the folder's; they grow.
        index: makes the index of today.
    """

    def __init__(
        self,
        folder: Path,
        lines: list[JournalLine],
        known: Known,
        index: Callable[[], bytes],
    ) -> None:
        self._folder, self._lines, self._known, self._index = folder, lines, known, index
        self._problems: dict[str, str] = {}
        self._stale: set[str] = set()
        self._due: dict[str, float] = {}

    def append(self, name: str, content: bytes) -> None:
        """Add to a table."""
        if name in self._stale:
            self.make_soon(name)
            return
        if name in self._problems:
            return
        try:
            with (self._folder / name).open("ab") as stream:
                stream.write(content)
        except OSError as error:
            self._problems[name] = f"{self._folder / name} cannot be written: {error.strerror}"

    def make_soon(self, name: str) -> None:
        """Make a table anew, or leave it to be made later, so that most of the time stays free."""
        began = time.monotonic()
        if began < self._due.get(name, 0.0):
            self._stale.add(name)
            return
        self.make(name)
        self._due[name] = began + (time.monotonic() - began) / _SHARE

    def make(self, name: str) -> None:
        """Make a table anew."""
        self._stale.discard(name)
        if name in self._problems:
            return
        try:
            if name == CELLS_CSV:
                write_cells_csv(self._folder, self._lines)
            else:
                write_atomically(self._folder / name, self._content(name))
        except (HostError, InputError) as error:
            self._problems[name] = str(error)

    def mend(self) -> None:
        """Make anew what does not fit the results, as after a run that was cut off."""
        for name in (JOURNAL, CASES_CSV, INDEX):
            if content_at(self._folder / name) != self._content(name):
                self.make(name)
        if _size(self._folder / CELLS_CSV) != cells_csv_size(self._lines):
            self.make(CELLS_CSV)

    def finish(self) -> list[str]:
        """Make anew what could not be written before; returns why what still cannot."""
        again, self._problems = {*self._problems, *self._stale}, {}
        for name in sorted(again):
            self.make(name)
        return list(self._problems.values())

    def _content(self, name: str) -> bytes:
        if name == INDEX:
            return self._index()
        return journal_from_lines(self._lines) if name == JOURNAL else cases_csv(self._known)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
