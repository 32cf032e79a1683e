"""Checks a results folder: every file against every other, so that a change is found and named."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from vexas_edge.covariates.taken import values_from_models
from vexas_edge.errors import InputError
from vexas_edge.inputs import open_file
from vexas_edge.ledger.derived.pages import Pages, index_html, page_name
from vexas_edge.ledger.derived.tables import cases_csv, cells_csv_parts, journal_from_lines
from vexas_edge.ledger.journal import line_from_file, record_from_json, score_from_json
from vexas_edge.ledger.lines import CaseLine, JournalLine
from vexas_edge.ledger.lock import LOCK
from vexas_edge.ledger.reading import (
    CASES,
    CASES_CSV,
    CELLS_CSV,
    DERIVED,
    INDEX,
    JOURNAL,
    PAGE_FOLDERS,
    REMOVED_PAGES,
    RUNS,
    WATCH,
    content_at,
    lost_results,
    numbered_files,
    read_journal,
    read_numbered,
)
from vexas_edge.ledger.runs import RunEnded, RunStarted
from vexas_edge.ledger.sameness import Known, known_from_lines
from vexas_edge.ledger.smears import content_of, key_of, series_of
from vexas_edge.report.page import is_page_of, maker_of, mark_of, pictures_in, shown_mark
from vexas_edge.results.names import numbered_name
from vexas_edge.results.values import BundleId, CaseScore
from vexas_edge.version import __version__


def problems_of_folder(folder: Path, bundle: BundleId | None = None) -> list[str]:
    """What is wrong in a results folder, each with the name of a file; empty if nothing is.

    Args:
        bundle: the one that results should be of which name it and its version.

    Raises:
        InputError: there is no results folder.
    """
    files, lines = numbered_files(folder), read_journal(folder)
    if content_at(folder / JOURNAL) != journal_from_lines(lines):
        return [
            f"{JOURNAL} has gone, or some of its {len(lines)} lines that can be read were changed"
        ]
    journal = {line.file: line for line in lines}
    found = [*_strange_files(folder, files), *_differences(folder, files, journal)]
    if found:  # what is made from these files cannot be judged by them
        return found
    ordered = [journal[file] for file in files]
    return [*_contradictions(folder, ordered, bundle)] or [*_of_derived(folder, ordered)]


def _strange_files(folder: Path, files: Collection[str]) -> Iterator[str]:
    """What does not belong to a results folder."""
    own = {*files, *DERIVED, LOCK, WATCH, CASES, RUNS, *PAGE_FOLDERS}
    places = (folder, folder / CASES, folder / RUNS)
    for path in sorted(path for place in places for path in place.iterdir()):
        name = path.relative_to(folder).as_posix()
        if name not in own and not name.endswith(".partial"):
            yield f"{name} does not belong to a results folder"


def _differences(
    folder: Path, files: Collection[str], journal: Mapping[str, JournalLine]
) -> Iterator[str]:
    """Which results and records are not what the journal says, or there."""
    for file in sorted(journal.keys() - files):
        yield f"{file} has gone"
    for file in files:
        if file not in journal:
            yield f"{file} is not in {JOURNAL}"
            continue
        try:
            line = line_from_file(file, read_numbered(folder, file))
        except InputError as error:
            yield str(error)
            continue
        if line.sha256 != journal[file].sha256:
            yield f"{file} is not what was written, or {JOURNAL} was changed"
        elif line != journal[file]:
            yield f"{JOURNAL} says something else of {file} than the file does"


def _contradictions(
    folder: Path, lines: list[JournalLine], bundle: BundleId | None
) -> Iterator[str]:
    """Where a result or a record does not agree with itself, with another one or the bundle."""
    started: dict[int, RunStarted] = {}
    lost = set(lost_results(lines))
    for line in lines:
        content = read_numbered(folder, line.file)
        if line.number != int(line.file.partition("/")[2].partition("-")[0]):
            yield f"{line.file} holds the number {line.number}"
        if isinstance(line, CaseLine):
            score = score_from_json(line.file, content)
            yield from (f"{line.file} {why}" for why in _of_case(line, score, started, bundle))
        else:
            record = record_from_json(line.file, content)
            if isinstance(record, RunStarted):
                started[record.number] = record
            if isinstance(record, RunEnded) and record.run not in started:
                yield f"{line.file} ends a run that is not there"
        for number in sorted(lost.intersection(line.told)):
            yield f"{line.file} names the result {number}, which is not there"


def _of_case(
    line: CaseLine, score: CaseScore, started: Mapping[int, RunStarted], bundle: BundleId | None
) -> Iterator[str]:
    entry, run = line.entry, started.get(line.entry.run)
    cells = score.cells_as_read
    covariates = values_from_models(score.models)
    if line.file != f"{CASES}/{numbered_name(entry.number, score.case)}":
        yield f"is result {entry.number}, of the case {score.case!r}"
    if run is None:
        yield f"is of the run {entry.run}, which is not there"
    elif (run.bundle, run.types, run.site) != (
        score.bundle,
        score.types,
        score.site,
    ) or entry.series != series_of(run.bundle.sha256, run.vexas_edge, run.site, run.types):
        yield "was not scored with the bundles, the site file and the version of its run"
    if score.status != "failed" and (
        entry.key != key_of(entry.series, cells, covariates)
        or entry.content != content_of(score.files, covariates)
    ):
        yield "holds other cells than it was scored on, or other values of covariates"
    if bundle and score.bundle and _is_namesake(score.bundle, bundle):
        yield f"was scored with another bundle that is called {bundle.name} {bundle.version}, too"


def _is_namesake(one: BundleId, other: BundleId) -> bool:
    return (one.name, one.version) == (other.name, other.version) and one.sha256 != other.sha256


def _of_derived(folder: Path, lines: list[JournalLine]) -> Iterator[str]:
    """Which of the files that are made from these lines are not as they would be made today."""
    known = known_from_lines(lines)
    yield from _of_pages(folder, known)
    for name, wanted in (
        (JOURNAL, journal_from_lines(lines)),
        (CASES_CSV, cases_csv(known)),
        (INDEX, index_html(known, Pages(folder, known))),
    ):
        if content_at(folder / name) != wanted:
            yield f"{name} is not what these results give"
    if not _is_of_parts(folder / CELLS_CSV, cells_csv_parts(folder, lines)):
        yield f"{CELLS_CSV} is not what these results give"


def _of_pages(folder: Path, known: Known) -> Iterator[str]:
    """Which pages are of no result, are not what was made, or lie where they should not."""
    pages, by_name = Pages(folder, known), {page_name(line): line for line in known}
    for path in sorted(path for place in PAGE_FOLDERS for path in (folder / place).glob("*")):
        file = path.relative_to(folder).as_posix()
        if file in (*PAGE_FOLDERS, REMOVED_PAGES) or file.endswith(".partial"):
            continue
        line = by_name.get(path.name)
        if line is None:
            yield f"{file} is the page of no result here"
        elif file != pages.place_of(line):
            yield f"{file} should lie in {pages.place_of(line).rpartition('/')[0]}"
        elif not _is_as_made(content_at(path) or b"", line, pages):
            yield (
                f"{file} is not the page that would be made of {line.file} today; make it anew "
                "with `vexas-edge report`"
            )


def _is_as_made(page: bytes, line: CaseLine, pages: Pages) -> bool:
    """Whether a page is what would be made today, its pictures aside.

    A page of another version of vexas-edge may say the same in other words.
    """
    if not is_page_of(page, line.sha256):
        return False
    if maker_of(page) != __version__:
        return shown_mark(page) == mark_of(pages.others.of(line))
    return page == pages.made(line, pictures_in(page))


def _is_of_parts(path: Path, parts: Iterator[bytes]) -> bool:
    try:
        with open_file(path) as stream:
            return all(stream.read(len(part)) == part for part in parts) and not stream.read(1)
    except OSError:
        return False
