"""A results folder: results and records that are written once, and tables made from them.

Each result and record is on the disk under its name before anything else tells of it. All else is
derived, and can be made again from them, but for the pictures in pages, which need the smears.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Self

from vexas_edge.errors import HostError, InputError, UsageError, VexasEdgeError
from vexas_edge.files import write_atomically
from vexas_edge.ledger.derived.pages import Pages, index_html
from vexas_edge.ledger.derived.tables import Tables, cases_csv_rows
from vexas_edge.ledger.journal import (
    bytes_from_line,
    bytes_from_record,
    case_line_from_file,
    cells_csv,
    line_from_file,
)
from vexas_edge.ledger.lines import CaseLine, JournalLine, RunLine
from vexas_edge.ledger.lock import FolderLock
from vexas_edge.ledger.opening import (
    check_ids_alike,
    check_is_ledger,
    current_lines,
    remove_partial_files,
)
from vexas_edge.ledger.reading import (
    CASES,
    CASES_CSV,
    CELLS_CSV,
    INDEX,
    JOURNAL,
    RUNS,
    result_of,
)
from vexas_edge.ledger.runs import (
    Asked,
    Confirmed,
    Mended,
    RunRecord,
    RunStarted,
    begun_run,
    ended_run,
    utc_now,
)
from vexas_edge.ledger.sameness import known_from_lines
from vexas_edge.ledger.smears import Placing, Smear
from vexas_edge.report.pictures import Pictures
from vexas_edge.results.names import numbered_name
from vexas_edge.results.values import BundleId, CaseScore, Entry, SiteId
from vexas_edge.talk import Say


class Ledger:
    """A results folder that this process writes to, as a context manager.

    known: the results in it, and what a new smear is to them.
    cut_off: whether an earlier run died while it wrote.
    """

    def __init__(self, folder: Path, *, say: Say = lambda _: None) -> None:
        """Take the folder, which is made if there is none, and bring its tables up to date.

        Args:
            say: is told what a person should know.

        Raises:
            HostError: it cannot be written, holds something else, or another process writes to it.
            InputError: a result in it is damaged, has gone, or is of another schema.
        """
        self.folder = folder
        self._run: RunStarted | None = None
        self._say, self._no_page = say, dict[int, str]()
        try:
            check_is_ledger(folder)
            for room in (CASES, RUNS):
                (folder / room).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HostError(
                f"results folder {folder} cannot be written: {error.strerror}; name another with -o"
            ) from error
        self._lock = FolderLock(folder, say=say)
        self.cut_off = self._lock.cut_off is not None
        try:
            remove_partial_files(folder)
            self._load()
        except BaseException:
            self._lock.release()
            raise

    def _load(self) -> None:
        """Take in what lies in the folder, and mend what is derived from it."""
        self._lines = current_lines(self.folder)
        self._last_number = self._lines[-1].number if self._lines else 0
        self.known = known_from_lines(self._lines)
        self.pages = Pages(self.folder, self.known)
        self.pages.settle()
        index = partial(index_html, self.known, self.pages)
        self._tables = Tables(self.folder, self._lines, self.known, index)
        self._tables.mend()

    def start(
        self,
        asked: Asked,
        bundle: BundleId,
        started: datetime,
        site: SiteId | None = None,
        types: BundleId | None = None,
    ) -> None:
        """Say what the results to come are made for; it is written with the first of them.

        Raises:
            UsageError, InputError: as `check_ids_alike`.
        """
        check_ids_alike(self.folder, self._lines, asked.hash_ids)
        self._began, self._run = monotonic(), begun_run(asked, bundle, started, site, types)

    def result(self, line: CaseLine) -> CaseScore:
        """The whole result that a line is of. Raises HostError where it is not what was written."""
        try:
            return result_of(self.folder, line)
        except InputError as error:
            raise HostError(str(error)) from error

    def add(self, score: CaseScore, smear: Smear, place: Placing) -> CaseLine:
        """Write a new result, under its place's name; when this returns, it stays.

        Raises:
            HostError: the folder can no longer be written, or is another process's by now.
        """
        run, number = self._begun(), self._next_number()
        entry = Entry(
            number=number,
            run=run.number,
            given=smear.given,
            series=smear.series,
            stamp=smear.stamp,
            content=smear.content,
            key=smear.key,
            revises=place.revises,
            same_cells_as=place.same_key.number if place.same_key else None,
            shares_cells_with=place.shares_cells_with,
            held=place.held,
        )
        score = replace(score, case=place.case, entry=entry)
        file = f"{CASES}/{numbered_name(number, place.case)}"
        line = case_line_from_file(file, self._write(file, score))
        self._note(line)
        self.known.add(line)
        self._tables.append(CELLS_CSV, cells_csv(score, file))
        if self.known.changes_others(line):
            self._standings_changed()
        else:
            self._tables.append(CASES_CSV, cases_csv_rows(line, self.known))
            self._tables.make_soon(INDEX)
        return line

    def add_page(self, line: CaseLine, pictures: Pictures | None) -> None:
        """Write the page of a result with these pictures, and link to it from the index.

        If the page cannot be written, that is said, and at the end once more; its result is there.

        Raises:
            HostError: the folder is another process's by now.
        """
        self._lock.check()
        try:
            self.pages.add(line, self.pages.made(line, pictures))
        except (HostError, InputError) as error:
            self._say(f"warning: {line.case}: its page could not be written: {error}")
            self._no_page[line.number] = str(error)
            return
        self._no_page.pop(line.number, None)
        self._tables.make_soon(INDEX)

    def _standings_changed(self) -> None:
        """Bring up to date what says how results stand."""
        self.pages.settle()
        for name in (CASES_CSV, INDEX):
            self._tables.make_soon(name)

    def confirm(self, case: str) -> list[CaseLine]:
        """Let the held results of a case count; returns them.

        Their pages show the answers from now on, with the pictures that they have.

        Raises:
            UsageError: none is held.
            HostError: the folder cannot be written.
        """
        lines = self.known.held(case)
        if not lines:
            raise UsageError(f"no result of a case {case!r} is held in {self.folder}")
        numbers = tuple(line.number for line in lines)
        record = Confirmed(number=self._next_number(), results=numbers, confirmed=utc_now())
        self._record("confirmed", record)
        self._standings_changed()
        return lines

    def mend_failures(self, line: CaseLine, stamp: str) -> None:
        """Note that a smear of this stamp, which had failed, has this result. Raises HostError."""
        if numbers := self.known.failures(line, stamp):
            record = Mended(number=self._next_number(), results=numbers, mended=utc_now())
            self._record("mended", record)
            self._standings_changed()

    def mend(self) -> None:
        """Try again to write what could not be written, as when the disk was full."""
        self.pages.settle()
        self._tables.finish()

    def end(self, ended_by: str | None, known: int) -> None:
        """Write how the run ended, if it has made a result.

        Args:
            ended_by, known: as `RunEnded` has them.

        Raises:
            HostError: the folder cannot be written.
        """
        if self._run is None or not self._run.number:
            return
        if ended_by:  # maybe in the middle of writing a result
            self._load()
        results = tuple(line.number for line in self.known if line.entry.run == self._run.number)
        seconds = monotonic() - self._began
        record = ended_run(self._run, self._next_number(), seconds, results, ended_by, known)
        self._record("ended", record)
        self._run = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Try again to write the tables that could not be written, and give the folder back.

        Raises:
            HostError: one still cannot, and nothing else has ended the run.
        """
        pages = [*self._no_page.values(), *self.pages.settle()]
        problems = [*pages, *self._tables.finish()]
        if error:
            try:
                self._load()
            except VexasEdgeError as unread:
                problems.append(str(unread))
        self._lock.release()
        if error:
            for problem in problems:
                error.add_note(f"error: {problem}")
        elif problems:
            raise HostError("; ".join(problems))

    def _begun(self) -> RunStarted:
        """The record of this run, written if it was not yet."""
        if self._run is None:
            raise ValueError("a run must be started before it adds results")
        if not self._run.number:
            run = replace(self._run, number=self._next_number())
            self._record("started", run)
            self._run = run
        return self._run

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _record(self, kind: str, record: RunRecord) -> None:
        file = f"{RUNS}/{numbered_name(record.number, kind)}"
        self._note(line := line_from_file(file, self._write(file, record)))
        if isinstance(line, RunLine):
            self.known.take_in(line)

    def _write(self, file: str, value: CaseScore | RunRecord) -> bytes:
        """Write a result or a record; returns its content."""
        self._lock.check()
        path, content = self.folder / file, bytes_from_record(value)
        if path.exists():
            raise HostError(f"{path} is there already; does another program write to this folder?")
        try:
            write_atomically(path, content)
        except HostError:  # its name may be there all the same, if the disk failed after that
            with suppress(VexasEdgeError):
                self._load()
            raise
        return content

    def _note(self, line: JournalLine) -> None:
        """Take the line of a file that was written into the journal."""
        self._lines.append(line)
        self._tables.append(JOURNAL, bytes_from_line(line))
