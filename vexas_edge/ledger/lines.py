"""What is kept in memory of the results and records in a folder."""

from collections.abc import Iterable
from typing import Any

import msgspec

from vexas_edge.results.values import CaseScore, Entry, Status

# Of a cell's identity, this is enough to count the cells that two smears share.
MARK_BYTES = 8


class CaseLine(msgspec.Struct, frozen=True, kw_only=True, tag="case", tag_field="kind"):
    """What the journal keeps of a result.

    file: where it lies in the folder, with `/`.
    sha256: of the file.
    marks: the first `MARK_BYTES` bytes of the identity of each cell, distinct and in order.
    rows: of cases.csv.
    cells_bytes: how many bytes of cells.csv are of this result.
    """

    file: str
    sha256: str
    case: str
    status: Status
    error: str | None
    entry: Entry
    marks: bytes
    rows: tuple[dict[str, Any], ...]
    cells_bytes: int

    @property
    def number(self) -> int:
        return self.entry.number

    @property
    def told(self) -> tuple[int, ...]:
        """The numbers of the results that it tells of."""
        entry = self.entry
        linked = (entry.revises, entry.same_cells_as, *entry.shares_cells_with)
        return tuple(number for number in linked if number)


class RunLine(msgspec.Struct, frozen=True, kw_only=True, tag="run", tag_field="kind"):
    """What the journal keeps of a record of a run.

    confirmed: the numbers of the results that it confirms.
    mended: the numbers of the failures that it says were mended.
    removed: the numbers of the results that it says were removed.
    told: the numbers of the results that it tells of.
    """

    file: str
    sha256: str
    number: int
    confirmed: tuple[int, ...] = ()
    mended: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    told: tuple[int, ...] = ()


JournalLine = CaseLine | RunLine


def marks_of(score: CaseScore) -> bytes:
    """The marks of a result's cells, as `CaseLine` has them."""
    return marks_from_identities(cell.identity for cell in score.cells_as_read)


def marks_from_identities(identities: Iterable[str]) -> bytes:
    """The marks of cells, by their identities in hex; an empty one has none."""
    marks = {bytes.fromhex(identity)[:MARK_BYTES] for identity in identities if identity}
    return b"".join(sorted(marks))
