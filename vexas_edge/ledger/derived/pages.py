"""The pages of results: each lies where its result stands, and none shows what may not be seen.

    reports/NUMBER-CASE.html            of a result that stands, or has failed
    reports/held/NUMBER-CASE.html       of one that is held, without its answer, or that must wait
    reports/replaced/NUMBER-CASE.html   of one that a newer result has taken the place of
    reports/removed/NUMBER-CASE.html    of one that somebody has removed

Where a result's standing changes, or what must be said of other cases, its page is made anew with
the pictures that it has.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from vexas_edge.errors import HostError, InputError
from vexas_edge.files import sync_folder, take_name, write_atomically
from vexas_edge.ledger.derived.others import Others
from vexas_edge.ledger.lines import CaseLine
from vexas_edge.ledger.reading import (
    HELD_PAGES,
    PAGE_FOLDERS,
    PAGES,
    REMOVED_PAGES,
    REPLACED_PAGES,
    is_numbered,
    result_of,
)
from vexas_edge.ledger.remarks import shown_result
from vexas_edge.ledger.sameness import Known
from vexas_edge.naming.hashing import IdKey
from vexas_edge.report.answers import OtherCases
from vexas_edge.report.index import IndexRow, index_of
from vexas_edge.report.page import mark_of, page_of, pictures_in, shown_mark
from vexas_edge.report.pictures import Pictures
from vexas_edge.results.names import numbered_name
from vexas_edge.results.tables import shown_row
from vexas_edge.results.values import ResultState

_PLACES: dict[ResultState, str] = {
    "current": PAGES,
    "failed": PAGES,
    "held": HELD_PAGES,
    "replaced": REPLACED_PAGES,
}


# The mark of a page lies within its first bytes.
_HEAD_BYTES = 2048


def page_name(line: CaseLine) -> str:
    """The name of the page of a result."""
    return numbered_name(line.number, line.case, ".html")


def page_from_line(
    folder: Path,
    line: CaseLine,
    known: Known,
    others: OtherCases,
    pictures: Pictures | None = None,
    key: IdKey | None = None,
) -> bytes:
    """The page of a result in a folder, as it may be shown today.

    Args:
        others, pictures: as `page_of` has them.
        key: hashes ids on the page.

    Raises:
        InputError: the result cannot be read, or is not what was written.
    """
    shown = shown_result(result_of(folder, line), line, known, folder)
    if key:
        shown = replace(key.result(shown), case=key.case(shown.case))
        others = replace(
            others,
            unclear=tuple(map(key.case, others.unclear)),
            held=("CASE",) if others.held else (),
            same_cells=tuple(map(key.case, others.same_cells)),
        )
    return page_of(shown, line.sha256, pictures, others)


class Pages:
    """The pages in a results folder.

    Args:
        known: its results; they grow.
    """

    def __init__(self, folder: Path, known: Known) -> None:
        """Find the pages. Raises InputError where they cannot be listed."""
        self._folder, self._known = folder, known
        self.others = Others(known)
        self._marks: dict[str, str] = {}
        # Where each page lies: in two places if a run was cut off while it was moved.
        self._places: dict[str, set[str]] = defaultdict(set)
        for place in PAGE_FOLDERS:
            for path in _listed(folder / place):
                if path.suffix == ".html":
                    self._places[path.name].add(place)

    def path_of(self, line: CaseLine) -> str:
        """The path of a result's page in the folder, with `/`; empty if it has none."""
        name = page_name(line)
        places = self._places.get(name, set())
        return "".join(f"{place}/{name}" for place in sorted(places)[:1])

    def place_of(self, line: CaseLine) -> str:
        """The path at which a result's page should lie today."""
        return f"{self._place(line)}/{page_name(line)}"

    def made(self, line: CaseLine, pictures: Pictures | None) -> bytes:
        """The page of a result as it is today. Raises InputError as `page_from_line`."""
        return page_from_line(self._folder, line, self._known, self.others.of(line), pictures)

    def add(self, line: CaseLine, page: bytes) -> None:
        """Write the page of a result. Raises HostError where it cannot be written."""
        name, place = page_name(line), self._place(line)
        self._room(place)
        write_atomically(self._folder / place / name, page)
        for other in self._places[name] - {place}:
            self._remove(f"{other}/{name}")
        self._places[name] = {place}
        self._marks[name] = shown_mark(page)

    def settle(self, *, thoroughly: bool = False) -> list[str]:
        """Let pages lie and say how their results stand today; returns why some do not.

        They stay as they are if they cannot be written, as one that another program has open.

        Args:
            thoroughly: whether pages that most likely say so are looked at, too.
        """
        problems = []
        for line in self._known:
            try:
                self._settle(line, thoroughly=thoroughly)
            except (HostError, InputError) as error:
                problems.append(str(error))
        return problems

    def _settle(self, line: CaseLine, *, thoroughly: bool) -> None:
        """Make a page anew, with the pictures that it has, if it does not say how things stand."""
        path = self.path_of(line)
        if not path:
            return
        in_question = thoroughly or self.others.may_tell(line)
        is_placed = self._places[page_name(line)] == {self._place(line)}
        if not is_placed or (in_question and self._says_otherwise(line, path)):
            self.add(line, self.made(line, pictures_in(self._read(path))))

    def _says_otherwise(self, line: CaseLine, path: str) -> bool:
        """Whether a page tells of other results otherwise than it should today."""
        name = page_name(line)
        if name not in self._marks:
            self._marks[name] = shown_mark(self._read(path, _HEAD_BYTES))
        return self._marks[name] != mark_of(self.others.of(line))

    def set_aside(self) -> None:
        """Put the pages of results that are not there where nobody takes them for a result's."""
        names = {page_name(line) for line in self._known}
        for name in filter(is_numbered, self._places.keys() - names):
            self._room(REMOVED_PAGES)
            for place in self._places.pop(name):
                take_name(self._folder / place / name, self._folder / REMOVED_PAGES / name)

    def _place(self, line: CaseLine) -> str:
        return HELD_PAGES if self.others.waits(line) else _PLACES[self._known.state(line)]

    def _read(self, path: str, most: int = -1) -> bytes:
        try:
            with (self._folder / path).open("rb") as stream:
                return stream.read(most)
        except OSError as error:
            raise InputError(f"{self._folder / path} cannot be read: {error.strerror}") from error

    def _room(self, place: str) -> None:
        try:
            (self._folder / place).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HostError(f"{self._folder / place} cannot be made: {error.strerror}") from error

    def _remove(self, path: str) -> None:
        try:
            (self._folder / path).unlink(missing_ok=True)
            sync_folder((self._folder / path).parent)
        except OSError as error:
            raise HostError(f"{self._folder / path} cannot be removed: {error.strerror}") from error


def index_html(known: Known, pages: Pages) -> bytes:
    """The index of a folder, with links to the pages."""
    rows = []
    for line in known:
        state, flags = known.state(line), known.flags(line)
        withheld = known.withholds(line)
        shown = [shown_row(row, state, flags, withheld=withheld) for row in line.rows]
        rows.append(
            IndexRow(
                number=line.number,
                state=state,
                rows=shown,
                page=pages.path_of(line),
                waits=pages.others.waits(line),
            )
        )
    return index_of(rows)


def _listed(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}") from error
