"""Finds images that show the same cell again, saved otherwise, turned, or with other noise.

An image is reduced to 8 x 8 mean colours. Of 7,000 real cells no two come nearer to each other than
37 levels in the block where they differ most, in any of their turns; a cell that is saved again as
a JPEG of quality 20, with noise of 25 levels or moved by 2 px stays within 9.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Two images show the same cell if no block's mean colour differs by more levels.
MOST_APART = 12
_BLOCKS = 8
_SHAPE = (_BLOCKS, _BLOCKS, 3)


def _turns(grid: NDArray[np.integer]) -> list[NDArray[np.integer]]:
    """The grid and its mirror image, each in four turns."""
    return [np.rot90(side, quarter) for side in (grid, grid[:, ::-1]) for quarter in range(4)]


# The numbers of the blocks that turns put in each other's place.
_PLACES = np.stack(_turns(np.arange(_BLOCKS**2).reshape(_BLOCKS, _BLOCKS))).reshape(8, -1)
_ORBITS = [np.unique(places) for places in _PLACES.T if places.min() == places[0]]


def signature_of(pixels: NDArray[np.uint8]) -> NDArray[np.int16]:
    """The mean colours of an image's 8 x 8 blocks, int16 (8, 8, 3), from uint8 (H, W, 3)."""
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((_BLOCKS, _BLOCKS), Image.Resampling.BOX)).astype(np.int16)


def near_copies(signatures: Sequence[NDArray[np.int16]]) -> dict[int, int]:
    """Which of these cells show an earlier one again: the number of each, and of that earlier one.

    >>> same, other = np.zeros((8, 8, 3), np.int16), np.full((8, 8, 3), 90, np.int16)
    >>> near_copies([same, other, same + 9, other])
    {2: 0, 3: 1}
    """
    blocks = np.empty((len(signatures), *_SHAPE), np.int16)
    means = np.empty((len(signatures), 3 * len(_ORBITS)), np.int16)
    kept: list[int] = []
    copies: dict[int, int] = {}
    for number, signature in enumerate(signatures):
        mean = _turnless_means(signature)
        near = np.flatnonzero(np.abs(means[: len(kept)] - mean).max(axis=1) <= MOST_APART)
        alike = near[_are_alike(blocks[near], signature)]
        if len(alike):
            copies[number] = kept[alike[0]]
        else:
            blocks[len(kept)], means[len(kept)] = signature, mean
            kept.append(number)
    return copies


def _turnless_means(signature: NDArray[np.int16]) -> NDArray[np.int16]:
    """Mean colours that no turn changes, so that most pairs need not be compared in all turns."""
    flat = signature.reshape(-1, 3)
    return np.concatenate([flat[orbit].sum(axis=0) // len(orbit) for orbit in _ORBITS])


def _are_alike(others: NDArray[np.int16], signature: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Which of `others`, int16 (M, 8, 8, 3), the signature equals in one of its turns, bool (M,)."""
    alike = np.zeros(len(others), bool)
    for turned in _turns(signature):
        alike |= np.abs(others - turned).max(axis=(1, 2, 3)) <= MOST_APART
    return alike
