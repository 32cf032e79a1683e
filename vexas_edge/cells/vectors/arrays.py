"""Cells in an .npz file of plain arrays, such as counts with the names of genes and cells."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vexas_edge.cells.vectors.table import Block, FeatureNames, sparse_rows
from vexas_edge.errors import InputError
from vexas_edge.inputs import arrays_from_npz, read_file

# What the arrays may be called.
_COUNTS, _FEATURES, _CELLS = ("counts", "X"), ("genes", "features", "probes"), ("cells", "barcodes")
_ROWS_PER_BLOCK = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayTable:
    """Arrays of a file: numbers (N, G), and the names of rows and columns."""

    path: Path
    features: FeatureNames
    cells: tuple[str, ...]
    counts: NDArray[Any]

    @property
    def files(self) -> tuple[Path, ...]:
        """As `FeatureTable` has it."""
        return (self.path,)

    def blocks(self) -> Iterator[Block]:
        """As `FeatureTable` has it."""
        for first in range(0, len(self.counts), _ROWS_PER_BLOCK):
            some = slice(first, first + _ROWS_PER_BLOCK)
            rows = sparse_rows(self.counts[some].astype(np.float32))
            yield Block(names=self.cells[some], rows=rows)


def array_table(path: Path) -> ArrayTable:
    """The arrays in a file.

    Raises:
        InputError: it cannot be read, or lacks one.
    """
    try:
        arrays = arrays_from_npz(read_file(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    counts, features = _one_of(path, arrays, _COUNTS), _one_of(path, arrays, _FEATURES)
    cells = next((arrays[name] for name in _CELLS if name in arrays), None)
    names = np.arange(len(counts)).astype(str) if cells is None else cells
    if counts.ndim != 2 or counts.dtype.kind not in "iuf":
        raise InputError(f"{path}: expected a table of numbers, cells by features")
    if features.shape != counts.shape[1:] or names.shape != counts.shape[:1]:
        raise InputError(
            f"{path}: {counts.shape[0]} rows and {counts.shape[1]} columns, but names for "
            f"{len(names)} cells and {len(features)} features"
        )
    return ArrayTable(
        path=path,
        features=FeatureNames(names=_texts(path, features)),
        cells=_texts(path, names),
        counts=counts,
    )


def _texts(path: Path, names: NDArray[Any]) -> tuple[str, ...]:
    try:
        return tuple(map(str, names.tolist()))
    except (ValueError, SystemError) as error:  # of what is no character
        raise InputError(f"{path} holds a name that is no text: {error}") from error


def _one_of(path: Path, arrays: dict[str, NDArray[Any]], names: tuple[str, ...]) -> NDArray[Any]:
    found = [arrays[name] for name in names if name in arrays]
    if len(found) != 1:
        raise InputError(
            f"{path} has the arrays {', '.join(sorted(arrays))}; expected one of {', '.join(names)}"
        )
    return found[0]
