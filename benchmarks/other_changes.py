"""Changes that no gate is fitted on: strengths in between, pairs, the same kinds otherwise made."""

from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.reference.changes import KINDS, Change, RgbPixels, scaled
from training.reference.pairs import PairOfChanges

# (name, kind, change)
Named = tuple[str, str, Callable[[RgbPixels], RgbPixels]]


def disc_blurred(pixels: RgbPixels, radius_px: float) -> RgbPixels:
    """Out of focus, as a disc of this radius with soft edges."""
    reach = int(np.ceil(radius_px + 0.5))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius_px + 0.5 - np.hypot(rows, columns), 0, 1)
    disc /= disc.sum()
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), "edge").astype(np.float32)
    height, width, _ = pixels.shape
    total = np.zeros(pixels.shape, np.float32)
    for (row, column), weight in np.ndenumerate(disc):
        if weight:
            total += np.float32(weight) * padded[row : row + height, column : column + width]
    return np.rint(total).astype(np.uint8)


def gained_in_light(pixels: RgbPixels, gains: tuple[float, float, float]) -> RgbPixels:
    """Each channel's light multiplied, the levels being light to the power of 1 / 2.2."""
    factor = np.array(gains, np.float64) ** (1 / 2.2)
    return np.clip(np.rint(pixels * factor), 0, 255).astype(np.uint8)


def through_matrix(pixels: RgbPixels, matrix: NDArray[np.float64]) -> RgbPixels:
    """Each pixel's colour multiplied by a 3 x 3 matrix."""
    return np.clip(np.rint(pixels @ matrix.T), 0, 255).astype(np.uint8)


def saved_as_webp(pixels: RgbPixels, quality: int) -> RgbPixels:
    """Saved as a WebP of this quality, and read again."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=quality, method=2)
    return np.asarray(Image.open(file).convert("RGB"))


def in_between() -> Iterator[Change]:
    """Each kind between the strengths that gates are fitted on, at three places."""
    for kind, of_kind in KINDS.items():
        strengths = sorted({*of_kind.strengths, of_kind.neutral})
        middles = [(a + b) / 2 for a, b in pairwise(strengths)]
        farther = sorted((abs(m - of_kind.neutral), m) for m in middles if m != of_kind.neutral)
        for place in sorted({1, len(farther) // 2, len(farther) - 1}):
            yield Change(kind=kind, strength=round(farther[place][1], 4))


_TESTED_PAIRS = (
    ("blur", 0.6, "brightness", 0.8),
    ("jpeg", 70, "gain green", 0.85),
    ("noise", 3, "gamma", 1.3),
    ("scale", 1.09, "jpeg", 85),
    ("stain", 0.8, "temperature", -0.08),
    ("saturation", 0.7, "blur", 0.9),
    ("white balance", 0.5, "noise", 2),
    ("gain red", 0.85, "stain", 1.2),
    ("gamma", 0.8, "saturation", 1.2),
    ("brightness", 0.9, "scale", 0.92),
)


def pairs() -> Iterator[Named]:
    """Two kinds of change, one after the other."""
    for first, a, second, b in _TESTED_PAIRS:
        one, other = Change(kind=first, strength=a), Change(kind=second, strength=b)
        pair = PairOfChanges(first=one, second=other)
        yield pair.name, "pair", pair


def _matrix(turn: float) -> NDArray[np.float64]:
    """A camera's colours mixed by this share; grey stays grey."""
    return (1 - turn) * np.eye(3) + turn * np.array([[0.2, 0.8, 0], [0, 0.3, 0.7], [0.6, 0, 0.4]])


def otherwise_made() -> Iterator[Named]:
    """The kinds in another form: another blur, gains in light, a colour matrix, resampler, file."""
    for radius in (0.8, 1.4, 3.0):
        yield f"disc {radius}", "blur", partial(disc_blurred, radius_px=radius)
    for gains in ((0.7, 1, 1), (1, 0.75, 1), (0.7, 0.7, 0.7), (1.1, 1, 0.75)):
        kind = "brightness" if len(set(gains)) == 1 else "temperature"
        yield f"light {gains}", kind, partial(gained_in_light, gains=gains)
    for turn in (0.05, 0.15, 0.3):
        yield f"matrix {turn}", "saturation", partial(through_matrix, matrix=_matrix(turn))
    for factor in (0.9, 1.1):
        for kind, filter_ in (
            ("lanczos", Image.Resampling.LANCZOS),
            ("bilinear", Image.Resampling.BILINEAR),
        ):
            yield f"{kind} {factor}", "scale", partial(scaled, factor=factor, filter_=filter_)
    for quality in (90, 75, 50, 20):
        yield f"webp {quality}", "jpeg", partial(saved_as_webp, quality=quality)
