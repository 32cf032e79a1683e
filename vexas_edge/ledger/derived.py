"""What is made from the files of a results folder, in the order of numbers: journal and tables."""

import re
import time
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from vexas_edge.errors import HostError, InputError
from vexas_edge.files import replacing, write_atomically
from vexas_edge.ledger.journal import (
    bytes_from_line,
    bytes_from_record,
    cells_csv,
    line_from_file,
    lines_from_journal,
    score_from_json,
)
from vexas_edge.ledger.lines import CaseLine, JournalLine, RunLine
from vexas_edge.ledger.runs import Removed
from vexas_edge.ledger.sameness import Known
from vexas_edge.results.names import numbered_name
from vexas_edge.results.tables import (
    CASE_COLUMNS,
    CELL_COLUMNS,
    csv_from_rows,
    header_of,
    shown_row,
)
from vexas_edge.text import listed

CASES, RUNS = "cases", "runs"
JOURNAL, CASES_CSV, CELLS_CSV = "journal.jsonl", "cases.csv", "cells.csv"
DERIVED = (JOURNAL, CASES_CSV, CELLS_CSV)
# What a watcher says of itself; it tells nothing of a result.
WATCH = "watch.json"

# How much of the time a table may take that is made anew as a whole.
_SHARE = 0.1

_NUMBERED = re.compile(r"(\d{6,})-.+\.json")


def is_numbered(name: str) -> bool:
    """Whether a file of this name may be a result or a record."""
    return _NUMBERED.fullmatch(name) is not None


def numbered_files(folder: Path) -> dict[str, int]:
    """The results and records in a folder, by their path in it, and their numbers, in order.

    Raises:
        InputError: it cannot be listed.
    """
    found: dict[str, int] = {}
    for room in (CASES, RUNS):
        try:
            names = [path.name for path in (folder / room).iterdir()]
        except OSError as error:
            raise InputError(
                f"{folder} is no results folder: {room}/ cannot be listed: {error.strerror}"
            ) from error
        matches = filter(None, map(_NUMBERED.fullmatch, names))
        found |= {f"{room}/{match.string}": int(match[1]) for match in matches}
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def read_numbered(folder: Path, file: str) -> bytes:
    """One of the `numbered_files`. Raises InputError where it cannot be read."""
    try:
        return (folder / file).read_bytes()
    except OSError as error:
        raise InputError(f"{folder / file} cannot be read: {error.strerror}") from error


def read_journal(folder: Path) -> list[JournalLine]:
    """The lines of a folder's journal, as far as it goes."""
    try:
        return list(lines_from_journal((folder / JOURNAL).read_bytes()))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{folder / JOURNAL} cannot be read: {error.strerror}") from error


def lines_from_files(folder: Path, files: Collection[str]) -> Iterator[JournalLine]:
    """The lines of these files. Raises InputError where one is damaged."""
    return (line_from_file(file, read_numbered(folder, file)) for file in files)


def known_from_lines(lines: Iterable[JournalLine]) -> Known:
    """The results that these lines are of."""
    every = list(lines)
    known = Known(line for line in every if isinstance(line, CaseLine))
    for line in every:
        if isinstance(line, RunLine):
            known.take_in(line)
    return known


def journal_from_lines(lines: Iterable[JournalLine]) -> bytes:
    """The journal of these lines, which are in the order of numbers."""
    return b"".join(map(bytes_from_line, lines))


def cases_csv(known: Known) -> bytes:
    """The table of results."""
    return header_of(CASE_COLUMNS) + b"".join(cases_csv_rows(line, known) for line in known)


def cases_csv_rows(line: CaseLine, known: Known) -> bytes:
    """One result's part of cases.csv."""
    state, flags = known.state(line), known.flags(line)
    return csv_from_rows((shown_row(row, state, flags) for row in line.rows), CASE_COLUMNS)


def cells_csv_parts(folder: Path, lines: Iterable[JournalLine]) -> Iterator[bytes]:
    """The table of cells, part by part, since it may be large."""
    yield header_of(CELL_COLUMNS)
    for line in lines:
        if isinstance(line, CaseLine):
            yield cells_csv(score_from_json(line.file, read_numbered(folder, line.file)), line.file)


def cells_csv_size(lines: Iterable[JournalLine]) -> int:
    """How many bytes cells.csv has."""
    of_cases = sum(line.cells_bytes for line in lines if isinstance(line, CaseLine))
    return len(header_of(CELL_COLUMNS)) + of_cases


def write_cells_csv(folder: Path, lines: Iterable[JournalLine]) -> None:
    """Make cells.csv anew. Raises HostError where it cannot be written."""
    with replacing(folder / CELLS_CSV) as partial, partial.open("wb") as stream:
        stream.writelines(cells_csv_parts(folder, lines))


class Tables:
    """The journal and the tables of a folder while it is written.

    What cannot be written, as a table that a spreadsheet program holds, is made anew at the end; so
    is what would be made anew too often meanwhile. It is derived, so nothing is lost with it.

    Args:
        lines, known: the folder's; they grow.
    """

    def __init__(self, folder: Path, lines: list[JournalLine], known: Known) -> None:
        self._folder, self._lines, self._known = folder, lines, known
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
        for name in (JOURNAL, CASES_CSV):
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
        return journal_from_lines(self._lines) if name == JOURNAL else cases_csv(self._known)


def lost_results(lines: Iterable[JournalLine]) -> list[int]:
    """The numbers of results that others tell of, neither there nor known as removed."""
    every = list(lines)
    there = {line.number for line in every if isinstance(line, CaseLine)}
    there |= {number for line in every if isinstance(line, RunLine) for number in line.removed}
    return sorted({number for line in every for number in line.told} - there)


def rebuild_tables(folder: Path) -> int:
    """Make journal and tables anew from the results and records alone; returns their number.

    If results have gone that others tell of, a record says so, and nobody misses them from then on.
    The folder must be this process's to write.

    Raises:
        InputError: one of them is damaged, or is not what the journal says that was written.
        HostError: the folder cannot be written.
    """
    files = numbered_files(folder)
    lines = list(lines_from_files(folder, files))
    written = {line.file: line.sha256 for line in read_journal(folder)}
    if changed := [
        line.file for line in lines if written.get(line.file, line.sha256) != line.sha256
    ]:
        raise InputError(
            f"{listed(changed)}: not what was written, as {folder / JOURNAL} says; put back what "
            "was, or remove that file to take the results as they are"
        )
    if strange := [line.file for line in lines if files[line.file] != line.number]:
        raise InputError(f"{strange[0]} holds another number than its name says")
    if lost := lost_results(lines):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = Removed(number=lines[-1].number + 1, results=tuple(lost), noticed=now)
        file = f"{RUNS}/{numbered_name(record.number, 'removed')}"
        write_atomically(folder / file, bytes_from_record(record))
        lines += lines_from_files(folder, [file])
    write_atomically(folder / JOURNAL, journal_from_lines(lines))
    write_atomically(folder / CASES_CSV, cases_csv(known_from_lines(lines)))
    write_cells_csv(folder, lines)
    return len(lines)


def content_at(path: Path) -> bytes | None:
    """A file's content; None where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
