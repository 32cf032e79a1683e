"""What the folder and the name of a file say: which smear it belongs to and which class it has.

These are pure functions of relative paths with `/`; nothing here touches a disk.
"""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass

from vexas_edge.choices import Layout
from vexas_edge.smear.vocabulary import Vocabulary, fold_name

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".png", ".bmp", ".tif", ".tiff")

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


def folders_above(folder: str) -> Iterator[str]:
    """The folders that this one lies in, up to the root."""
    while folder:
        folder = folder_of(folder)
        yield folder


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
    class folders by the known name of at least one of them; any other folder is a flat smear. A
    folder below a class folder is outside, unless it belongs to a smear with class folders of its
    own: thumbnails and the like are no further cells of the class.
    """
    class_parents = {
        folder_of(folder)
        for folder in folders
        if vocabulary.class_of(folder.rpartition("/")[2]) is not None
    }
    class_folders = {folder for folder in folders if folder and folder_of(folder) in class_parents}
    places = {folder: _place(folder, class_parents, class_folders, layout) for folder in folders}
    return {folder: place for folder, place in places.items() if place is not None}


def _place(
    folder: str, class_parents: Set[str], class_folders: Set[str], layout: Layout
) -> Place | None:
    if layout in ("auto", "cellavision") and (slides := _slides_folder(folder)):
        return _slides_place(folder, slides)
    if layout == "cellavision":
        return None
    if layout == "flat" or not folder:
        return Place(smear=folder)
    parent, _, name = folder.rpartition("/")
    if parent in class_parents:
        return Place(smear=parent, class_name=name)
    if any(above in class_folders for above in folders_above(folder)):
        return None
    return Place(smear=parent, class_name=name) if layout == "folders" else Place(smear=folder)


def _slides_folder(folder: str) -> str | None:
    """The outermost folder `Signed slides` or `Unsigned slides` that this one is or lies in."""
    parts = folder.split("/")
    for depth, part in enumerate(parts, start=1):
        if fold_name(part) in (_SIGNED, _UNSIGNED):
            return "/".join(parts[:depth])
    return None


def _slides_place(folder: str, slides: str) -> Place | None:
    smear, _, name = slides.rpartition("/")
    unsigned = fold_name(name) == _UNSIGNED
    if folder == slides:
        return Place(smear=smear, unsigned=unsigned)
    parent, _, class_name = folder.rpartition("/")
    if unsigned or parent != slides:
        return None
    return Place(smear=smear, class_name=class_name)
