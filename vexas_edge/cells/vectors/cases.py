"""Cases that are tables, found and opened."""

import os
from collections import Counter
from pathlib import Path

from vexas_edge.cells.vectors.case import TableCase
from vexas_edge.cells.vectors.matrix_market import MATRIX
from vexas_edge.cells.vectors.reading import feature_table, is_table_file, table_stem
from vexas_edge.errors import InputError
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.walk import walk_folder
from vexas_edge.text import unicode_text


def read_table(where: str | os.PathLike[str] | FoundCase) -> TableCase:
    """The case in a table: .csv, .tsv or .txt, plain or as .gz, .npz, .h5ad, a matrix's folder.

    Raises:
        InputError: it is missing, or no such table.
        HostError: what reads .h5ad is not installed.
    """
    found = where if isinstance(where, FoundCase) else table_at(Path(where))
    if found.problem:
        raise InputError(found.problem)
    if not found.path.exists():
        raise InputError(f"{found.path} was not found; expected a table of cells")
    return TableCase(name=found.name, path=found.path, table=feature_table(found.path))


def table_at(path: Path) -> FoundCase:
    """The table at a path, whether there is one or not, named after its file or folder."""
    real = Path(os.path.realpath(path))
    if real.name.removesuffix(".gz") == MATRIX:
        real = real.parent
    name = real.name if real.is_dir() else table_stem(real)
    return FoundCase(name=unicode_text(name), path=path)


def find_tables(root: Path) -> tuple[FoundCase, ...]:
    """Every table at or below a path, sorted by name, which is its path below it without suffixes.

    Raises:
        InputError: there is no table.
    """
    own = table_at(root)
    if not root.is_dir() or _is_matrix(root):
        return (own,)
    files = [file.path for file in walk_folder(root) if file.refusal is None]
    folders = {str(Path(p).parent) for p in files if _is_matrix_file(Path(p))}
    inside = [p for p in files if str(Path(p).parent) not in folders and is_table_file(Path(p))]
    stems = {file: str(Path(file).parent / table_stem(Path(file))) for file in inside}
    taken = Counter([*folders, *stems.values()])
    # Two tables that differ by their suffix alone keep it in their names.
    paths = {folder: folder for folder in folders} | {
        (stem if taken[stem] == 1 else file): file for file, stem in stems.items()
    }
    if not paths:
        raise InputError(f"{root} holds no table of cells")
    return tuple(
        FoundCase(name=unicode_text(name.replace(os.sep, "/")), path=root / path)
        for name, path in sorted(paths.items())
    )


def _is_matrix(folder: Path) -> bool:
    return any(map(_is_matrix_file, folder.iterdir()))


def _is_matrix_file(path: Path) -> bool:
    return path.name.removesuffix(".gz") == MATRIX
