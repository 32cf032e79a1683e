"""Cells in an .npz file of plain arrays, such as counts with the names of genes and cells."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vexas_edge.cells.limits import MOST_FEATURES
from vexas_edge.cells.vectors.table import MOST_CELLS, Block, FeatureNames, in_float32, sparse_rows
from vexas_edge.errors import InputError
from vexas_edge.inputs import ARRAY_DAMAGE, open_zip

# What the arrays may be called.
_COUNTS, _FEATURES, _CELLS = ("counts", "X"), ("genes", "features", "probes"), ("cells", "barcodes")
_MOST_ARRAYS, _LONGEST_HEADER = 100, 10_000
# Numbers are read so many bytes at a time; names, and numbers by columns, at once up to the other.
_BLOCK_BYTES, _MOST_BYTES = 16 << 20, 128 << 20


@dataclass(frozen=True, kw_only=True)
class _Header:
    """What an array says of itself."""

    member: str
    shape: tuple[int, ...]
    by_columns: bool
    dtype: np.dtype[Any]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, kw_only=True)
class ArrayTable:
    """Such a file, whose names are read; its numbers stay in it."""

    path: Path
    features: FeatureNames
    cells: tuple[str, ...]
    numbers: _Header

    @property
    def files(self) -> tuple[Path, ...]:
        """As `FeatureTable` has it."""
        return (self.path,)

    def blocks(self) -> Iterator[Block]:
        """As `FeatureTable` has it."""
        if self.numbers.by_columns:
            with _opened(self.path) as archive:
                yield from self._parts(_whole(archive, self.numbers))
            return
        n_rows, n_columns = self.numbers.shape
        step = _rows_per_block(self.numbers)
        with _opened(self.path) as archive, archive.open(self.numbers.member) as stream:
            _header(self.numbers.member, stream)
            for first in range(0, n_rows, step):
                n = min(step, n_rows - first)
                content = stream.read(n * n_columns * self.numbers.dtype.itemsize)
                rows = np.frombuffer(content, self.numbers.dtype).reshape(n, n_columns)
                yield from self._parts(rows, first)

    def _parts(self, rows: NDArray[Any], first: int = 0) -> Iterator[Block]:
        step = _rows_per_block(self.numbers)
        for start in range(0, len(rows), step):
            some = in_float32(rows[start : start + step])
            names = self.cells[first + start : first + start + len(some)]
            yield Block(names=names, rows=sparse_rows(some))


def array_table(path: Path) -> ArrayTable:
    """The arrays in a file.

    Raises:
        InputError: it cannot be read, or lacks one.
    """
    with _opened(path) as archive:
        headers: dict[str, _Header] = {}
        for member in filter(lambda name: name.endswith(".npy"), archive.namelist()):
            headers[member.removesuffix(".npy")] = _checked_header(archive, member)
        numbers = _one_of(path, headers, _COUNTS)
        features = _one_of(path, headers, _FEATURES)
        cells = next((headers[name] for name in _CELLS if name in headers), None)
        if len(numbers.shape) != 2 or numbers.dtype.kind not in "iuf":
            raise InputError(f"{path}: expected a table of numbers, cells by features")
        n_cells, n_features = numbers.shape
        own = (n_cells,) if cells is None else cells.shape
        if features.shape != (n_features,) or own != (n_cells,):
            raise InputError(
                f"{path}: {n_cells} rows and {n_features} columns, but names of shape {own} for "
                f"cells and {features.shape} for features"
            )
        if n_cells > MOST_CELLS or not 0 < n_features <= MOST_FEATURES:
            raise InputError(
                f"{path} has {n_cells} cells of {n_features} features; expected at most "
                f"{MOST_CELLS} and 1 to {MOST_FEATURES}"
            )
        numbered = tuple(map(str, range(n_cells))) if cells is None else ()
        return ArrayTable(
            path=path,
            features=FeatureNames(names=_texts(path, _whole(archive, features))),
            cells=numbered or (_texts(path, _whole(archive, cells)) if cells else ()),
            numbers=numbers,
        )


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The file; what is wrong with it while it is open is an InputError, too."""
    try:
        with open_zip(path, _MOST_ARRAYS) as archive:
            yield archive
    except InputError:
        raise
    except ARRAY_DAMAGE as error:
        why = f"{type(error).__name__}: {error}"
        raise InputError(f"{path} cannot be read: no readable arrays ({why})") from error


def _checked_header(archive: zipfile.ZipFile, member: str) -> _Header:
    """What an array says of itself, which has as many bytes as it claims.

    Raises:
        ValueError: it has not, or would have to be unpickled.
    """
    with archive.open(member) as stream:
        header = _header(member, stream)
        has = archive.getinfo(member).file_size - stream.tell()
    if has != header.n_bytes:
        raise ValueError(f"{member} has {has} bytes, and its header claims {header.n_bytes}")
    return header


def _header(member: str, stream: IO[bytes]) -> _Header:
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read(stream, max_header_size=_LONGEST_HEADER)
    if dtype.hasobject:
        raise ValueError(f"{member} would have to be unpickled")
    return _Header(member=member, shape=shape, by_columns=by_columns, dtype=dtype)


def _whole(archive: zipfile.ZipFile, header: _Header) -> NDArray[Any]:
    """An array that is read at once.

    Raises:
        ValueError: it is larger than may be, or has not the bytes that its header claims.
    """
    if header.n_bytes > _MOST_BYTES:
        rows = "; save it row by row, in C order" if header.by_columns else ""
        raise ValueError(f"{header.member} has over {_MOST_BYTES} bytes{rows}")
    with archive.open(header.member) as stream:
        _header(header.member, stream)
        content = stream.read(header.n_bytes + 1)
    if len(content) != header.n_bytes:
        raise ValueError(f"{header.member} has other bytes than its header claims")
    order: Any = "F" if header.by_columns else "C"
    return np.frombuffer(content, header.dtype).reshape(header.shape, order=order)


def _rows_per_block(numbers: _Header) -> int:
    return max(1, _BLOCK_BYTES // max(1, numbers.shape[1] * numbers.dtype.itemsize))


def _texts(path: Path, names: NDArray[Any]) -> tuple[str, ...]:
    try:
        if names.dtype.kind == "S":
            names = np.char.decode(names, "utf-8")
        return tuple(map(str, names.tolist()))
    except (ValueError, SystemError) as error:  # of what is no character
        raise InputError(f"{path} holds a name that is no text: {error}") from error


def _one_of(path: Path, headers: dict[str, _Header], names: tuple[str, ...]) -> _Header:
    found = [headers[name] for name in names if name in headers]
    if len(found) != 1:
        raise InputError(
            f"{path} has the arrays {', '.join(sorted(headers))}; expected one of "
            f"{', '.join(names)}"
        )
    return found[0]
