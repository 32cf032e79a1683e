"""Sharpness, noise and traces of the file format in one image, in whole numbers."""

import math

import numpy as np
from numpy.typing import NDArray

from vexas_edge.quality.counting import (
    histogram,
    log2_of,
    log2_ratio,
    quantiles,
    ratio,
    sum_of,
    sum_of_squares,
)

_BLOCK_PX = 8  # of a JPEG
_COSINES = np.array(
    [
        [round(64 * math.cos((2 * x + 1) * u * math.pi / 16)) for x in range(_BLOCK_PX)]
        for u in range(_BLOCK_PX)
    ],
    np.int32,
)
# Below this a coefficient counts as none: one level of a channel, as `_coefficients` scales it.
_NONE = 64 * 64 * 4
_ORDERS = np.add.outer(np.arange(_BLOCK_PX), np.arange(_BLOCK_PX))
_ORDER_GROUPS = ((1, 2), (3, 4), (5, 7), (8, 10), (11, 14))


def focus_statistics(luma: NDArray[np.int16], slide: int) -> dict[str, float]:
    """How much changes over one, two, four and eight pixels, and how steep the edges are.

    Args:
        slide: 256 times the luminance of the bare slide; all is relative to it, so that a brighter
            lamp makes no sharper image.
    """
    found, whole = {}, luma * np.int16(16)
    bright = 2 * (log2_of(slide) - 8)
    mean = sum_of(whole) // whole.size
    energy = log2_ratio(sum_of_squares(whole - np.int16(mean)), whole.size)
    bands = []
    for octave in range(4):
        low = _smoothed(whole)
        bands.append(log2_ratio(sum_of_squares(whole - low), whole.size))
        found[f"band_{octave + 1}"] = bands[-1] - bright
        found[f"band_{octave + 1}_to_all"] = bands[-1] - energy
        whole = low[::2, ::2]
    for octave in range(3):
        found[f"band_{octave + 1}_to_{octave + 2}"] = bands[octave] - bands[octave + 1]
    half = _smoothed(luma * np.int16(4))[::2, ::2] >> 2
    steep = [_steepness(luma), _steepness(half)]
    for share, fine, coarse in zip((500, 900, 990), *steep, strict=True):
        found[f"steep_q{share}"] = ratio(256 * fine, slide)
        found[f"steep_q{share}_to_coarse"] = log2_ratio(16 * fine + 1, 16 * coarse + 1)
    return found


def noise_statistics(
    luma: NDArray[np.int16], pixels: NDArray[np.uint8], bare: NDArray[np.bool_], slide: int
) -> dict[str, float]:
    """What is left of levels where neighbours explain them, in all and on the bare slide.

    Args:
        bare: where nothing but the slide is, bool (n, n).
        slide: 256 times its luminance; all is relative to it.
    """
    bright = log2_of(slide) - 8
    left = np.abs(_unexplained(luma))
    counts = histogram(left, 1024)
    median, most = quantiles(counts, (500, 990))
    bare = bare[1:-1, 1:-1]
    found = {
        "noise": log2_ratio(256 * sum_of(left), left.size) - bright,
        "noise_q50": ratio(256 * median, slide),
        "noise_q99": ratio(256 * most, slide),
        "noise_tail": log2_ratio(most + 1, median + 1),
        "noise_slide": log2_ratio(256 * sum_of(left[bare]), np.count_nonzero(bare)) - bright,
    }
    green = pixels[..., 1].astype(np.int16)
    for channel, name in ((0, "red"), (2, "blue")):
        difference = pixels[..., channel].astype(np.int16) - green
        of_colour = np.abs(_unexplained(difference))
        found[f"noise_{name}"] = log2_ratio(256 * sum_of(of_colour), of_colour.size) - bright
        low = _smoothed(difference * np.int16(4))
        energy = sum_of_squares(difference * np.int16(4) - low)
        found[f"band_{name}"] = log2_ratio(energy, low.size) - 2 * bright
    return found


def file_statistics(luma: NDArray[np.int16], pixels: NDArray[np.uint8]) -> dict[str, float]:
    """Traces of a JPEG: steps at every eighth pixel, and how many coefficients are none.

    Args:
        luma, pixels: of a part of the image that begins where one of its blocks of 16 does.
    """
    size = luma.shape[0] // 16 * 16, luma.shape[1] // 16 * 16
    steps = np.abs(np.diff(luma, axis=0)), np.abs(np.diff(luma, axis=1)).T
    found = {
        "level_steps": ratio(sum(int(np.count_nonzero(s == 0)) for s in steps), 2 * steps[0].size),
        "blocks_8": sum(_at_borders(s, _BLOCK_PX) for s in steps),
    }
    if min(size) < 16:
        return found | dict.fromkeys(_coefficient_names(), 0.0)
    blocks = _coefficients(luma[: size[0], : size[1]].astype(np.int32))
    blue = pixels[: size[0], : size[1], 2].astype(np.int32) - luma[: size[0], : size[1]]
    halved = blue[::2, ::2] + blue[1::2, ::2] + blue[::2, 1::2] + blue[1::2, 1::2]
    of_colour = _coefficients(halved) >> 2
    shares = [_share_of_none(blocks, group) for group in _ORDER_GROUPS]
    shares += [_share_of_none(of_colour, group) for group in _ORDER_GROUPS[:3]]
    shares += [log2_of(sum_of(np.abs(blocks[:, _in_group(g)]) >> 12)) for g in _ORDER_GROUPS]
    return found | dict(zip(_coefficient_names(), shares, strict=True))


def _coefficient_names() -> list[str]:
    names = [f"none_{low}_{high}" for low, high in _ORDER_GROUPS]
    names += [f"none_colour_{low}_{high}" for low, high in _ORDER_GROUPS[:3]]
    return names + [f"wave_{low}_{high}" for low, high in _ORDER_GROUPS]


def _smoothed(plane: NDArray[np.int16]) -> NDArray[np.int16]:
    """Each value's mean over 3 x 3 with weights 1 2 1, edges repeated; at most 8191 in size."""
    tall = np.concatenate((plane[:1], plane, plane[-1:]))
    rows = (tall[:-2] + 2 * tall[1:-1] + tall[2:] + np.int16(2)) >> 2
    wide = np.concatenate((rows[:, :1], rows, rows[:, -1:]), axis=1)
    smoothed: NDArray[np.int16] = (
        wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:] + np.int16(2)
    ) >> 2
    return smoothed


def _steepness(luma: NDArray[np.int16]) -> list[int]:
    """Quantiles of the steps to the next row and column, together."""
    down, right = np.abs(luma[1:, :-1] - luma[:-1, :-1]), np.abs(luma[:-1, 1:] - luma[:-1, :-1])
    return quantiles(histogram(down + right, 512), (500, 900, 990))


def _unexplained(plane: NDArray[np.int16]) -> NDArray[np.int16]:
    """The second difference of the second difference (Immerkaer 1996), int16 (n - 2, m - 2)."""
    down = plane[:-2] - 2 * plane[1:-1] + plane[2:]
    left: NDArray[np.int16] = down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]
    return left


def _at_borders(steps: NDArray[np.int16], period: int) -> float:
    """How much larger steps are between blocks than within, as a logarithm."""
    between = steps[period - 1 :: period]
    total, n_within = sum_of(steps) - sum_of(between), steps.size - between.size
    return log2_ratio(sum_of(between) * n_within + 1, total * between.size + 1)


def _coefficients(plane: NDArray[np.int32]) -> NDArray[np.int32]:
    """The cosine coefficients of each 8 x 8 block, int32 (blocks, 8, 8), 4,096 times their sum."""
    rows, columns = plane.shape[0] // _BLOCK_PX, plane.shape[1] // _BLOCK_PX
    cropped = plane[: rows * _BLOCK_PX, : columns * _BLOCK_PX]
    blocks = cropped.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX).swapaxes(1, 2)
    return (_COSINES @ blocks @ _COSINES.T).reshape(-1, _BLOCK_PX, _BLOCK_PX)


def _in_group(group: tuple[int, int]) -> NDArray[np.bool_]:
    return (group[0] <= _ORDERS) & (group[1] >= _ORDERS)


def _share_of_none(blocks: NDArray[np.int32], group: tuple[int, int]) -> float:
    chosen = blocks[:, _in_group(group)]
    return ratio(np.count_nonzero(np.abs(chosen) < _NONE), chosen.size)
