"""What the folder and the name of a file say: which smear it belongs to and which class it has.

These are pure functions of relative paths with `/`; nothing here touches a disk.
"""

import re
from collections.abc import Set
from dataclasses import dataclass

from vexas_edge.choices import Layout
from vexas_edge.smear.vocabulary import Vocabulary, fold_name

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")

_SIGNED = "signed slides"
_UNSIGNED = "unsigned slides"
_PREFIX = re.compile(r"([^\W\d_][^\W_]*)_\d")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """What a folder says about the images in it.

    smear: the smear's own folder; "" is the root.
    class_name: the class folder's name as written; None where no folder names a class.
    unsigned: whether it lies in or below a folder `Unsigned slides`.
    """

    smear: str
    class_name: str | None = None
    unsigned: bool = False


def is_image(path: str) -> bool:
    """Whether the name is an image's; a hidden name (macOS puts `._` twins in zips) is not."""
    return path.lower().endswith(IMAGE_SUFFIXES) and not path.rpartition("/")[2].startswith(".")


def folder_of(path: str) -> str:
    """The folder of a file, "" for the root."""
    return path.rpartition("/")[0]


def prefix_of(path: str) -> str | None:
    """The class prefix of a file name; None where it has none.

    >>> prefix_of("Segmented neutrophils/SNE_000123.jpg")
    'SNE'
    """
    match = _PREFIX.match(path.rpartition("/")[2])
    return match.group(1) if match else None


def places_from_folders(
    folders: Set[str], layout: Layout, vocabulary: Vocabulary
) -> dict[str, Place]:
    """The place of each folder that holds images; folders outside the layout are left out.

    "auto" recognises a CellaVision tree by its folder `Signed slides` or `Unsigned slides`, and
    class folders by the known name of at least one of them; any other folder is a flat smear.
    """
    class_parents = {
        folder_of(folder)
        for folder in folders
        if vocabulary.class_of(folder.rpartition("/")[2]) is not None
    }
    places = {folder: _place(folder, class_parents, layout) for folder in folders}
    return {folder: place for folder, place in places.items() if place is not None}


def _place(folder: str, class_parents: Set[str], layout: Layout) -> Place | None:
    if layout in ("auto", "cellavision") and (place := _slides_place(folder)):
        return place
    if layout == "cellavision":
        return None
    parent, _, name = folder.rpartition("/")
    if name and (layout == "folders" or (layout == "auto" and parent in class_parents)):
        return Place(smear=parent, class_name=name)
    return Place(smear=folder)


def _slides_place(folder: str) -> Place | None:
    parts = folder.split("/")
    for index, part in enumerate(parts):
        smear = "/".join(parts[:index])
        if fold_name(part) == _UNSIGNED:
            return Place(smear=smear, unsigned=True)
        if fold_name(part) == _SIGNED:
            below = parts[index + 1 : index + 2]
            return Place(smear=smear, class_name=below[0] if below else None)
    return None
