"""Cells in an .h5ad file, read by anndata, which is an extra of this package."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vexas_edge.cells.limits import MOST_FEATURES
from vexas_edge.cells.vectors.table import (
    MOST_CELLS,
    Block,
    FeatureNames,
    SparseRows,
    in_float32,
    sparse_rows,
)
from vexas_edge.errors import HostError, InputError

# Columns of the features that other names of them may stand in.
_OTHER_NAMES = ("gene_ids", "gene_symbols", "feature_name")
_ROWS_PER_BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class AnnotatedTable:
    """Such a file, whose names are read; its numbers stay in it."""

    path: Path
    features: FeatureNames
    cells: tuple[str, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """As `FeatureTable` has it."""
        return (self.path,)

    def blocks(self) -> Iterator[Block]:
        """As `FeatureTable` has it."""
        with _opened(self.path) as data:
            for first in range(0, len(self.cells), _ROWS_PER_BLOCK):
                some = slice(first, first + _ROWS_PER_BLOCK)
                yield Block(names=self.cells[some], rows=_rows(self.path, data.X[some]))


def annotated_table(path: Path) -> AnnotatedTable:
    """The table in a file.

    Raises:
        HostError: anndata is not installed.
        InputError: it cannot be read, or holds no numbers.
    """
    with _opened(path) as data:
        if not _has_numbers(data):
            raise InputError(f"{path} holds no numbers (it has no X)")
        _check_numbers(path, data)
        other = next((name for name in _OTHER_NAMES if name in data.var), None)
        return AnnotatedTable(
            path=path,
            features=FeatureNames(
                names=tuple(map(str, data.var_names)),
                others=tuple(map(str, data.var[other])) if other else (),
            ),
            cells=tuple(map(str, data.obs_names)),
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, opened so that its numbers are read when they are asked for."""
    try:
        import anndata  # an extra, and slow to load
    except ImportError as error:
        raise HostError(
            f"{path} is read by anndata, which is not installed: install vexas-edge[h5ad]"
        ) from error
    try:
        _check_names(path)
        with warnings.catch_warnings(action="ignore"):  # of names that are there twice
            data = anndata.read_h5ad(path, backed="r")
        try:
            yield data
        finally:
            data.file.close()
    except (InputError, MemoryError):
        raise
    except Exception as error:  # anndata raises its own for what it does not know
        raise InputError(f"{path} cannot be read: {error}") from error


def _check_names(path: Path) -> None:
    """Check that there are not more names than may be, before anndata reads them all.

    Raises:
        InputError: there are.
    """
    import h5py

    with h5py.File(path) as file:
        for part, most in (("obs", MOST_CELLS), ("var", MOST_FEATURES)):
            found = [file[part], *(file[part].values() if hasattr(file[part], "values") else ())]
            if any(getattr(one, "shape", None) and one.shape[0] > most for one in found):
                raise InputError(f"{path} has more than {most} {part}, more than may be")


def _has_numbers(data: Any) -> bool:
    try:
        return data.X is not None
    except KeyError:  # as it is where the file has none
        return False


def _check_numbers(path: Path, data: Any) -> None:
    """Check that the numbers are a sound table of as many cells and features as are named.

    What is behind anndata trusts the places that a sparse matrix gives, wherever they lead.

    Raises:
        InputError: they are not.
    """
    n_cells, n_features = len(data.obs_names), len(data.var_names)
    stored = data.file["X"]
    is_sparse = "indptr" in stored if hasattr(stored, "keys") else False
    numbers = stored["data"] if is_sparse else stored
    if numbers.dtype.kind not in "iufb":
        raise InputError(f"{path} holds what is no number ({numbers.dtype})")
    if tuple(data.X.shape) != (n_cells, n_features):
        raise InputError(
            f"{path} has numbers of {data.X.shape}, and names for {n_cells} cells and "
            f"{n_features} features"
        )
    if n_cells > MOST_CELLS or n_features > MOST_FEATURES:
        raise InputError(f"{path} has {n_cells} cells of {n_features} features, more than may be")
    if is_sparse:
        by_row = stored.attrs.get("encoding-type", "csr_matrix") == "csr_matrix"
        n_stored = len(stored["indices"])
        has_starts = stored["indptr"].shape == ((n_cells if by_row else n_features) + 1,)
        starts = stored["indptr"][:] if has_starts else np.zeros(1, np.int64)
        is_sound = (
            has_starts
            and starts[0] == 0
            and starts[-1] == n_stored == len(numbers)
            and (np.diff(starts.astype(np.int64)) >= 0).all()
        )
        if not is_sound or not by_row:
            why = "is damaged" if not is_sound else "goes by features; save it by cells (CSR)"
            raise InputError(f"{path}: its sparse matrix {why}")


def _rows(path: Path, found: Any) -> SparseRows:
    """Rows as the file has them, sparse or not.

    Raises:
        InputError: a number lies outside of the table.
    """
    if isinstance(found, np.ndarray):
        return sparse_rows(in_float32(found))
    rows = found.tocsr()
    if len(rows.indices) and not 0 <= rows.indices.min() <= rows.indices.max() < rows.shape[1]:
        raise InputError(f"{path}: a number lies outside of the {rows.shape[1]} features")
    rows.sum_duplicates()
    return SparseRows(
        values=in_float32(rows.data),
        columns=rows.indices.astype(np.int32),
        starts=rows.indptr.astype(np.int64),
        n_columns=rows.shape[1],
    )
