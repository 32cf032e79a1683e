"""Finds images that show the same cell again, saved otherwise or with other noise, or none at all.

An image is reduced to 8 x 8 mean colours. Of 7,000 real cells no two come nearer to each other than
37 levels in the block where they differ most. A cell that is saved again as a JPEG of quality 20,
or gets noise of 25 levels, stays within 9, and so do images that show only one colour and noise.

Within an image, blocks differ by 60 levels or more in all of 7,800 real cells and platelets.
"""

from collections.abc import Sequence
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Two images show the same cell if no block's mean colour differs by more levels.
MOST_APART = 12
# An image shows nothing if no block's mean colour differs by so many levels from another's.
_LEAST_CONTRAST = 24
_BLOCKS = 8
_ROUNDING = 1e-2  # of means over blocks, in levels
_STEPS = tuple(product((-1, 0, 1), repeat=3))


def signature_of(pixels: NDArray[np.uint8]) -> NDArray[np.int16]:
    """The mean colours of an image's 8 x 8 blocks, int16 (8, 8, 3), from uint8 (H, W, 3)."""
    return signature_of_image(Image.fromarray(pixels))


def signature_of_image(image: Image.Image) -> NDArray[np.int16]:
    """The same of an RGB image of Pillow's."""
    # With a gap, whole blocks are summed first, which takes half the time.
    small = image.resize((_BLOCKS, _BLOCKS), Image.Resampling.BOX, reducing_gap=2)
    return np.asarray(small).astype(np.int16)


def shows_nothing(signature: NDArray[np.int16]) -> bool:
    """Whether an image has one colour all over, maybe with noise, as a bare slide has."""
    of_channel = signature.max(axis=(0, 1)) - signature.min(axis=(0, 1))
    return bool(of_channel.max() < _LEAST_CONTRAST)


def near_copies(signatures: Sequence[NDArray[np.int16]]) -> dict[int, int]:
    """Which of these cells show an earlier one again: the number of each, and of that earlier one.

    >>> same, other = np.zeros((8, 8, 3), np.int16), np.full((8, 8, 3), 90, np.int16)
    >>> near_copies([same, other, same + 9, other])
    {2: 0, 3: 1}
    """
    blocks = np.array(signatures, np.int16).reshape(len(signatures), _BLOCKS, _BLOCKS, 3)
    quarter = _BLOCKS // 2
    # Of what is alike in each block, the mean over blocks is alike, too.
    means = blocks[:, :quarter, :quarter].mean(axis=(1, 2))
    places = [tuple(place) for place in (means // (MOST_APART + 1)).astype(int).tolist()]
    kept: dict[tuple[int, ...], list[int]] = {}  # by their place in a grid of mean colours
    copies: dict[int, int] = {}
    for number, place in enumerate(places):
        around = (tuple(p + s for p, s in zip(place, step, strict=True)) for step in _STEPS)
        near = sorted(one for other in around for one in kept.get(other, ()))
        if near and len(same := _alike(blocks[near], blocks[number])):
            copies[number] = near[same[0]]
        else:
            kept.setdefault(place, []).append(number)
    return copies


def even_signature_of(pixels: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Almost the same as `signature_of`, and turned or mirrored exactly as the image is.

    Blocks share the pixels at their borders. `signature_of` gives each to one block, which in an
    image of 363 px moves some blocks by more levels than tell two cells apart.
    """
    height, width = (_shares_of_pixels(n) for n in pixels.shape[:2])
    rows = np.tensordot(height, pixels, axes=(1, 0))
    return np.rint(np.tensordot(rows, width, axes=(1, 1))).astype(np.int16).transpose(0, 2, 1)


@cache
def _shares_of_pixels(n: int) -> NDArray[np.float32]:
    """Which share of each block lies in each of `n` pixels of a row, float32 (8, n)."""
    edges = np.arange(_BLOCKS + 1) * n / _BLOCKS
    pixels = np.arange(n)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    shares: NDArray[np.float32] = (np.maximum(overlap, 0) * _BLOCKS / n).astype(np.float32)
    return shares


def turned_copies(signatures: Sequence[NDArray[np.int16]]) -> dict[int, int]:
    """The same as `near_copies`, where a cell may be mirrored or turned by right angles as well.

    Args:
        signatures: as `even_signature_of` gives them.

    >>> one = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.int16)
    >>> turned_copies([one, 255 - one, np.rot90(one), one[::-1] + 9])
    {2: 0, 3: 0}
    """
    blocks = np.array(signatures, np.int16).reshape(len(signatures), _BLOCKS, _BLOCKS, 3)
    rings = _rings(blocks)
    kept, numbers = np.empty_like(rings), np.empty(len(rings), np.intp)
    copies: dict[int, int] = {}
    for number, ring in enumerate(rings):
        n_kept = number - len(copies)
        # Of what is alike in each block, the mean over blocks is alike, too.
        near = (np.abs(kept[:n_kept] - ring) <= MOST_APART + _ROUNDING).all(axis=1)
        views = _turned(blocks[number])
        same = (one for one in numbers[:n_kept][near] if len(_alike(views, blocks[one])))
        first = next(same, None)
        if first is None:
            kept[n_kept], numbers[n_kept] = ring, number
        else:
            copies[number] = int(first)
    return copies


def _rings(blocks: NDArray[np.int16]) -> NDArray[np.float32]:
    """Mean colours of the blocks that take each other's places in turning, float32 (N, 30)."""
    from_border = np.minimum(np.arange(_BLOCKS), np.arange(_BLOCKS)[::-1])
    low, high = np.minimum.outer(from_border, from_border), np.maximum.outer(*[from_border] * 2)
    places = sorted(set(zip(low.ravel().tolist(), high.ravel().tolist(), strict=True)))
    means = [blocks[:, (low == a) & (high == b)].mean(axis=1) for a, b in places]
    return np.concatenate(means, axis=1).astype(np.float32)


def _turned(one: NDArray[np.int16]) -> NDArray[np.int16]:
    """The signature as it is, turned and mirrored, int16 (8, 8, 8, 3)."""
    return np.stack([np.rot90(view, turns) for view in (one, one[::-1]) for turns in range(4)])


def _alike(others: NDArray[np.int16], one: NDArray[np.int16]) -> NDArray[np.intp]:
    """Which of the first array's rows lie nowhere farther from the second than `MOST_APART`."""
    apart = np.abs(others - one).max(axis=tuple(range(1, others.ndim)))
    return np.flatnonzero(apart <= MOST_APART)
