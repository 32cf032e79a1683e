"""Light, colour and stain of one image, in whole numbers."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vexas_edge.quality.counting import (
    histogram,
    log2_of,
    mean_and_variance,
    quantiles,
    ratio,
    sum_of,
)

Plane = NDArray[np.uint8] | NDArray[np.int16]

# Optical densities are counted in this part of a factor of 2; 1023 of them is the most.
DENSITY_UNIT = 128
_MOST_DENSITY = 1023
_LEVEL_LOGARITHMS = np.array(
    [round(DENSITY_UNIT * math.log2(level + 1)) for level in range(256)], np.int16
)

_TABLE_STARTS = 256 * np.arange(3, dtype=np.int16)[:, None, None]

# Levels from here on are taken for clipped, and those below that for black.
_CLIPPED, _DARKEST = 254, 4

# A pixel belongs to the slide if green is less dense than this. Of the rest that is no nucleus, red
# cells take up over half as much blue as red, and cytoplasm less.
_SLIDE_DENSITY = 16

_BINS = 256  # of the histogram of densities that the nucleus is found in, two units each


class Tissue(NamedTuple):
    """What is where: each bool (n, n)."""

    nucleus: NDArray[np.bool_]
    cytoplasm: NDArray[np.bool_]
    red_cells: NDArray[np.bool_]
    slide: NDArray[np.bool_]


def luminance(planes: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Luminance, int16 (n, n), 0 to 255, of planes uint8 (3, n, n)."""
    red, green, blue = planes.astype(np.uint16)
    luma: NDArray[np.int16] = ((77 * red + 150 * green + 29 * blue + 128) >> 8).astype(np.int16)
    return luma


def densities(planes: NDArray[np.uint8], slide: tuple[int, int, int]) -> NDArray[np.int16]:
    """Optical densities against the bare slide, int16 (3, n, n), at least 0."""
    tables = np.clip(_LEVEL_LOGARITHMS[list(slide), None] - _LEVEL_LOGARITHMS, 0, _MOST_DENSITY)
    return np.take(tables.astype(np.int16), planes + _TABLE_STARTS)


def tissue(density: NDArray[np.int16], threshold: int) -> Tissue:
    """What is where, if a nucleus begins at this density of red."""
    red, green, blue = density
    nucleus = red > threshold
    slide = (green < _SLIDE_DENSITY) & ~nucleus
    red_cells = (2 * blue > red) & ~nucleus & ~slide
    return Tissue(nucleus, ~(nucleus | slide | red_cells), red_cells, slide)


def nucleus_threshold(density: NDArray[np.int16]) -> int:
    """The density of red that best parts dark from light (Otsu 1979)."""
    counts = histogram(density[0] >> 1, _BINS)
    below, first = np.cumsum(counts), np.cumsum(counts * np.arange(_BINS))
    n, total = int(below[-1]), int(first[-1])
    above = n - below
    apart = (first * n - below * total).astype(np.float64)
    between = apart * apart / np.maximum(below * above, 1)
    return 2 * int(np.argmax(between))


def light_statistics(planes: NDArray[np.uint8], slide: tuple[int, int, int]) -> dict[str, float]:
    """Of levels: their middle, spread, quantiles, clipping; and how far from grey they are."""
    luma = histogram(luminance(planes), 256)
    mean, variance = mean_and_variance(luma)
    q = quantiles(luma, (50, 250, 500, 750, 950, 990))
    n = planes[0].size
    spans = _spans(*planes)
    span_q = quantiles(histogram(spans, 256), (500, 900))
    found = {f"slide_{c}": float(level) for c, level in zip("rgb", slide, strict=True)}
    found["slide_red_to_green"] = log2_of(slide[0]) - log2_of(slide[1])
    found["slide_blue_to_green"] = log2_of(slide[2]) - log2_of(slide[1])
    found |= {"light_mean": mean, "light_variance": variance}
    found |= {f"light_q{s}": float(v) for s, v in zip((5, 25, 50, 75, 95), q, strict=False)}
    found["slide_spread"] = float(q[5] - q[3])
    for plane, name in zip(planes, "rgb", strict=True):
        found[f"clipped_{name}"] = ratio(np.count_nonzero(plane >= _CLIPPED), n)
    found["darkest"] = ratio(np.count_nonzero(planes < _DARKEST), 3 * n)
    found |= {"span_mean": ratio(sum_of(spans), n), "span_q50": float(span_q[0])}
    found["span_q90"] = float(span_q[1])
    return found


def stain_statistics(
    density: NDArray[np.int16], field: NDArray[np.int16], threshold: int
) -> dict[str, float]:
    """Of nucleus, cytoplasm and red cells: share, density, colour, size; the lamp changes none.

    Args:
        density: of the window.
        field: of what lies around it, too, coarser: red cells are of one size in everybody.
        threshold: the density of red at which a nucleus begins.
    """
    parts, around = tissue(density, threshold), tissue(field, threshold)
    filled = ~around.slide
    return {
        "nucleus_threshold": float(threshold),
        **_stained(density, nucleus=parts.nucleus, cytoplasm=parts.cytoplasm),
        **_stained(field, red_cells=around.red_cells),
        **_dye_statistics(density, parts.nucleus),
        "nucleus_spread_px": _spread(parts.nucleus),
        "nucleus_area_to_outline": _area_to_outline(parts.nucleus),
        "filled_area_to_outline": _area_to_outline(filled),
        "red_area_to_outline": _area_to_outline(around.red_cells),
        "filled_share": ratio(np.count_nonzero(filled), filled.size),
    }


def _stained(density: NDArray[np.int16], **masks: NDArray[np.bool_]) -> dict[str, float]:
    """Of each part, given by its name: its share of the pixels, and how much dye it took up."""
    # Whole numbers far below 2**53, so that no order of summing them rounds.
    wide = density.reshape(3, -1).astype(np.float64)
    found: dict[str, float] = {}
    for name, mask in masks.items():
        inside = int(np.count_nonzero(mask))
        red, green, blue = (ratio(total, inside) for total in wide @ mask.ravel())
        found |= {
            f"{name}_share": ratio(inside, mask.size),
            f"{name}_red": red,
            f"{name}_green": green,
            f"{name}_blue": blue,
            f"{name}_red_to_green": red / green if green else 0.0,
            f"{name}_blue_to_green": blue / green if green else 0.0,
        }
    return found


def _dye_statistics(density: NDArray[np.int16], nucleus: NDArray[np.bool_]) -> dict[str, float]:
    _, variance = mean_and_variance(histogram(density[1][nucleus], _MOST_DENSITY + 1))
    spans = histogram(_spans(*density), _MOST_DENSITY + 1)
    return {
        "nucleus_variance": variance,
        "dye_span_mean": mean_and_variance(spans)[0],
        "dye_span_q90": float(quantiles(spans, (900,))[0]),
    }


def _spans(red: Plane, green: Plane, blue: Plane) -> Plane:
    """How far the channels lie apart at each pixel."""
    most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return most - least


def _spread(mask: NDArray[np.bool_]) -> float:
    """The variance of the places of a mask's pixels, over rows and columns, as a logarithm."""
    total = 0.0
    for axis in (0, 1):
        total += mean_and_variance(mask.sum(axis=axis, dtype=np.int64))[1]
    return log2_of(round(16 * total))


def _area_to_outline(mask: NDArray[np.bool_]) -> float:
    outline = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(
        mask[:, 1:] != mask[:, :-1]
    )
    return ratio(np.count_nonzero(mask), outline)
