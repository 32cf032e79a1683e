"""Cases that are tables, found and opened."""

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from vexas_edge.cells.vectors.case import TableCase, state_of_files
from vexas_edge.cells.vectors.matrix_market import is_matrix_part
from vexas_edge.cells.vectors.reading import (
    feature_table,
    files_of_table,
    is_matrix_file,
    is_matrix_folder,
    is_table_file,
    table_stem,
)
from vexas_edge.errors import InputError
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.walk import (
    UnlistedFolderError,
    WalkedFile,
    is_folder,
    is_there,
    walk_folder,
)
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
    if not is_there(found.path):
        raise InputError(f"{found.path} was not found; expected a table of cells")
    # Before anything is read, so that no change is missed.
    state = state_of_files(files_of_table(found.path))
    table = feature_table(found.path)
    return TableCase(name=found.name, path=found.path, table=table, state=state)


def table_at(path: Path) -> FoundCase:
    """The table at a path, whether there is one or not, named after its file or folder."""
    real = Path(os.path.realpath(path))
    if is_matrix_file(real):
        real = real.parent
    name = real.name if is_folder(real) else table_stem(real)
    return FoundCase(name=unicode_text(name), path=path)


def find_tables(root: Path) -> tuple[FoundCase, ...]:
    """Every table at or below a path, sorted by name, which is its path below it without suffixes.

    Folders that cannot be listed, and links and files that are not followed and may be tables, are
    cases with a problem, so that they fail by name and the others are read.

    Raises:
        InputError: there is no table, or the path itself cannot be listed.
    """
    own = table_at(root)
    if not is_folder(root) or is_matrix_folder(root):
        return (own,)
    unlisted: list[UnlistedFolderError] = []
    walked = list(walk_folder(root, unlisted))
    folders = {_folder_of(file.path) for file in walked if is_matrix_file(Path(file.path))}
    problems = {unicode_text(error.path): str(error) for error in unlisted}
    problems |= dict(filter(None, (_hidden_by(file, root, folders) for file in walked)))
    inside = [
        file.path
        for file in walked
        if file.refusal is None
        and is_table_file(Path(file.path))
        and _folder_of(file.path) not in folders
    ]
    names = _names(inside, {*folders, *problems})
    names |= {folder: folder for folder in folders if folder not in problems}
    if not names and not problems:
        raise InputError(f"{root} holds no table of cells")
    found = [FoundCase(name=name, path=root / path) for path, name in names.items()]
    found += [
        FoundCase(name=path, path=root / path, problem=problem)
        for path, problem in problems.items()
    ]
    return tuple(sorted(found, key=lambda case: case.name))


def _names(files: Collection[str], others: Collection[str]) -> dict[str, str]:
    """A name for each file: its path without suffixes, or with them where that is another's too."""
    names = {file: str(PurePosixPath(file).with_name(table_stem(Path(file)))) for file in files}
    while True:
        taken = Counter([*names.values(), *others])
        shared = {file: file for file, name in names.items() if name != file and taken[name] > 1}
        if not shared:
            return names
        names |= shared


def _folder_of(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _hidden_by(file: WalkedFile, root: Path, folders: Collection[str]) -> tuple[str, str] | None:
    """The place where this refused file may hide a table, and why it is not read.

    Args:
        folders: those of a matrix, in which other tables are none.
    """
    said = {
        "link_leaves_case": f"is a link that leaves {root}; score what it points to by its own "
        "path, or put a copy in the place of the link",
        "name_not_unicode": "has a name that is not Unicode; rename it",
        "broken_link": "is a link to nothing; put the table in its place",
        "not_a_file": "is no file; put the table in its place",
    }.get(file.refusal or "")
    path, folder = Path(file.path), _folder_of(file.path)
    if folder in folders:
        hides, place = is_matrix_part(path), folder
    else:
        leaves = file.refusal == "link_leaves_case" and is_folder(root / path)
        hides, place = is_table_file(path) or leaves, file.path
    return (place, f"{root / path} {said}") if said and hides else None
