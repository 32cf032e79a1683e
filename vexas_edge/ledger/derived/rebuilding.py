"""Makes all that is derived in a results folder anew, from its results and records alone."""

from pathlib import Path

from vexas_edge.errors import HostError, InputError
from vexas_edge.files import write_atomically
from vexas_edge.ledger.derived.pages import Pages, index_html
from vexas_edge.ledger.derived.tables import cases_csv, journal_from_lines, write_cells_csv
from vexas_edge.ledger.journal import bytes_from_record
from vexas_edge.ledger.lines import JournalLine
from vexas_edge.ledger.reading import (
    CASES_CSV,
    INDEX,
    JOURNAL,
    RUNS,
    lines_from_files,
    lost_results,
    numbered_files,
    read_journal,
)
from vexas_edge.ledger.runs import Removed, utc_now
from vexas_edge.ledger.sameness import known_from_lines
from vexas_edge.results.names import numbered_name
from vexas_edge.text import listed


def rebuild_tables(folder: Path) -> int:
    """Make journal, tables and index anew from results and records alone; returns their number.

    Pages cannot be made without their smears; they are brought to where their results stand,
    and those of results that have gone are set aside.

    If results have gone that others tell of, a record says so, and nobody misses them from then on.
    The folder must be this process's to write.

    Raises:
        InputError: one of them is damaged, or is not what the journal says that was written.
        HostError: the folder cannot be written.
    """
    lines = _checked_lines(folder)
    if lost := lost_results(lines):
        record = Removed(number=lines[-1].number + 1, results=tuple(lost), noticed=utc_now())
        file = f"{RUNS}/{numbered_name(record.number, 'removed')}"
        write_atomically(folder / file, bytes_from_record(record))
        lines += lines_from_files(folder, [file])
    write_atomically(folder / JOURNAL, journal_from_lines(lines))
    known = known_from_lines(lines)
    write_atomically(folder / CASES_CSV, cases_csv(known))
    write_cells_csv(folder, lines)
    pages = Pages(folder, known)
    pages.set_aside()
    problems = pages.settle(thoroughly=True)
    write_atomically(folder / INDEX, index_html(known, pages))
    if problems:
        raise HostError("; ".join(problems))
    return len(lines)


def _checked_lines(folder: Path) -> list[JournalLine]:
    """The lines of all results and records, none of which was changed since it was written."""
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
    return lines
