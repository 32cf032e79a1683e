"""Cells as rows of numbers: read some at a time, and sparse until a batch is made of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# A raw matrix of droplets has millions of barcodes, nearly all of which hold no cell.
MOST_CELLS = 1_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseRows:
    """Rows of which only the numbers that are not 0 are kept, row after row.

    values: float32 (M,). columns: the place of each in its row, int32 (M,).
    starts: where each row begins among them, and the end of the last, int64 (N + 1,).
    n_columns: how many numbers a row has.
    """

    values: NDArray[np.float32]
    columns: NDArray[np.int32]
    starts: NDArray[np.int64]
    n_columns: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def row_of_each(self) -> NDArray[np.int64]:
        """The row of each number, int64 (M,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def dense(self, places: NDArray[np.int32], width: int) -> NDArray[np.float32]:
        """The rows with their numbers in other places, float32 (N, width).

        Args:
            places: where each column goes, int32 (n_columns,); under 0 for one that is left out.
        """
        found = np.zeros((len(self), width), np.float32)
        columns = places[self.columns]
        known = columns >= 0
        found[self.row_of_each[known], columns[known]] = self.values[known]
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Some cells in a row: their names, and their numbers."""

    names: tuple[str, ...]
    rows: SparseRows


@dataclass(frozen=True, kw_only=True)
class FeatureNames:
    """What the columns are called.

    names: as the file calls each.
    others: what it calls each besides, such as the symbol beside an id; empty where it does not.
    """

    names: tuple[str, ...]
    others: tuple[str, ...] = ()


class FeatureTable(Protocol):
    """A file of cells, or several."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is read of it."""

    @property
    def features(self) -> FeatureNames:
        """What its columns are called."""

    def blocks(self) -> Iterator[Block]:
        """All cells in the order of the file, some at a time.

        Raises:
            InputError: the file is damaged, or holds what is no number; the message says where.
        """


def in_float32(numbers: NDArray[Any]) -> NDArray[np.float32]:
    """Numbers in float32; those that are too large are infinite, for which they are refused."""
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32)


def sparse_rows(dense: NDArray[np.float32]) -> SparseRows:
    """Rows float32 (N, G), those that are not 0 kept."""
    rows, columns = np.nonzero(dense)
    starts = np.searchsorted(rows, np.arange(len(dense) + 1))
    return SparseRows(
        values=dense[rows, columns],
        columns=columns.astype(np.int32),
        starts=starts.astype(np.int64),
        n_columns=dense.shape[1],
    )
