"""The case in a folder or a zip: which file is a cell of which class, read from names alone."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from vexas_edge.errors import InputError
from vexas_edge.smear.case import (
    LINKS_REMEDY,
    MAX_FILE_BYTES,
    UNNAMED,
    Case,
    Cell,
    Conflict,
    FoundCase,
    Ignored,
    IgnoredReason,
    NamedBy,
    Source,
)
from vexas_edge.smear.layout import (
    IMAGE_SUFFIXES,
    Place,
    folder_of,
    is_image,
    places_from_folders,
    prefix_of,
)
from vexas_edge.smear.options import ReadOptions
from vexas_edge.smear.sources import open_source
from vexas_edge.smear.vocabulary import IGNORE, Vocabulary
from vexas_edge.smear.walk import is_folder
from vexas_edge.text import listed, unicode_text


def read_case(
    where: str | os.PathLike[str] | FoundCase, options: ReadOptions | None = None
) -> Case:
    """The case in a folder or a zip; it stays open until it is closed, and no image is decoded.

    Raises:
        InputError: it is missing or unsafe, or holds several smears or no cell to score.

    >>> with read_case(demo / "smear.zip") as case:
    ...     print(case.name, case.cells[0].cell_class)
    smear lymphocyte
    """
    options = options or ReadOptions()
    found = where if isinstance(where, FoundCase) else case_at(Path(where))
    if found.problem:
        raise InputError(found.problem)
    source = open_source(found.path)
    try:
        folders = {folder_of(file) for file in source.files if is_image(file)}
        places = places_from_folders(folders, options.layout, options.vocabulary)
        if found.alone and is_folder(found.path):
            places = {folder: place for folder, place in places.items() if not place.smear}
        _check_one_smear(places.values(), found.path)
        case = _case_from_names(found.name, source, places, options)
        _check_cells(case, found.path)
    except InputError:
        source.close()
        raise
    return case


def case_at(path: Path) -> FoundCase:
    """The case at `path`, whether it exists or not, named after its folder or zip."""
    # Not Path.resolve: that raises RuntimeError for a link to itself.
    real = Path(os.path.realpath(path))
    return FoundCase(name=unicode_text(real.name if is_folder(real) else real.stem), path=path)


def _check_one_smear(places: Iterable[Place], path: Path) -> None:
    smears = sorted({place.smear for place in places})
    if len(smears) > 1:
        raise InputError(
            f"{path} holds {len(smears)} smears: {listed(repr(name or '.') for name in smears)}; "
            "score each by itself or use --recursive; if these folders are classes and not smears, "
            "name them in a file for --class-map"
        )


def _case_from_names(
    name: str, source: Source, places: Mapping[str, Place], options: ReadOptions
) -> Case:
    conflicts: list[Conflict] = []
    judged: list[Cell | Ignored] = [
        Ignored(path=path, reason=reason) for path, reason in source.refused.items()
    ]
    for path, size in source.files.items():
        place = places.get(folder_of(path))
        if not is_image(path):
            judged.append(Ignored(path=path, reason="not_an_image"))
        elif size > MAX_FILE_BYTES:
            judged.append(Ignored(path=path, reason="file_too_large"))
        elif place is None:
            judged.append(Ignored(path=path, reason="outside_smear"))
        else:
            conflict = _conflict(path, place, options.vocabulary)
            conflicts += [conflict] if conflict else []
            judged.append(_cell(path, place, conflict, options))
    judged.sort(key=_path)
    return Case(
        name=name,
        source=source,
        cells=tuple(file for file in judged if isinstance(file, Cell)),
        ignored=tuple(file for file in judged if isinstance(file, Ignored)),
        conflicts=tuple(sorted(conflicts, key=_path)),
    )


def _path(file: Cell | Ignored | Conflict) -> str:
    return file.path


def _conflict(path: str, place: Place, vocabulary: Vocabulary) -> Conflict | None:
    """The conflict between folder and prefix, where the vocabulary knows both and they differ."""
    prefix = prefix_of(path)
    if place.class_name is None or prefix is None:
        return None
    by_folder, by_prefix = vocabulary.class_of(place.class_name), vocabulary.class_of(prefix)
    if by_folder is None or by_prefix is None or by_folder == by_prefix:
        return None
    return Conflict(path=path, folder_class=by_folder, prefix_class=by_prefix)


def _cell(
    path: str, place: Place, conflict: Conflict | None, options: ReadOptions
) -> Cell | Ignored:
    if place.class_name is None and options.cell_type:
        return _cell_named(path, options.cell_type, "declared", options)
    if place.unsigned:
        return _without_class(path, "unsigned_no_class", options)
    if conflict and options.class_from == "agree":
        return Ignored(path=path, reason="class_conflict")
    if place.class_name is None or options.class_from == "prefix":
        return _cell_named(path, prefix_of(path), "prefix", options)
    return _cell_named(path, place.class_name, "folder", options)


def _without_class(
    path: str, reason: IgnoredReason, options: ReadOptions, class_name: str | None = None
) -> Cell | Ignored:
    """An image whose class nothing says."""
    if options.unnamed:
        return Cell(path=path, cell_class=UNNAMED, named_by="nobody")
    return Ignored(path=path, reason=reason, class_name=class_name)


def _cell_named(
    path: str, written: str | None, named_by: NamedBy, options: ReadOptions
) -> Cell | Ignored:
    if written is None:
        return _without_class(path, "no_class", options)
    cell_class = options.vocabulary.class_of(written)
    if cell_class is None and named_by == "prefix":  # such as the counter IMG_0001 of a camera
        return _without_class(path, "unknown_class", options, class_name=written)
    if cell_class is None:
        return Ignored(path=path, reason="unknown_class", class_name=written)
    if cell_class == IGNORE:
        return Ignored(path=path, reason="class_mapped_to_ignore")
    return Cell(path=path, cell_class=cell_class, named_by=named_by)


def _check_cells(case: Case, path: Path) -> None:
    """Check that there is a cell to score; else the InputError says what was found instead."""
    if case.cells:
        return
    if not case.ignored:
        raise InputError(f"{path} is empty; expected the images of one smear")
    reasons = Counter(file.reason for file in case.ignored)
    found = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items()))
    raise InputError(f"{path} holds no cell to score ({found}); {_remedy(case)}")


def _remedy(case: Case) -> str:
    unknown = Counter(file.class_name for file in case.ignored if file.class_name)
    if unknown:
        names = listed(f"{name!r} {n}" for name, n in sorted(unknown.items()))
        return f"name the unknown classes in a file for --class-map: {names}"
    for file in case.ignored:
        if file.reason in ("no_class", "unsigned_no_class"):
            return (
                f"nothing says the class of {file.path!r}: give --cell-type if all cells are of "
                "one class, name their folder in a file for --class-map, or score them with "
                "--types-from"
            )
    if any(file.reason == "link_leaves_case" for file in case.ignored):
        return LINKS_REMEDY
    if any(is_image(file.path) for file in case.ignored):
        return "check --layout, --class-from and --class-map"
    return f"expected images ({' '.join(IMAGE_SUFFIXES)}) in class folders or with class prefixes"
