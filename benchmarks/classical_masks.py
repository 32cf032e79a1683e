"""The method without learning that the mask network is held against.

Everything is judged in optical density, where dyes add up. The nucleus is what holds back most red
light. The clear slide holds back least of all. Red cells hold back blue light, which haemoglobin
absorbs and the stains hardly do; each crop's own red cells, far from the nucleus, say what colour
they have there. What is left around the nucleus is the cell. Thresholds after Otsu 1979
(10.1109/TSMC.1979.4310076); their shares were chosen on `cellavision100`.
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
    """Shares and distances of the method; px are of a crop of 128.

    centred: how far from the centre a nucleus still counts, over the crop's side. lobe_distance:
    of parts of one nucleus, smallest_lobe: their area, both over the largest part's. clear: how
    dense the slide may be, between its own density and that of all that lies on it. red_in_blue:
    share of the red density that a stain adds to the blue one; redness is what is above it.
    red_cells_from, cell_up_to: distance from the nucleus, over its diameter. redness: of red cells,
    over the reddest pixels', but within least_redness and most_redness. colours_apart: from the red
    cells' colour, in their own spread, which is at least least_spread.
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


_FEWEST_PX = 60  # that a colour is learnt from
_DENSE = 0.4  # mean density; denser is nucleus
_PADDING_PX = 8  # so that closing does not end at the border


def masks_from_crop(
    crop: NDArray[np.uint8], rules: ClassicalRules | None = None
) -> NDArray[np.float32]:
    """What the mask network would give for this crop, float32 (3, S, S), each value 0 or 1.

    Args:
        crop: uint8 (S, S, 3) RGB, S a multiple of 8.
    """
    rules = rules or ClassicalRules()
    density = _density(crop)
    nucleus = _nucleus(density[..., 0], rules)
    cell = _cell(density, nucleus, rules) if nucleus.any() else nucleus
    return np.stack([~cell, cell & ~nucleus, nucleus]).astype(np.float32)


def _density(crop: NDArray[np.uint8]) -> Plane:
    """Optical density (S, S, 3), 0 for what lets through as much light as the brightest block."""
    n = len(crop) // BLOCK_PX
    blocks = crop.reshape(n, BLOCK_PX, n, BLOCK_PX, 3).mean((1, 3))
    light = crop / np.maximum(blocks.max((0, 1)), DARKEST_LIGHT)
    return -np.log(gaussian(np.clip(light, 0.01, 1), 0.7, channel_axis=2))


def _nucleus(red: Plane, rules: ClassicalRules) -> Mask:
    """The densest parts: the largest near the centre, and what lies about it."""
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
    """What lies around the nucleus and is neither slide nor red cell, smoothed, in one piece."""
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
    """The slide itself."""
    threshold = threshold_otsu(np.minimum(density, _DENSE))
    below = density[density < 0.6 * threshold]
    slide = np.median(below) if below.size else density.min()
    lying = density[(density > threshold) & (density < 1.5 * _DENSE)]
    return density < slide + rules.clear * (np.median(lying) - slide if lying.size else 0)


def _red_cells(density: Plane, far: Mask, rules: ClassicalRules) -> Mask:
    """Pixels of the colour that red cells have in this crop; far: where that is looked for."""
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
