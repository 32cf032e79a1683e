"""Isolates cells without learning, as a baseline for the mask network.

Everything is computed in optical density, in which dyes add up. The nucleus absorbs the most red
light, the clear slide the least light of all. Red cells absorb blue light, by their haemoglobin,
which the stains hardly do; their colour in a crop is learnt from those far from the nucleus. The
rest around the nucleus is the cell. Thresholds are those of Otsu 1979
(10.1109/TSMC.1979.4310076); the shares applied to them were chosen on `cellavision100`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, distance_transform_edt
from skimage.filters import gaussian, median, threshold_multiotsu, threshold_otsu
from skimage.measure import label, regionprops
from skimage.morphology import closing, disk, opening

from export.unet import BLOCK_PX, DARKEST_LIGHT

Plane = NDArray[np.float64]  # (S, S)
Mask = NDArray[np.bool_]  # (S, S)


@dataclass(frozen=True, kw_only=True)
class ClassicalRules:
    """Shares and distances of the method, for crops of 128 px.

    centred: how far from the centre a nucleus still counts, over the crop's side.
    lobe_distance: largest distance of parts of one nucleus, over the largest part's diameter.
    smallest_lobe: smallest area of a part, over the largest part's area.
    clear: how dense the slide may be: 0 is its own density, 1 that of what lies on it.
    red_in_blue: share of the red density that a stain adds to the blue one; redness is the blue
        density beyond that.
    red_cells_from: least distance of red cells from the nucleus, over its diameter.
    cell_up_to: largest distance of the cell's edge from the nucleus, over its diameter.
    redness: least redness of red cells, over that of the reddest pixels.
    least_redness, most_redness: bounds of that threshold.
    colours_apart: how far from the red cells' colour other pixels must be, in units of its spread.
    least_spread: of the red cells' colour.
    """

    centred: float = 0.35
    lobe_distance: float = 0.8
    smallest_lobe: float = 0.03
    clear: float = 0.2
    red_in_blue: float = 0.6
    red_cells_from: float = 0.5
    cell_up_to: float = 1.2
    redness: float = 0.5
    least_redness: float = -0.02
    most_redness: float = 0.03
    colours_apart: float = 2.0
    least_spread: float = 0.02


_FEWEST_PX = 60  # the least number of pixels that a colour is learnt from
_DENSE = 0.4  # mean density above which a pixel is nucleus
_PADDING_PX = 8  # so that closing also works at the border


def masks_from_crop(
    crop: NDArray[np.uint8], rules: ClassicalRules | None = None
) -> NDArray[np.float32]:
    """Masks of the crop in the form of the mask network's, float32 (3, S, S), each value 0 or 1.

    Args:
        crop: uint8 (S, S, 3) RGB, S a multiple of 8.
    """
    rules = rules or ClassicalRules()
    density = _density(crop)
    nucleus = _nucleus(density[..., 0], rules)
    cell = _cell(density, nucleus, rules) if nucleus.any() else nucleus
    return np.stack([~cell, cell & ~nucleus, nucleus]).astype(np.float32)


def _density(crop: NDArray[np.uint8]) -> Plane:
    """Optical density (S, S, 3), 0 where as much light comes through as in the brightest block."""
    n = len(crop) // BLOCK_PX
    blocks = crop.reshape(n, BLOCK_PX, n, BLOCK_PX, 3).mean((1, 3))
    light = crop / np.maximum(blocks.max((0, 1)), DARKEST_LIGHT)
    return -np.log(gaussian(np.clip(light, 0.01, 1), 0.7, channel_axis=2))


def _nucleus(red: Plane, rules: ClassicalRules) -> Mask:
    """The densest parts: the largest one near the centre, and those close to it."""
    if np.ptp(red) == 0:
        return np.zeros(red.shape, bool)
    labels = label(opening(red > threshold_multiotsu(red, 3)[1], disk(1)))
    parts = regionprops(labels)
    if not parts:
        return labels > 0
    centre, side = (np.asarray(red.shape) - 1) / 2, len(red)
    weights = []
    for part in parts:
        away = np.linalg.norm(np.asarray(part.centroid) - centre) / side
        weights.append(part.area * np.exp(-((away / rules.centred) ** 2)))
    first = parts[int(np.argmax(weights))]
    reach = rules.lobe_distance * first.equivalent_diameter_area
    near = distance_transform_edt(labels != first.label) < reach
    lobes = [
        part.label
        for part in parts
        if near[tuple(part.coords.T)].any() and part.area >= rules.smallest_lobe * first.area
    ]
    return np.isin(labels, lobes)


def _cell(density: Plane, nucleus: Mask, rules: ClassicalRules) -> Mask:
    """Pixels around the nucleus that are neither slide nor red cell, smoothed, in one piece."""
    diameter = 2 * np.sqrt(nucleus.sum() / np.pi)
    away = distance_transform_edt(~nucleus) / diameter
    dense = ~_clear(density.mean(axis=2), rules)
    red_cells = _red_cells(density, dense & (away > rules.red_cells_from), rules)
    cell = dense & ~red_cells & (away < rules.cell_up_to)
    cell = median(cell.astype(np.uint8), disk(2)) > 0
    cell = opening(binary_fill_holes(cell | nucleus), disk(4)) | nucleus
    labels = label(cell)
    cell = np.isin(labels, np.unique(labels[nucleus]))
    inner = slice(_PADDING_PX, -_PADDING_PX)
    return binary_fill_holes(closing(np.pad(cell, _PADDING_PX), disk(3))[inner, inner])


def _clear(density: Plane, rules: ClassicalRules) -> Mask:
    """The pixels of the clear slide."""
    threshold = threshold_otsu(np.minimum(density, _DENSE))
    below = density[density < 0.6 * threshold]
    slide = np.median(below) if below.size else density.min()
    lying = density[(density > threshold) & (density < 1.5 * _DENSE)]
    return density < slide + rules.clear * (np.median(lying) - slide if lying.size else 0)


def _red_cells(density: Plane, far: Mask, rules: ClassicalRules) -> Mask:
    """Pixels of the colour that red cells have in this crop.

    Args:
        far: the pixels, far from the nucleus, from which that colour is learnt.
    """
    redness = density[..., 2] - rules.red_in_blue * density[..., 0]
    if far.sum() <= _FEWEST_PX:
        return np.zeros(far.shape, bool)
    reddest = rules.redness * np.percentile(redness[far], 80)
    least = np.clip(reddest, rules.least_redness, rules.most_redness)
    known = density[opening(far & (redness > least), disk(2))]
    if len(known) <= _FEWEST_PX:
        return np.zeros(far.shape, bool)
    spread = np.cov(known.T) + np.eye(3) * rules.least_spread**2
    off = density - np.median(known, axis=0)
    distance = np.sqrt(np.einsum("hwi,ij,hwj->hw", off, np.linalg.inv(spread), off))
    return distance < rules.colours_apart
