"""The size of whole red cells around a leukocyte, which tells the magnification of a site."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vexas_edge.cells.background import Background
from vexas_edge.cells.components import border_of, fill_holes, label_components
from vexas_edge.quality.colours import densities, nucleus_threshold, tissue

# What is smaller is a platelet or dirt.
_LEAST_PX = 80
# A disc fills 0.785 of its square; two cells that touch, or a bent one, fill less, or a longer box.
_FILLED = (0.70, 0.87)
_LONGEST = 1.3


def red_cell_diameters(pixels: NDArray[np.uint8], slide: Background) -> list[float]:
    """The diameters in px of whole red cells, each that of a disc of the same area.

    A cell counts if it touches neither the image's border nor another cell.

    Args:
        pixels: uint8 (H, W, 3) RGB, the raw image.
        slide: the bare slide in it.
    """
    density = densities(np.ascontiguousarray(pixels.transpose(2, 0, 1)), slide)
    mask = fill_holes(tissue(density, nucleus_threshold(density)).red_cells)
    labels = label_components(mask)
    n = int(labels.max()) + 1
    rows, columns = np.nonzero(labels)
    owners = labels[rows, columns]
    area = np.bincount(owners, minlength=n)
    height, width = _extent(rows, owners, n), _extent(columns, owners, n)
    box = np.maximum(height * width, 1)
    whole = area >= _LEAST_PX
    whole &= (area >= _FILLED[0] * box) & (area <= _FILLED[1] * box)
    whole &= np.maximum(height, width) <= _LONGEST * np.minimum(height, width)
    whole[border_of(labels)] = False
    return [math.sqrt(4 * pixel / math.pi) for pixel in area[whole].tolist()]


def _extent(places: NDArray[np.int64], owners: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """How many rows, or columns, each component spans, int64 (n,)."""
    first, last = np.full(n, places.max(initial=0) + 1), np.full(n, -1)
    np.minimum.at(first, owners, places)
    np.maximum.at(last, owners, places)
    spanned: NDArray[np.int64] = np.maximum(last - first + 1, 0)
    return spanned


def middle_diameter(diameters: Sequence[float]) -> float:
    """The diameter that half of the area of these cells lies above; at least one is needed.

    Counted by area, platelets and dirt among them hardly matter.
    """
    ordered = np.sort(np.array(diameters, np.float64))
    area = np.cumsum(ordered**2)
    return float(ordered[np.searchsorted(area, area[-1] / 2)])
