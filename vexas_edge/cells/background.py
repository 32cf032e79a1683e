"""The bare slide behind the cells, and the gains that bring it to a model's training background.

Everything here is in integers, so that every CPU gives the same bits. The lamp, the exposure and
the white balance change the bare slide as they change a cell; one gain a channel takes most of that
away. How a stain colours a cell, or how sharp it is, stays as it was.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# A level, 0 to 255, of red, green and blue.
Background = tuple[int, int, int]

# Cut out cells lie on black; JPEG leaves it at up to this level.
_BLACK = 8

# The slide is looked for in this part of an image: the brightest fifth of its pixels a channel.
_BRIGHTEST_PART = 5


def background_of_cell(pixels: NDArray[np.uint8]) -> Background:
    """The bare slide in one cell's image, before it is isolated: a level for each channel.

    In each channel it is the lower median of the brightest fifth of the pixels.

    Args:
        pixels: uint8 (H, W, 3) RGB.

    >>> background_of_cell(np.arange(30, dtype=np.uint8).reshape(2, 5, 3))
    (24, 25, 26)
    """
    return background_of_image(Image.fromarray(pixels))


def background_of_image(image: Image.Image) -> Background:
    """The same in an RGB image of Pillow's."""
    n_brightest = max(1, image.width * image.height // _BRIGHTEST_PART)
    counts = np.array(image.histogram()).reshape(3, 256)
    at_least = np.cumsum(counts[:, ::-1], axis=1)  # how many pixels have a level, or a higher one
    red, green, blue = 255 - (at_least > n_brightest // 2).argmax(axis=1)
    return int(red), int(green), int(blue)


def middle_background(found: Collection[Background]) -> Background:
    """In each channel the lower median, over the cells of a case or over the cases of a cohort.

    Args:
        found: at least one.

    >>> middle_background([(254, 231, 240), (253, 235, 238)])
    (253, 231, 238)
    """
    red, green, blue = (
        sorted(levels)[(len(levels) - 1) // 2] for levels in zip(*found, strict=True)
    )
    return red, green, blue


def is_alone_on_black(pixels: NDArray[np.uint8]) -> bool:
    """Whether the image shows a cell that was cut out, so that there is no slide to be measured.

    Args:
        pixels: uint8 (H, W, 3) RGB.
    """
    corners = pixels[:: max(1, len(pixels) - 1), :: max(1, pixels.shape[1] - 1)]
    return bool(corners.max() <= _BLACK)


def gain_table(found: Background, wanted: Background) -> NDArray[np.uint8]:
    """What each level becomes if `found` is to become `wanted`, uint8 (3, 256).

    A level is multiplied by wanted / found and rounded to the nearest whole level, halves up; what
    would be over 255 is 255.

    >>> gain_table((200, 100, 250), (250, 200, 250))[:, [0, 100, 200]]
    array([[  0, 125, 250],
           [  0, 200, 255],
           [  0, 100, 200]], dtype=uint8)
    """
    levels = np.arange(256, dtype=np.int64)
    divisor = 2 * np.maximum(np.array(found, np.int64), 1)[:, None]
    table = (2 * np.array(wanted, np.int64)[:, None] * levels + divisor // 2) // divisor
    return np.asarray(np.minimum(table, 255), np.uint8)


def apply_gains(pixels: NDArray[np.uint8], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image with each channel's levels replaced by the table's, uint8 (H, W, 3)."""
    mapped = np.empty_like(pixels)
    for channel, levels in enumerate(table):
        # Faster than an index into the table, and than Pillow.
        found = pixels[..., channel].tobytes().translate(levels.tobytes())
        mapped[..., channel] = np.frombuffer(found, np.uint8).reshape(pixels.shape[:2])
    return mapped
