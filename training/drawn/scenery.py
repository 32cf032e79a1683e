"""Draws a made-up leukocyte as an analyzer shows it, among red cells, with its mask."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.drawn.paint import CellTraits, PaintedCell, Pixels, Stain, dye_cell, photograph
from training.drawn.shapes import Plane, Points, blob, cloud, coverage

CROP_PX = 224
RED_CELL_PX = 64  # diameter, on the scale of the leukocytes of `training.drawn.smears`
RED_CELLS = 12  # put at random places; those that would overlap the leukocyte are left out
OFF_CENTRE_PX = 8.0
PALLOR = 0.55  # share of a red cell's dye that is missing in its middle


class Crop(NamedTuple):
    """A crop and its mask.

    pixels: uint8 (CROP_PX, CROP_PX, 3) RGB.
    classes: uint8 (CROP_PX, CROP_PX), 0 background, 1 cytoplasm, 2 nucleus of the leukocyte.
    """

    pixels: Pixels
    classes: NDArray[np.uint8]


def paint_crop(traits: CellTraits, stain: Stain, rng: np.random.Generator) -> Crop:
    """A crop with the leukocyte near its middle and red cells around it, some touching it."""
    cell = _on_crop(dye_cell(traits, rng), rng.normal(0, OFF_CENTRE_PX, 2).round().astype(int))
    covered = coverage(cell.outline)[..., None]
    dyes = np.concatenate([cell.dyes * covered, np.zeros((CROP_PX, CROP_PX, 1))], axis=2)
    dyes[..., 3:] = _red_cells(cell.outline, rng)[..., None] * (1 - covered)
    levels = np.rint(photograph(dyes, stain, rng))
    classes = np.where(cell.outline < 0, np.where(cell.nucleus < 0, 2, 1), 0)
    return Crop(np.clip(levels, 0, 255).astype(np.uint8), classes.astype(np.uint8))


def _on_crop(cell: PaintedCell, shift_px: NDArray[np.int64]) -> PaintedCell:
    """The same cell on a square of the crop's size; what is added counts as far outside it."""
    cell = _trimmed(cell)
    inner = cell.outline.shape[0]
    start = np.clip((CROP_PX - inner) // 2 + shift_px, 0, CROP_PX - inner)
    rows, columns = (slice(s, s + inner) for s in start.tolist())
    dyes = np.zeros((CROP_PX, CROP_PX, 3), np.float32)
    outline, nucleus = (np.full((CROP_PX, CROP_PX), CROP_PX, np.float32) for _ in range(2))
    dyes[rows, columns] = cell.dyes
    outline[rows, columns], nucleus[rows, columns] = cell.outline, cell.nucleus
    return PaintedCell(dyes, outline, nucleus)


def _trimmed(cell: PaintedCell) -> PaintedCell:
    """The same cell without the part of its margin that exceeds a crop."""
    margin = max(0, -(-(cell.outline.shape[0] - CROP_PX) // 2))
    inner = slice(margin, cell.outline.shape[0] - margin)
    return PaintedCell(
        cell.dyes[inner, inner], cell.outline[inner, inner], cell.nucleus[inner, inner]
    )


def _red_cells(outline: Plane, rng: np.random.Generator) -> Plane:
    """Amounts of red dye (H, W); red cells may overlap each other but only touch the leukocyte."""
    dye = np.zeros_like(outline)
    for x, y in rng.uniform(-0.1 * CROP_PX, 1.1 * CROP_PX, (RED_CELLS, 2)):
        radius = RED_CELL_PX / 2 * rng.lognormal(0, 0.07)
        window = _window(y, radius), _window(x, radius)
        disc = blob(_points(*window).seen_from(x, y), radius, 0.02, rng)
        inside = coverage(disc)
        if not (inside * coverage(outline[window])).any():
            pale = PALLOR * np.exp(-np.square(1 + disc / radius) * 4)
            dye[window] += inside * (1 - pale) * rng.lognormal(0, 0.08)
    return dye * (1 + 0.05 * cloud(outline.shape, 6.0, rng))


def _window(centre: float, radius: float) -> slice:
    """The crop's rows or columns that a red cell can reach."""
    reach = 1.3 * radius + 2
    return slice(max(0, int(centre - reach)), max(0, min(CROP_PX, int(centre + reach))))


def _points(rows: slice, columns: slice) -> Points:
    y, x = np.mgrid[rows, columns].astype(np.float32)
    return Points(x, y)
