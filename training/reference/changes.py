"""The simulated changes of lamp, stain, focus and file that a model's gate is fitted on.

Every change is a pure function from image to image, uint8 (H, W, 3) RGB. Kinds and strengths are
those of an experiment on real patients; what lies between and beyond them is for testing.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from vexas_edge.cells.background import background_of_cell

RgbPixels = NDArray[np.uint8]

# How much each dye takes from red, green and blue: haematoxylin, eosin and what is left, unit rows
# (Ruifrok and Johnston 2001); it serves for the azure and the eosin of a blood smear, too.
_DYES = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]])
_LEVELS = np.arange(256, dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of change.

    family: what a technician would look at: focus, exposure, colour, stain, file format or size.
    apply: the image changed by a strength.
    strengths: those that a gate is fitted on.
    neutral: the strength that changes nothing.
    """

    family: str
    apply: Callable[[RgbPixels, float], RgbPixels]
    strengths: tuple[float, ...]
    neutral: float


def blurred(pixels: RgbPixels, sigma_px: float) -> RgbPixels:
    """Out of focus, as a Gaussian of this many pixels."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma_px)))


def saved_as_jpeg(pixels: RgbPixels, quality: float) -> RgbPixels:
    """Saved as a JPEG of this quality, colours at half the size, and read again."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=round(quality), subsampling="4:2:0")
    return np.asarray(Image.open(file))


def through_curves(pixels: RgbPixels, curves: NDArray[np.float64]) -> RgbPixels:
    """Each channel's levels replaced by what `curves`, float64 (3, 256), make of them."""
    table = np.clip(np.rint(curves), 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(pixels).point(table.ravel().tolist()))


def with_gains(pixels: RgbPixels, red: float, green: float, blue: float) -> RgbPixels:
    """Each channel multiplied by its gain."""
    return through_curves(pixels, np.outer([red, green, blue], _LEVELS))


def saturated(pixels: RgbPixels, factor: float) -> RgbPixels:
    """Colours farther from grey (over 1), or nearer to it."""
    return np.asarray(ImageEnhance.Color(Image.fromarray(pixels)).enhance(factor))


def with_gamma(pixels: RgbPixels, exponent: float) -> RgbPixels:
    """Levels, as shares of 255, raised to a power."""
    return through_curves(pixels, np.tile(255 * (_LEVELS / 255) ** exponent, (3, 1)))


def noisy(pixels: RgbPixels, deviation: float) -> RgbPixels:
    """With Gaussian noise of this many levels in each channel; the same image, the same noise."""
    digest = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=8).digest()
    noise = np.random.default_rng(int.from_bytes(digest, "little")).standard_normal(
        pixels.shape, np.float32
    )
    changed = np.rint(pixels + np.float32(deviation) * noise)
    return np.clip(changed, 0, 255).astype(np.uint8)


def scaled(
    pixels: RgbPixels, factor: float, filter_: Image.Resampling = Image.Resampling.BICUBIC
) -> RgbPixels:
    """Enlarged or shrunk about the middle, at the same size of the image.

    What a shrunk image does not show is filled with its mirror image.
    """
    height, width, _ = pixels.shape
    size = max(1, round(width * factor)), max(1, round(height * factor))
    resized = np.asarray(Image.fromarray(pixels).resize(size, filter_))
    pad = [
        (max(0, full - kept), max(0, full - kept))
        for full, kept in ((height, size[1]), (width, size[0]))
    ]
    whole = np.pad(resized, [((a + 1) // 2, (b + 1) // 2) for a, b in pad] + [(0, 0)], "symmetric")
    top, left = (whole.shape[0] - height) // 2, (whole.shape[1] - width) // 2
    return np.ascontiguousarray(whole[top : top + height, left : left + width])


def at_temperature(pixels: RgbPixels, warmth: float) -> RgbPixels:
    """With a warmer lamp: red up and blue down by this share, or the reverse."""
    return with_gains(pixels, 1 + warmth, 1, 1 - warmth)


def white_balanced(pixels: RgbPixels, share: float) -> RgbPixels:
    """With its bare slide brought this share of the way to a neutral grey."""
    slide = np.maximum(background_of_cell(pixels), 1)
    red, green, blue = (slide.mean() / slide) ** share
    return with_gains(pixels, red, green, blue)


def stained(pixels: RgbPixels, amount: float) -> RgbPixels:
    """With this much of the blue dye, relative to what there is, against the bare slide."""
    slide = np.maximum(background_of_cell(pixels), 1).astype(np.float64)
    density = -np.log(np.maximum(pixels, 1) / slide)
    dye = density @ np.linalg.inv(_DYES)[:, :1]
    changed = slide * np.exp(-(density + (amount - 1) * np.maximum(dye, 0) * _DYES[:1]))
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


KINDS: dict[str, Kind] = {
    "blur": Kind(family="focus", apply=blurred, strengths=(0.35, 0.5, 0.7, 1, 1.8, 4), neutral=0),
    "jpeg": Kind(
        family="file format", apply=saved_as_jpeg, strengths=(95, 80, 60, 35, 18, 7), neutral=100
    ),
    "gain red": Kind(
        family="colour",
        apply=lambda pixels, gain: with_gains(pixels, gain, 1, 1),
        strengths=(0.65, 0.8, 0.9, 0.95, 0.98, 1.04),
        neutral=1,
    ),
    "gain green": Kind(
        family="colour",
        apply=lambda pixels, gain: with_gains(pixels, 1, gain, 1),
        strengths=(0.65, 0.75, 0.88, 0.94, 0.98, 1.04),
        neutral=1,
    ),
    "gain blue": Kind(
        family="colour",
        apply=lambda pixels, gain: with_gains(pixels, 1, 1, gain),
        strengths=(0.6, 0.8, 0.9, 0.95, 0.98, 1.1),
        neutral=1,
    ),
    "saturation": Kind(
        family="colour", apply=saturated, strengths=(0, 0.4, 0.8, 0.93, 1.1, 1.5), neutral=1
    ),
    "brightness": Kind(
        family="exposure",
        apply=lambda pixels, gain: with_gains(pixels, gain, gain, gain),
        strengths=(0.5, 0.7, 0.85, 0.93, 0.98, 1.05),
        neutral=1,
    ),
    "gamma": Kind(
        family="exposure",
        apply=with_gamma,
        strengths=(0.45, 0.7, 0.88, 0.96, 1.05, 1.2, 1.7),
        neutral=1,
    ),
    "noise": Kind(family="exposure", apply=noisy, strengths=(1, 2, 4, 7, 12, 25), neutral=0),
    "scale": Kind(
        family="size",
        apply=scaled,
        strengths=(0.8, 0.88, 0.95, 0.98, 1.02, 1.06, 1.13, 1.25),
        neutral=1,
    ),
    "temperature": Kind(
        family="colour",
        apply=at_temperature,
        strengths=(-0.2, -0.1, -0.05, -0.02, 0.02, 0.04),
        neutral=0,
    ),
    "white balance": Kind(
        family="colour",
        apply=white_balanced,
        strengths=(0.08, 0.2, 0.4, 0.7, 1, 1.5),
        neutral=0,
    ),
    "stain": Kind(
        family="stain", apply=stained, strengths=(0.5, 0.75, 0.9, 0.97, 1.1, 1.5), neutral=1
    ),
}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One kind of change at one strength."""

    kind: str
    strength: float

    @property
    def family(self) -> str:
        """What a technician would look at."""
        return KINDS[self.kind].family

    @property
    def name(self) -> str:
        """Kind and strength, as `blur 0.35`."""
        return f"{self.kind} {self.strength:g}"

    def __call__(self, pixels: RgbPixels) -> RgbPixels:
        """The image changed, uint8 (H, W, 3)."""
        return KINDS[self.kind].apply(pixels, self.strength)


def fitted_changes() -> Iterator[Change]:
    """Every change of one kind that a gate is fitted on."""
    for kind, of_kind in KINDS.items():
        for strength in of_kind.strengths:
            yield Change(kind=kind, strength=strength)
