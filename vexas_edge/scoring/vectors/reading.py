"""The first look at a table: each model's cells are read once before any is encoded."""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vexas_edge.cells.vectors.case import TableCase
from vexas_edge.cells.vectors.matching import (
    MatchedFeatures,
    WantedFeatures,
    checked_blocks,
    matched_features,
)
from vexas_edge.cells.vectors.table import MOST_CELLS, Block
from vexas_edge.errors import InputError
from vexas_edge.results.values import UsedCell
from vexas_edge.scoring.vectors.rows import ModelRows, identity_of_row
from vexas_edge.text import unicode_text

# Numbers are kept until the engine wants them, up to this size a case, which is some 60,000 cells
# of 500 features that are not 0; those beyond it are read again.
KEPT_ROWS_BYTES = 256 << 20
_CELLS_BETWEEN_REPORTS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadRow:
    """One distinct cell of a table, and the number of its row."""

    record: UsedCell
    place: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadRows:
    """The cells of one model, read once.

    distinct: in the table's order.
    others: those without a number, and copies.
    matched: which features the table has.
    """

    distinct: tuple[ReadRow, ...]
    others: tuple[UsedCell, ...]
    matched: MatchedFeatures
    rows: ModelRows

    @property
    def records(self) -> tuple[UsedCell, ...]:
        """Of every cell, whether it can be used or not."""
        return (*(read.record for read in self.distinct), *self.others)

    def placed(self, cells: Sequence[ReadRow]) -> NDArray[np.float32]:
        """Some of the distinct cells with all numbers that are 0, float32 (n, n_features).

        It is called with rising rows; for many threads.

        Raises:
            InputError: the table cannot be read again, or is another one now.
        """
        return self.rows.dense([cell.place for cell in cells], self._identities)

    @cached_property
    def _identities(self) -> dict[int, str]:
        return {read.place: read.record.identity for read in self.distinct}


@dataclass(frozen=True, kw_only=True)
class ReadTable:
    """All cells of a table, read once for each of a bundle's models.

    sha256: of its files.
    started, clock: when reading began, as UTC and as `time.perf_counter` counts.
    """

    case: TableCase
    sha256: str
    of_models: dict[str, ReadRows]
    started: datetime
    clock: float

    @property
    def records(self) -> Iterator[UsedCell]:
        """Of every cell that was read, by a model at a time."""
        return (record for rows in self.of_models.values() for record in rows.records)


def read_rows(
    case: TableCase, wanted: WantedFeatures, progress: Callable[[int, int], None], room: int
) -> ReadRows:
    """All cells of a table, as a model takes them.

    Args:
        progress: called with how many cells were read, and how many are known of.
        room: how many bytes of numbers are kept.

    Raises:
        InputError: the table cannot be read, lies on its side, has a feature or a cell twice, or
            holds numbers that the model does not take.
    """
    first_cells = next((block.names for block in case.table.blocks()), ())
    matched = matched_features(wanted, case.table.features, first_cells)
    rows = ModelRows(partial(_checked, case, wanted), matched, len(wanted.names), room)
    first: dict[str, ReadRow] = {}
    others: list[UsedCell] = []
    names: set[str] = set()
    for place, (name, row) in enumerate(rows.first_reading()):
        _check_name(name, names, case.path)
        names.add(name)
        record = UsedCell(path=name, cell_class="", status="used", named_by="nobody")
        identity = identity_of_row(row)
        if not len(row[0]):
            others.append(_empty(record))
        elif identity in first:
            others.append(_copy(record, identity, first[identity].record.path))
        else:
            record = replace(record, identity=identity)
            first[identity] = ReadRow(record=record, place=place)
        if len(names) % _CELLS_BETWEEN_REPORTS == 0:
            progress(len(names), len(names))
    if not names:
        raise InputError(f"{case.path} holds no cell")
    progress(len(names), len(names))
    return ReadRows(
        distinct=tuple(first.values()), others=tuple(others), matched=matched, rows=rows
    )


def _check_name(name: str, names: Set[str], path: Path) -> None:
    """Check that a cell's name is a text and its own, and that there are not too many cells."""
    if unicode_text(name) != name:
        raise InputError(f"{path}: the name of a cell is no text: {unicode_text(name)}")
    if name in names:
        raise InputError(f"{path}: two cells are called {name}; give each its own name")
    if len(names) == MOST_CELLS:
        raise InputError(
            f"{path} holds more than {MOST_CELLS} cells; expected those of one sample, without "
            "empty droplets"
        )


def _checked(case: TableCase, wanted: WantedFeatures) -> Iterator[Block]:
    return checked_blocks(case.table, wanted)


def _empty(record: UsedCell) -> UsedCell:
    detail = "all numbers that the model takes are 0"
    return replace(record, status="rejected", reason="no_numbers", detail=detail)


def _copy(record: UsedCell, identity: str, original: str) -> UsedCell:
    return replace(
        record,
        status="duplicate",
        reason="same_numbers",
        detail=f"same numbers as {original}",
        identity=identity,
    )
