"""Finding the smears below a folder, each to be read by `read_case`."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from vexas_edge.errors import InputError
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.layout import folder_of, is_image, places_from_folders
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import case_at
from vexas_edge.smear.sources import open_source, walk_folder


def find_cases(
    root: str | os.PathLike[str], options: ReadOptions | None = None
) -> tuple[FoundCase, ...]:
    """Every smear and every zip at or below `root`, sorted by name, to be read by `read_case`.

    The name of a case is its path below `root`, with `/`. Raises InputError where there is none.
    """
    options = options or ReadOptions()
    own = case_at(Path(root))
    if not own.path.is_dir():
        open_source(own.path).close()
        return (own,)
    folders: set[str] = set()
    paths: set[str] = set()
    for file in _files_below(own.path):
        if is_image(file):
            folders.add(folder_of(file))
        elif file.lower().endswith(".zip"):
            paths.add(file)
    places = places_from_folders(folders, options.layout, options.vocabulary)
    paths |= {place.smear for place in places.values()}
    if not paths:
        raise InputError(f"{root} holds no smear; expected folders of images or .zip files in it")
    return tuple(
        FoundCase(name=path or own.name, path=own.path / path, alone=True) for path in sorted(paths)
    )


def _files_below(root: Path) -> Iterator[str]:
    for file in walk_folder(root):
        # read_case lists a refused image, but a refused folder or zip may hide a whole smear.
        if file.refusal == "link_leaves_case" and not is_image(file.path):
            raise InputError(
                f"{root / file.path} is a link that leaves {root}; score its target by itself"
            )
        if file.refusal == "name_not_unicode" and _hides_a_smear(file.path):
            raise InputError(f"{root / file.path} has a name that is not Unicode; rename it")
        if file.refusal is None:
            yield file.path


def _hides_a_smear(path: str) -> bool:
    """Whether the mark for what is not Unicode is in the name of a folder or a zip."""
    return "\ufffd" in folder_of(path) or path.lower().endswith(".zip")


def wanted_cases(
    paths: Sequence[Path], options: ReadOptions, *, recursive: bool
) -> tuple[FoundCase, ...]:
    """The cases at these paths; if `recursive`, every case at or below them."""
    if not recursive:
        return tuple(case_at(path) for path in paths)
    return tuple(found for path in paths for found in find_cases(path, options))
