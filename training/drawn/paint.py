"""Paints one made-up leukocyte from shapes filled with dyes that absorb light."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from training.drawn.shapes import (
    Plane,
    Points,
    blob,
    cloud,
    coverage,
    horseshoe,
    lobes,
    points_around,
)

NucleusShape = Literal["lobed", "horseshoe", "round"]
Rgb = tuple[float, float, float]
Pixels = NDArray[np.uint8]  # (H, W, 3), RGB

BLUR_PX = 0.6
NOISE_LEVELS = 1.0  # standard deviation, in levels of 255
GRANULE_PX = 0.65
VACUOLE_RADIUS = (0.035, 0.10)  # as a share of the cell's radius
CYTOPLASM_RIM = 0.06  # least width of cytoplasm around a nucleus, as a share of the cell's radius


@dataclass(frozen=True, kw_only=True)
class Stain:
    """One smear's May-Grünwald-Giemsa stain and its lamp.

    A dye is given by its optical density for red, green and blue light, of which it lets
    exp(-density) through.
    """

    light_rgb: Rgb = (252.0, 244.0, 230.0)
    azure_density: Rgb = (0.62, 0.52, 0.17)  # blue: basophilic cytoplasm
    eosin_density: Rgb = (0.07, 0.25, 0.20)  # pink: the ground of a neutrophil
    purple_density: Rgb = (1.15, 1.75, 0.72)  # both together: chromatin and granules
    red_density: Rgb = (0.16, 0.45, 0.38)  # stained haemoglobin, in red cells


@dataclass(frozen=True, kw_only=True)
class CellTraits:
    """The look of one cell; amounts of dye are relative to the stain's."""

    nucleus_shape: NucleusShape
    diameter_px: float
    outline_irregularity: float  # relative deviation of the radius
    nucleus_share: float  # of the cell's area
    lobes: int  # of a "lobed" nucleus
    chromatin_contrast: float  # relative deviation of the nucleus's dye
    azure: float  # of the cytoplasm
    eosin: float
    granules_per_px: float  # of the cytoplasm
    vacuoles: int

    @property
    def radius_px(self) -> float:
        return self.diameter_px / 2


class PaintedCell(NamedTuple):
    """One cell before it is photographed.

    dyes: (H, W, 3), amounts of purple, azure and eosin.
    outline, nucleus: signed distances from the edge of the cell and of the nucleus.
    """

    dyes: Plane
    outline: Plane
    nucleus: Plane


def paint_cell(traits: CellTraits, stain: Stain, rng: np.random.Generator) -> Pixels:
    """The cell alone on black, cropped to its box, uint8 (H, W, 3), RGB."""
    cell = dye_cell(traits, rng)
    return _isolated(photograph(cell.dyes, stain, rng), cell.outline)


def dye_cell(traits: CellTraits, rng: np.random.Generator) -> PaintedCell:
    """The cell in the middle of a square, with nothing around it."""
    at = points_around(1.25 * traits.radius_px + 3)
    outline = blob(at, traits.radius_px, traits.outline_irregularity, rng)
    outline = outline + 0.4 * cloud(outline.shape, 4.0, rng)
    nucleus = np.maximum(_nucleus(at, traits, rng), outline + CYTOPLASM_RIM * traits.radius_px)
    kept = _outside_vacuoles(at, outline, nucleus, traits, rng)
    purple = _chromatin(nucleus, traits, rng) + _granules(nucleus, traits, rng)
    ground = _ground(outline, nucleus, rng)
    dyes = np.stack([purple, traits.azure * ground, traits.eosin * ground], axis=-1)
    return PaintedCell(dyes * kept[:, :, None], outline, nucleus)


def _nucleus(at: Points, traits: CellTraits, rng: np.random.Generator) -> Plane:
    """Signed distance from the edge of the nucleus, which is rotated and bent at random."""
    radius, share = traits.radius_px, traits.nucleus_share
    at = at.bent(0.035 * radius, radius / 3, rng).turned(rng.uniform(0, 2 * np.pi))
    if traits.nucleus_shape == "lobed":
        lobe_radius = radius * (share / traits.lobes) ** 0.5
        return lobes(at, lobe_radius, 0.5 * radius, traits.lobes, rng)
    if traits.nucleus_shape == "horseshoe":
        return horseshoe(at, share * np.pi * radius**2, 0.38 * radius, rng)
    own_radius = radius * share**0.5
    return blob(at.seen_from(0.6 * (radius - own_radius), 0), own_radius, 0.03, rng)


def _chromatin(nucleus: Plane, traits: CellTraits, rng: np.random.Generator) -> Plane:
    """Purple dye of the nucleus: clumps on a finer grain, with a slightly darker membrane."""
    clumps = 0.6 * cloud(nucleus.shape, 5.0, rng) + 0.6 * cloud(nucleus.shape, 2.2, rng)
    membrane = 0.2 * np.exp(-np.square((nucleus + 1.5) / 1.5))
    return coverage(nucleus) * (1 + traits.chromatin_contrast * clumps + membrane)


def _granules(nucleus: Plane, traits: CellTraits, rng: np.random.Generator) -> Plane:
    """Purple dye of the granules in the cytoplasm, some of them faint."""
    seeds = rng.random(nucleus.shape, dtype=np.float32) < traits.granules_per_px
    dye = seeds * rng.uniform(0.2, 1.4, nucleus.shape).astype(np.float32)
    return gaussian_filter(dye, GRANULE_PX) * coverage(-nucleus)


def _ground(outline: Plane, nucleus: Plane, rng: np.random.Generator) -> Plane:
    """The amount of cytoplasm in each pixel, about 1: mottled, and denser at the cell's edge."""
    mottle = 1 + 0.12 * cloud(outline.shape, 4.0, rng)
    edge = 0.35 * np.exp(-np.square((outline + 1) / 2))
    return coverage(-nucleus) * (mottle + edge)


def _outside_vacuoles(
    at: Points, outline: Plane, nucleus: Plane, traits: CellTraits, rng: np.random.Generator
) -> Plane:
    """The share of dye that each pixel keeps: 1 outside vacuoles, little inside them."""
    kept = np.ones_like(outline)
    places = np.flatnonzero((outline < -0.16 * traits.radius_px) & (nucleus > -1))
    if not places.size:
        return kept
    radii = traits.radius_px * rng.uniform(*VACUOLE_RADIUS, traits.vacuoles)
    for place, radius in zip(rng.choice(places, traits.vacuoles), radii, strict=True):
        x, y = at.seen_from(at.x.flat[place], at.y.flat[place])
        kept *= 1 - 0.75 * coverage((np.hypot(x, y) - radius) / 1.5)
    return kept


def photograph(dyes: Plane, stain: Stain, rng: np.random.Generator) -> Plane:
    """The light, (H, W, 3), about 0 to 255, that dyes (H, W, n) let through.

    The dyes are purple, azure, eosin and, if there are four, red.
    """
    densities = (stain.purple_density, stain.azure_density, stain.eosin_density, stain.red_density)
    absorbed = np.array(densities[: dyes.shape[2]])
    light = np.array(stain.light_rgb) * np.exp(-dyes @ absorbed)
    blurred = gaussian_filter(light, (BLUR_PX, BLUR_PX, 0))
    return blurred + rng.normal(0, NOISE_LEVELS, light.shape)


def _isolated(light: Plane, outline: Plane) -> Pixels:
    """The cell alone on black, cropped to the rows and columns that it touches."""
    levels = np.rint(light * coverage(outline)[:, :, None])
    pixels = np.clip(levels, 0, 255).astype(np.uint8)
    touched = np.any(pixels, axis=2)
    rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
