"""Finding the smears below a folder, each to be read by `read_case`."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from vexas_edge.errors import InputError
from vexas_edge.smear.case import FoundCase
from vexas_edge.smear.layout import folder_of, folders_above, is_image, places_from_folders
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.reader import case_at
from vexas_edge.smear.sources import open_source
from vexas_edge.smear.walk import UnlistedFolderError, WalkedFile, is_folder, walk_folder
from vexas_edge.text import listed, unicode_text


def find_cases(
    root: str | os.PathLike[str],
    options: ReadOptions | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[FoundCase, ...]:
    """Every smear and every zip at or below `root`, sorted by name, to be read by `read_case`.

    The name of a case is its path below `root`, with `/`. Where a folder cannot be listed, or a
    link leads out of `root`, smears may be missing: each such place is among the cases, with its
    `problem`, so that it fails by name and the others are read.

    Args:
        say: takes a line about the system folders outside all smears, which were not entered.

    Raises:
        InputError: there is no such place, or nothing in it.
    """
    options = options or ReadOptions()
    own = case_at(Path(root))
    if not is_folder(own.path):
        open_source(own.path).close()
        return (own,)
    unlisted: list[UnlistedFolderError] = []
    files = tuple(walk_folder(own.path, unlisted))
    listed = [file.path for file in files if file.refusal is None]
    images = {folder_of(path) for path in listed if is_image(path)}
    zips = {path for path in listed if is_zip(path)}
    refused = [file for file in files if file.refusal]
    found = cases_in(own, images, zips, refused, unlisted, options)
    smears = {case.name for case in found if not case.problem and case.path != own.path}
    if say and (line := _passed_over(refused, own.path, smears)):
        say(line)
    if not found:
        raise InputError(f"{root} holds no smear; expected folders of images or .zip files in it")
    return found


def is_zip(path: str) -> bool:
    """Whether a file may be the zip of a smear, by its name."""
    return path.lower().endswith(".zip")


def cases_in(
    root: FoundCase,
    images: AbstractSet[str],
    zips: AbstractSet[str],
    refused: Collection[WalkedFile],
    unlisted: Iterable[UnlistedFolderError],
    options: ReadOptions,
) -> tuple[FoundCase, ...]:
    """The cases below a folder, of which this is known, sorted by name.

    Args:
        root: the folder.
        images: the folders that hold images; like all paths here, relative to the root.
        zips: the zip files.
        refused: what is not read, and may hide a smear.
        unlisted: folders that cannot be listed.
    """
    places = places_from_folders(images, options.layout, options.vocabulary)
    paths = {*zips, *(place.smear for place in places.values())}
    found = [FoundCase(name=path or root.name, path=root.path / path, alone=True) for path in paths]
    found += _hidden(refused, unlisted, root.path, paths)
    return tuple(sorted(found, key=lambda case: case.name))


def _hidden(
    files: Iterable[WalkedFile],
    unlisted: Iterable[UnlistedFolderError],
    root: Path,
    smears: Collection[str],
) -> Iterator[FoundCase]:
    """The places behind which smears may be hidden, outside the smears that were found.

    Inside a smear, `read_case` lists what it does not read, and refuses a folder that it cannot
    list.
    """
    problems = {unicode_text(error.path): str(error) for error in unlisted}
    problems |= dict(filter(None, (_hidden_by(file, root) for file in files)))
    for path, problem in problems.items():
        if not _is_inside(path, smears):
            yield FoundCase(name=path, path=root / path, alone=True, problem=problem)


def _is_inside(path: str, smears: Collection[str]) -> bool:
    """Whether a path lies in one of these smears below the root, which itself lists it."""
    return not {path, *folders_above(path)}.isdisjoint(set(smears) - {""})


def _passed_over(files: Iterable[WalkedFile], root: Path, smears: Collection[str]) -> str:
    """A line that names the system folders outside all smears; empty if there are none."""
    names = [
        file.path
        for file in files
        if file.refusal == "system_folder" and not _is_inside(file.path, smears)
    ]
    where = f"note: {root}: system folders that were not entered"
    return f"{where}: {listed(sorted(names))}" if names else ""


def _hidden_by(file: WalkedFile, root: Path) -> tuple[str, str] | None:
    """The place where this refused file may hide a whole smear, and why it is not read."""
    if file.refusal == "link_leaves_case" and not is_image(file.path):
        return file.path, (
            f"{root / file.path} is a link that leaves {root}; score what it points to by its own "
            "path, or put a copy in the place of the link"
        )
    if file.refusal == "name_not_unicode":
        place = _folder_not_unicode(file.path)
        if place or file.path.lower().endswith(".zip"):
            place = place or file.path
            return place, f"{root / place} has a name that is not Unicode; rename it"
    return None


def _folder_not_unicode(path: str) -> str | None:
    """The outermost folder in whose name the mark for what is not Unicode is, if any."""
    return next((f for f in reversed([*folders_above(path)]) if "\ufffd" in f), None)


def wanted_cases(
    paths: Sequence[Path],
    options: ReadOptions,
    *,
    recursive: bool,
    say: Callable[[str], None] | None = None,
) -> tuple[FoundCase, ...]:
    """The cases at these paths; if `recursive`, every case that `find_cases` finds there."""
    if not recursive:
        return tuple(case_at(path) for path in paths)
    return tuple(found for path in paths for found in find_cases(path, options, say))
