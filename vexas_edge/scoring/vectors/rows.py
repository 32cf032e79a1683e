"""The rows of a table in the order of a model's features: kept, or read again where too many."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vexas_edge.cells.vectors.matching import MatchedFeatures
from vexas_edge.cells.vectors.table import Block, SparseRows
from vexas_edge.errors import InputError

# One row: the places of its numbers among the model's features, int32, and the numbers, float32.
ModelRow = tuple[NDArray[np.int32], NDArray[np.float32]]


class ModelRows:
    """The rows of a table as a model takes them; from any thread.

    As many as there is room for are kept, the first ones; the others are read again from the table,
    in its order, when they are asked for.
    """

    def __init__(
        self,
        blocks: Callable[[], Iterator[Block]],
        matched: MatchedFeatures,
        n_features: int,
        room: int,
    ) -> None:
        """Nothing is read yet.

        Args:
            blocks: reads the table from its start.
            n_features: how many the model takes.
            room: how many bytes of numbers are kept.
        """
        self._blocks, self._places, self._n = blocks, matched.places, n_features
        self._missing = np.setdiff1d(np.arange(n_features), matched.places)
        self._room, self._kept = room, list[ModelRow]()
        self._lock = threading.Lock()
        self._again: Iterator[tuple[int, ModelRow]] = iter(())
        self._next, self._passed = 0, dict[int, ModelRow]()

    def first_reading(self) -> Iterator[tuple[str, ModelRow]]:
        """The name and the numbers of each cell, from the first row on; to be read to its end.

        Raises:
            InputError: the table cannot be read, or a cell has a number twice.
        """
        for name, row in self._all():
            size = row[0].nbytes + row[1].nbytes
            if size <= self._room:
                self._room -= size
                self._kept.append(row)
            else:
                self._room = 0  # what is kept are the first rows, without gaps
            yield name, row

    def dense(self, places: Sequence[int], wanted: Mapping[int, str]) -> NDArray[np.float32]:
        """Some rows, float32 (n, n_features), with NaN for features that the table has not.

        Args:
            places: their numbers in the table, rising.
            wanted: the identity of each row that will be asked for at all, by its number.

        Raises:
            InputError: the table cannot be read again, or is another one now.
        """
        found = np.zeros((len(places), self._n), np.float32)
        found[:, self._missing] = np.nan
        for row, (columns, values) in zip(found, self._rows(places, wanted), strict=True):
            row[columns] = values
        return found

    def _rows(self, places: Sequence[int], wanted: Mapping[int, str]) -> list[ModelRow]:
        n_kept = len(self._kept)
        rows = [self._kept[place] for place in places if place < n_kept]
        others = [place for place in places if place >= n_kept]
        if others:
            with self._lock:
                rows += [self._read_again(place, wanted) for place in others]
        return rows

    def _read_again(self, place: int, wanted: Mapping[int, str]) -> ModelRow:
        """A row that was not kept; those before it wait for the threads that will ask for them."""
        if place in self._passed:
            return self._passed.pop(place)
        if place < self._next or self._next == 0:
            self._again, self._passed = enumerate(row for _, row in self._all()), {}
        for at, row in self._again:
            self._next = at + 1
            if at in wanted and identity_of_row(row) != wanted[at]:
                raise InputError("the table changed while it was being scored; score it again")
            if at == place:
                return row
            if at >= len(self._kept) and at in wanted:
                self._passed[at] = row
        raise InputError("the table changed while it was being scored; score it again")

    def _all(self) -> Iterator[tuple[str, ModelRow]]:
        for block in self._blocks():
            ordered = _in_order(block, self._places)
            for name, start, end in zip(
                block.names, ordered.starts[:-1], ordered.starts[1:], strict=True
            ):
                yield name, (ordered.columns[start:end].copy(), ordered.values[start:end].copy())


def identity_of_row(row: ModelRow) -> str:
    """The hash, in hex, of a cell's numbers that are not 0 and of their places."""
    places, values = row
    digest = hashlib.blake2b(places.astype("<i4").tobytes(), digest_size=32)
    digest.update(values.astype("<f4").tobytes())
    return digest.hexdigest()


def _in_order(block: Block, places: NDArray[np.int32]) -> SparseRows:
    """The rows' numbers that are not 0 and that a model takes, each row's in the model's order.

    Raises:
        InputError: a cell has a number twice.
    """
    rows = block.rows
    columns, owners = places[rows.columns], rows.row_of_each
    known = (columns >= 0) & (rows.values != 0)
    columns, owners, values = columns[known], owners[known], rows.values[known]
    order = np.lexsort((columns, owners))
    columns, owners, values = columns[order], owners[order], values[order]
    twice = (np.diff(columns) == 0) & (np.diff(owners) == 0)
    if twice.any():
        name = block.names[owners[int(np.flatnonzero(twice)[0])]]
        raise InputError(f"the cell {name} has a number of one feature twice")
    return SparseRows(
        values=values,
        columns=columns,
        starts=np.searchsorted(owners, np.arange(len(rows) + 1)).astype(np.int64),
        n_columns=len(places),
    )
