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
    np.float64,
)
# Below this a coefficient counts as none: one level of a channel, as `_coefficients` scales it.
_NONE = 64 * 64 * 4
_ORDERS = np.add.outer(np.arange(_BLOCK_PX), np.arange(_BLOCK_PX))
_ORDER_GROUPS = ((1, 2), (3, 4), (5, 7), (8, 10), (11, 14))
_IN_GROUP = [(low <= _ORDERS) & (high >= _ORDERS) for low, high in _ORDER_GROUPS]


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
    luma: NDArray[np.int16], planes: NDArray[np.uint8], bare: NDArray[np.bool_], slide: int
) -> dict[str, float]:
    """What is left of levels where neighbours explain them, in all and on the bare slide.

    Args:
        planes: uint8 (3, n, n).
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
    wide = planes.astype(np.int16)
    for channel, name in ((0, "red"), (2, "blue")):
        difference = wide[channel] - wide[1]
        of_colour = np.abs(_unexplained(difference))
        found[f"noise_{name}"] = log2_ratio(256 * sum_of(of_colour), of_colour.size) - bright
        low = _smoothed(difference * np.int16(4))
        energy = sum_of_squares(difference * np.int16(4) - low)
        found[f"band_{name}"] = log2_ratio(energy, low.size) - 2 * bright
    return found


def file_statistics(luma: NDArray[np.int16], planes: NDArray[np.uint8]) -> dict[str, float]:
    """Traces of a JPEG: steps at every eighth pixel, and how many coefficients are none.

    Args:
        luma, planes: of a part of the image that begins where one of its blocks of 16 does.
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
    blue = planes[2, : size[0], : size[1]].astype(np.int32) - luma[: size[0], : size[1]]
    halved = blue[::2, ::2] + blue[1::2, ::2] + blue[::2, 1::2] + blue[1::2, 1::2]
    of_colour = _coefficients(halved) >> 2
    shares = _shares_of_none(blocks) + _shares_of_none(of_colour)[:3]
    waves = (np.abs(blocks) >> 12).sum(axis=0, dtype=np.int64)
    shares += [log2_of(waves[group].sum()) for group in _IN_GROUP]
    return found | dict(zip(_coefficient_names(), shares, strict=True))


def _coefficient_names() -> list[str]:
    names = [f"none_{low}_{high}" for low, high in _ORDER_GROUPS]
    names += [f"none_colour_{low}_{high}" for low, high in _ORDER_GROUPS[:3]]
    return names + [f"wave_{low}_{high}" for low, high in _ORDER_GROUPS]


def _smoothed(plane: NDArray[np.int16]) -> NDArray[np.int16]:
    """Each value's mean over 3 x 3 with weights 1 2 1, edges repeated; at most 8191 in size."""
    rows = _smoothed_down(plane)
    return _smoothed_down(rows.T).T


def _smoothed_down(plane: NDArray[np.int16]) -> NDArray[np.int16]:
    smoothed = plane + plane
    smoothed[1:] += plane[:-1]
    smoothed[0] += plane[0]
    smoothed[:-1] += plane[1:]
    smoothed[-1] += plane[-1]
    smoothed += np.int16(2)
    smoothed >>= 2
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
    cropped = plane[: rows * _BLOCK_PX, : columns * _BLOCK_PX].astype(np.float64)
    # Whole numbers far below 2**53, so that no order of summing them rounds.
    down = _COSINES @ cropped.reshape(rows, _BLOCK_PX, -1)
    both = down.reshape(-1, _BLOCK_PX) @ _COSINES.T
    blocks = both.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX).swapaxes(1, 2)
    return blocks.reshape(-1, _BLOCK_PX, _BLOCK_PX).astype(np.int32)


def _shares_of_none(blocks: NDArray[np.int32]) -> list[float]:
    """Of each group of orders, how many coefficients are none."""
    none = np.count_nonzero(np.abs(blocks) < _NONE, axis=0)
    return [ratio(none[group].sum(), len(blocks) * group.sum()) for group in _IN_GROUP]
