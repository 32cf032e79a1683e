"""Small pictures of cells, encoded anew from their pixels.

So nothing else of a file comes with them, be it EXIF, a comment, a profile or a name.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.errors import CellError, InputError
from vexas_edge.results.values import UsedCell
from vexas_edge.smear.sources import open_source

# Twice what the page shows them at, so that they are sharp in print.
LONGEST_SIDE_PX = 192
_QUALITY = 88

# A picture of each cell by the SHA-256 of its file, as the `data:` address of an image.
Pictures = dict[str, str]


def pictures_of(
    cells: Iterable[UsedCell], pixels: Callable[[UsedCell], NDArray[np.uint8]]
) -> Pictures:
    """Pictures of these cells.

    Args:
        pixels: gives a cell's image, uint8 (H, W, 3) RGB.
    """
    return {cell.sha256: _data_address(pixels(cell)) for cell in cells}


def pictures_from_smear(cells: Iterable[UsedCell], smear: Path) -> Pictures:
    """Pictures of these cells, which are known in the smear by the hashes of their files.

    Args:
        smear: its folder or zip; names in it do not matter.

    Raises:
        InputError: it cannot be read, or one of the cells is not there.
    """
    every, found = {cell.sha256 for cell in cells}, Pictures()
    source = open_source(smear)
    with closing(source):
        for path in sorted(source.files):
            if len(found) == len(every):
                break
            with suppress(CellError):  # too large or damaged, so none of these cells
                content = source.read(path)
                if (sha256 := hashlib.sha256(content).hexdigest()) in every - found.keys():
                    found[sha256] = _data_address(rgb_from_bytes(content))
    if missing := len(every) - len(found):
        raise InputError(
            f"{smear} is not the smear of this result: of the {len(every)} cells on its page, "
            f"{missing} are not there"
        )
    return found


def _data_address(pixels: NDArray[np.uint8]) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX), Image.Resampling.LANCZOS)
    file = BytesIO()
    image.save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
