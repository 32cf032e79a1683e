"""Cases that are tables, found and opened."""

import os
from collections import Counter
from pathlib import Path

from vexas_edge.cells.vectors.case import TableCase
from vexas_edge.cells.vectors.reading import (
    feature_table,
    is_matrix_file,
    is_matrix_folder,
    is_table_file,
    table_stem,
)
from vexas_edge.errors import InputError
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.walk import UnlistedFolderError, WalkedFile, walk_folder
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
    if is_matrix_file(real):
        real = real.parent
    name = real.name if real.is_dir() else table_stem(real)
    return FoundCase(name=unicode_text(name), path=path)


def find_tables(root: Path) -> tuple[FoundCase, ...]:
    """Every table at or below a path, sorted by name, which is its path below it without suffixes.

    Folders that cannot be listed, and links and files that are not followed and may be tables, are
    cases with a problem, so that they fail by name and the others are read.

    Raises:
        InputError: there is no table, or the path itself cannot be listed.
    """
    own = table_at(root)
    if not root.is_dir() or is_matrix_folder(root):
        return (own,)
    unlisted: list[UnlistedFolderError] = []
    walked = list(walk_folder(root, unlisted))
    problems = {unicode_text(error.path): str(error) for error in unlisted}
    problems |= dict(filter(None, (_hidden_by(file, root) for file in walked)))
    files = [file.path for file in walked if file.refusal is None]
    folders = {str(Path(p).parent) for p in files if is_matrix_file(Path(p))}
    inside = [p for p in files if str(Path(p).parent) not in folders and is_table_file(Path(p))]
    stems = {file: str(Path(file).parent / table_stem(Path(file))) for file in inside}
    taken = Counter([*folders, *stems.values()])
    # Two tables that differ by their suffix alone keep it in their names.
    paths = {folder: folder for folder in folders} | {
        (stem if taken[stem] == 1 else file): file for file, stem in stems.items()
    }
    if not paths and not problems:
        raise InputError(f"{root} holds no table of cells")
    found = [
        FoundCase(name=unicode_text(name.replace(os.sep, "/")), path=root / path)
        for name, path in paths.items()
    ]
    found += [
        FoundCase(name=path, path=root / path, problem=problem)
        for path, problem in problems.items()
    ]
    return tuple(sorted(found, key=lambda case: case.name))


def _hidden_by(file: WalkedFile, root: Path) -> tuple[str, str] | None:
    """The place where this refused file may hide a table, and why it is not read."""
    where = f"{root / file.path}"
    if file.refusal == "link_leaves_case":
        return file.path, (
            f"{where} is a link that leaves {root}; score what it points to by its own path, or "
            "put a copy in the place of the link"
        )
    if not is_table_file(Path(file.path)) and not is_matrix_file(Path(file.path)):
        return None
    if file.refusal == "name_not_unicode":
        return file.path, f"{where} has a name that is not Unicode; rename it"
    if file.refusal in ("broken_link", "not_a_file"):
        return file.path, f"{where} is a broken link, or no file; put the table in its place"
    return None
