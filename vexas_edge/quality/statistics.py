"""The statistics of a cell's raw image and of a case, that a model's gate compares with training.

Everything is counted in whole numbers and divided at the end, so every CPU gives the same bits.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vexas_edge.cells.background import Background
from vexas_edge.quality.colours import (
    densities,
    light_statistics,
    luminance,
    nucleus_threshold,
    stain_statistics,
    tissue,
)
from vexas_edge.quality.families import Family, family_of
from vexas_edge.quality.textures import file_statistics, focus_statistics, noise_statistics

# A case is measured on so many of its cells, those with the smallest identities.
MEASURED_CELLS = 16

# The largest window that texture is measured on; colours of a larger one come from every second
# pixel. And how much is looked at to measure red cells.
_TEXTURE_PX = 144
_FIELD_PX = 224

# Of these a case's spread over its cells counts, too.
_SPREADS = (
    *("slide_r", "slide_g", "slide_b", "light_mean", "light_q50", "span_mean", "nucleus_share"),
    *("nucleus_red", "nucleus_green", "nucleus_spread_px", "cytoplasm_red", "dye_span_mean"),
    *("band_1", "band_2_to_all", "steep_q990", "noise", "none_5_7", "filled_share"),
)


def cell_statistics(
    pixels: NDArray[np.uint8], slide: Background, window_px: int
) -> NDArray[np.float64]:
    """The statistics of one cell, float64 (S,), in the order of `CELL_STATISTICS`.

    Args:
        pixels: uint8 (H, W, 3) RGB, the raw image.
        slide: the bare slide in it, as `background_of_cell` finds it.
        window_px: the side of the middle part that the model sees.
    """
    return np.array(list(_measured(pixels, slide, window_px).values()), np.float64)


def case_statistics(of_cells: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The statistics of a case, float64 (F,), in the order of `CASE_STATISTICS`.

    The lower median over its cells of each, and of some the distance between two quartiles. These
    lie n / 4 places from either end of n cells, between two cells where that is no whole number, so
    that spreads of few cells and of many can be compared.

    Args:
        of_cells: those of each cell, at least one.
    """
    ordered = np.sort(np.stack(of_cells), axis=0)
    middle = ordered[(len(ordered) - 1) // 2]
    spreads = _quartile(ordered[::-1, _SPREAD_PLACES]) - _quartile(ordered[:, _SPREAD_PLACES])
    return np.concatenate([middle, spreads])


def _quartile(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """What lies n / 4 - 1 places from the first of n rows, float64 (F,)."""
    whole, quarters = divmod(max(0, len(ordered) - 4), 4)
    after = ordered[min(whole + 1, len(ordered) - 1)]
    found: NDArray[np.float64] = (ordered[whole] * (4 - quarters) + after * quarters) / 4
    return found


def _measured(pixels: NDArray[np.uint8], slide: Background, window_px: int) -> dict[str, float]:
    window = _middle(pixels, window_px)
    coarse = _every_second(window) if min(window.shape[1:]) > _TEXTURE_PX else window
    density = densities(coarse, slide)
    field = densities(_every_second(_middle(pixels, _FIELD_PX)), slide)
    close = _middle(pixels, min(window_px, _TEXTURE_PX), step=16)
    luma, close_density = luminance(close), densities(close, slide)
    threshold = nucleus_threshold(density)
    bare = tissue(close_density, threshold).slide
    light = max(1, 77 * slide[0] + 150 * slide[1] + 29 * slide[2])
    return {
        "image_height_px": float(pixels.shape[0]),
        "image_width_px": float(pixels.shape[1]),
        **light_statistics(coarse, slide),
        **stain_statistics(density, field, threshold),
        **focus_statistics(luma, light),
        **noise_statistics(luma, close, bare, light),
        **file_statistics(luma, close),
    }


def _middle(pixels: NDArray[np.uint8], size_px: int, step: int = 1) -> NDArray[np.uint8]:
    """The middle part's planes, uint8 (3, n, n); it begins at a multiple of `step`."""
    height, width, _ = pixels.shape
    top, left = (max(0, (side - size_px) // 2) // step * step for side in (height, width))
    part = pixels[top : top + size_px, left : left + size_px]
    return np.ascontiguousarray(part.transpose(2, 0, 1))


def _every_second(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(planes[:, ::2, ::2])


CELL_STATISTICS: tuple[str, ...] = tuple(_measured(np.zeros((16, 16, 3), np.uint8), (0, 0, 0), 16))
CASE_STATISTICS: tuple[str, ...] = (*CELL_STATISTICS, *(f"{name}_spread" for name in _SPREADS))
FAMILIES: tuple[Family, ...] = tuple(family_of(name) for name in CASE_STATISTICS)
_SPREAD_PLACES = np.array([CELL_STATISTICS.index(name) for name in _SPREADS])
