"""Reading a results folder: which files are results and records, and what is known from them.

    cases/NUMBER-CASE.json      a result, its cells included
    runs/NUMBER-started.json    what was asked for, when a run makes its first result
    runs/NUMBER-ended.json      how it ended
    runs/NUMBER-confirmed.json  which results that were held are right
    runs/NUMBER-mended.json     which failures are of smears that have a result
    runs/NUMBER-removed.json    which results had gone when the tables were made anew
    journal.jsonl               a line for each of these
    cases.csv, cells.csv        the tables
    reports/, index.html        pages for people, as `Pages` has them
    lock.json                   while somebody writes

Numbers count all of `cases/` and `runs/`.
"""

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from vexas_edge.errors import InputError
from vexas_edge.inputs import read_file
from vexas_edge.ledger.journal import line_from_file, lines_from_journal, score_from_json
from vexas_edge.ledger.lines import CaseLine, JournalLine, RunLine
from vexas_edge.results.values import CaseScore

CASES, RUNS = "cases", "runs"
JOURNAL, CASES_CSV, CELLS_CSV, INDEX = "journal.jsonl", "cases.csv", "cells.csv", "index.html"
DERIVED = (JOURNAL, CASES_CSV, CELLS_CSV, INDEX)
# Where pages lie, by how their results stand, and those of results that are no longer there.
PAGES, HELD_PAGES, REPLACED_PAGES = "reports", "reports/held", "reports/replaced"
REMOVED_PAGES = "reports/removed"
PAGE_FOLDERS = (PAGES, HELD_PAGES, REPLACED_PAGES)
# What a watcher says of itself; it tells nothing of a result.
WATCH = "watch.json"

_NUMBERED = re.compile(r"(\d{6,})-.+\.(json|html)")


def is_numbered(name: str) -> bool:
    """Whether a file of this name may be a result, a record or a page."""
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
        found |= {f"{room}/{m.string}": int(m[1]) for m in matches if m[2] == "json"}
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def place_of_result(result: Path) -> tuple[Path, str]:
    """The results folder that a result lies in, and its path there.

    Raises:
        InputError: it is no file of a folder `cases`.
    """
    whole = Path(os.path.realpath(result))  # not Path.resolve, which fails for a link to itself
    if not whole.is_file() or whole.parent.name != CASES:
        raise InputError(f"{result} is no result; name a file of {CASES}/ in a results folder")
    return whole.parent.parent, f"{CASES}/{whole.name}"


def read_numbered(folder: Path, file: str) -> bytes:
    """One of the `numbered_files`. Raises InputError where it cannot be read."""
    try:
        return read_file(folder / file)
    except OSError as error:
        raise InputError(f"{folder / file} cannot be read: {error.strerror}") from error


def result_of(folder: Path, line: CaseLine) -> CaseScore:
    """The whole result that a line is of. Raises InputError where it is not what was written."""
    content = read_numbered(folder, line.file)
    if hashlib.sha256(content).hexdigest() != line.sha256:
        raise InputError(
            f"{folder / line.file} is not what was written; put it back, and check the others with "
            f"`vexas-edge results verify {folder}`"
        )
    return score_from_json(line.file, content)


def read_journal(folder: Path) -> list[JournalLine]:
    """The lines of a folder's journal, as far as it goes."""
    try:
        return list(lines_from_journal(read_file(folder / JOURNAL)))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{folder / JOURNAL} cannot be read: {error.strerror}") from error


def lines_from_files(folder: Path, files: Collection[str]) -> Iterator[JournalLine]:
    """The lines of these files. Raises InputError where one is damaged."""
    return (line_from_file(file, read_numbered(folder, file)) for file in files)


def lost_results(lines: Iterable[JournalLine]) -> list[int]:
    """The numbers of results that others tell of, neither there nor known as removed."""
    every = list(lines)
    there = {line.number for line in every if isinstance(line, CaseLine)}
    there |= {number for line in every if isinstance(line, RunLine) for number in line.removed}
    return sorted({number for line in every for number in line.told} - there)


def content_at(path: Path) -> bytes | None:
    """A file's content; None where it cannot be read."""
    try:
        return read_file(path)
    except OSError:
        return None
