"""Reads images of cells with their masks, on which a mask network is trained and judged."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.cells.isolation import resize_for_isolation
from vexas_edge.errors import CellError, InputError

# Grey levels of background, cytoplasm and nucleus in a mask's file.
LEVELS = (0, 128, 255)

# The value of a CSV's column `split` in rows to train on; the network is judged on the others.
FIT = "fit"

_COLUMNS = {"image", "mask"}


@dataclass(frozen=True, kw_only=True)
class MaskedImage:
    """One image and its mask.

    pixels: uint8 (H, W, 3) RGB. classes: uint8 (H, W), indices into `MASK_CLASSES`.
    """

    name: str
    pixels: NDArray[np.uint8]
    classes: NDArray[np.uint8]

    def resized(self, side_px: int) -> "MaskedImage":
        """The same image and mask, resized to a square."""
        size = (side_px, side_px)
        pixels = Image.fromarray(self.pixels).resize(size, Image.Resampling.BILINEAR)
        classes = Image.fromarray(self.classes).resize(size, Image.Resampling.NEAREST)
        return MaskedImage(name=self.name, pixels=np.asarray(pixels), classes=np.asarray(classes))


def read_masked_image(image: Path, mask: Path) -> MaskedImage:
    """An image and its mask, whose grey levels are LEVELS.

    Raises:
        InputError: one of them cannot be read, they differ in size, or the mask has other levels.
    """
    pixels, levels = _pixels(image), _pixels(mask)[..., 0]
    if pixels.shape[:2] != levels.shape:
        raise InputError(f"{mask} has {levels.shape} px, {image} {pixels.shape[:2]}")
    unknown = sorted(set(np.unique(levels).tolist()).difference(LEVELS))
    if unknown:
        raise InputError(
            f"{mask} has the grey level {unknown[0]}; expected 0 for background, 128 for cytoplasm "
            "and 255 for the nucleus"
        )
    classes = np.searchsorted(LEVELS, levels).astype(np.uint8)
    return MaskedImage(name=image.name, pixels=pixels, classes=classes)


def read_masked_images(table: Path) -> tuple[list[MaskedImage], list[MaskedImage]]:
    """The images to train on and those to judge on, in the table's order.

    Args:
        table: a CSV with the columns `image` and `mask`, paths relative to its folder. If it has a
            column `split`, rows that say "fit" are trained on and all others judged; else all are
            trained on. Crops of one photograph belong in one split.

    Raises:
        InputError: the table or one of its files cannot be read, or there is no image to train on.
    """
    fit: list[MaskedImage] = []
    judged: list[MaskedImage] = []
    for row in _rows(table):
        image = read_masked_image(table.parent / row["image"], table.parent / row["mask"])
        (fit if row.get("split", FIT) == FIT else judged).append(image)
    if not fit:
        raise InputError(f"{table} names no image to train on")
    return fit, judged


def crops_of(images: Sequence[MaskedImage]) -> NDArray[np.uint8]:
    """The images as the mask network's crops, uint8 (N, GRID_PX, GRID_PX, 3)."""
    return np.stack([resize_for_isolation(image.pixels) for image in images])


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read as a CSV file in UTF-8: {error}") from error
    missing = sorted(_COLUMNS.difference(reader.fieldnames or ()))
    if missing:
        raise InputError(f"{table} has no column {missing[0]!r}; expected image, mask and split")
    return rows


def _pixels(path: Path) -> NDArray[np.uint8]:
    try:
        return rgb_from_bytes(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except CellError as error:
        raise InputError(f"{path}: {error}") from error
