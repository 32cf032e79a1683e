"""Shapes of cells and nuclei as signed distances from their edges, in px, negative inside."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.floating[Any]]  # (H, W), float32 or float64


class Points(NamedTuple):
    """The pixels' coordinates, in px from an origin."""

    x: Plane
    y: Plane

    def seen_from(self, x_px: float, y_px: float) -> "Points":
        return Points(self.x - x_px, self.y - y_px)

    def turned(self, angle: float) -> "Points":
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        return Points(self.x * cos + self.y * sin, self.y * cos - self.x * sin)

    def bent(self, by_px: float, grain_px: float, rng: np.random.Generator) -> "Points":
        """Each coordinate shifted smoothly by about `by_px`."""
        shape = self.x.shape
        return Points(
            self.x + by_px * cloud(shape, grain_px, rng),
            self.y + by_px * cloud(shape, grain_px, rng),
        )


def points_around(reach_px: float) -> Points:
    """A square grid around the origin."""
    reach = int(np.ceil(reach_px))
    axis = np.arange(-reach, reach + 1, dtype=np.float32)
    return Points(*np.meshgrid(axis, axis))


def coverage(distance: Plane) -> Plane:
    """The share of each pixel that lies inside, 0 to 1: an anti-aliased mask."""
    return np.clip(0.5 - distance, 0, 1)


def cloud(shape: tuple[int, ...], grain_px: float, rng: np.random.Generator) -> Plane:
    """Smooth noise of about zero mean and unit variance, with blotches `grain_px` wide."""
    height, width = shape
    grains = (int(height / grain_px) + 3, int(width / grain_px) + 3)
    coarse = Image.fromarray(rng.standard_normal(grains, dtype=np.float32))
    return 1.5 * np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def blob(at: Points, radius: float, irregularity: float, rng: np.random.Generator) -> Plane:
    """A roughly round outline; `irregularity` is the radius's relative deviation."""
    angle = np.arctan2(at.y, at.x)
    wobble = np.zeros_like(angle)
    for waves in range(2, 7):
        height = irregularity * rng.normal() * 2 / waves
        phase = rng.uniform(0, 2 * np.pi)
        wobble += np.float32(height) * np.cos(waves * angle + np.float32(phase))
    return np.hypot(at.x, at.y) - radius * (1 + wobble)


def lobes(
    at: Points, lobe_radius: float, bow_radius: float, n: int, rng: np.random.Generator
) -> Plane:
    """A nucleus of `n` lobes along a bow, neighbours joined by filaments."""
    soft_px, filament_px = 0.16 * bow_radius, 0.14 * bow_radius
    step = 2 * np.arcsin(min(0.9, 1.1 * lobe_radius / bow_radius))
    angles = step * (np.arange(n) + rng.uniform(-0.15, 0.15, n))
    bow = bow_radius * rng.uniform(0.85, 1.1, n)
    centres = np.stack([bow * np.cos(angles), bow * np.sin(angles)], axis=1)
    centres -= 0.8 * centres.mean(axis=0)
    joined = _lobe(at.seen_from(*centres[0]), lobe_radius, angles[0], rng)
    for before, centre, angle in zip(centres, centres[1:], angles[1:], strict=False):
        lobe = _lobe(at.seen_from(*centre), lobe_radius, angle, rng)
        joined = _merged(joined, lobe, soft_px)
        joined = _merged(joined, _line(at, before, centre) - filament_px, soft_px)
    return joined


def horseshoe(at: Points, area_px: float, bow_radius: float, rng: np.random.Generator) -> Plane:
    """A thick bow with round ends, which looks like a kidney if short, like a horseshoe if long."""
    half_span = rng.uniform(0.7, 2.0)
    # Its area is 4 half_span bow_radius thickness + pi thickness^2.
    product = 2 * half_span * bow_radius
    thickness = (np.sqrt(product**2 + np.pi * area_px) - product) / np.pi
    x, y = at.seen_from(-bow_radius * np.sin(half_span) / half_span, 0)
    angle = np.clip(np.arctan2(y, x), -half_span, half_span)
    return np.hypot(x - bow_radius * np.cos(angle), y - bow_radius * np.sin(angle)) - thickness


def _lobe(at: Points, radius: float, angle: float, rng: np.random.Generator) -> Plane:
    """The approximate distance from an ellipse of that mean radius with its axis near `angle`."""
    x, y = at.turned(angle + rng.normal(0, 0.6))
    stretch = rng.uniform(0.85, 1.2)
    return np.hypot(x * stretch, y / stretch) - radius


def _line(at: Points, start: NDArray[np.float64], end: NDArray[np.float64]) -> Plane:
    """Distance to the straight line between two points."""
    x, y = at.seen_from(*start)
    along = (end - start).astype(np.float32)
    share = np.clip((x * along[0] + y * along[1]) / (along @ along), 0, 1)
    return np.hypot(x - share * along[0], y - share * along[1])


def _merged(one: Plane, other: Plane, soft_px: float) -> Plane:
    """The union of both shapes, with the notch between them rounded."""
    share = np.clip(0.5 + 0.5 * (other - one) / soft_px, 0, 1)
    return other + share * (one - other) - soft_px * share * (1 - share)
