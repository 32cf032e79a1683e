"""Images that show no cell, no whole one, or one cell again and again, 224 px a side."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.reference.changes import RgbPixels, noisy, saved_as_jpeg
from vexas_edge.bench.drawn_smear import drawn_crop

SIDE_PX, N_CELLS = 224, 16
SLIDE = (254, 229, 203)


def _constant(
    rng: np.random.Generator, level: NDArray[np.int64] | Sequence[int], deviation: float
) -> RgbPixels:
    pixels = np.array(level) + rng.normal(0, deviation, (SIDE_PX, SIDE_PX, 3))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def blank(rng: np.random.Generator) -> RgbPixels:
    """A bare slide."""
    return saved_as_jpeg(_constant(rng, np.array(SLIDE) + rng.integers(-3, 4, 3), 3), 90)


def flat(rng: np.random.Generator) -> RgbPixels:
    """One colour, another in each image."""
    return _constant(rng, rng.integers(40, 250, 3), 4)


def black(rng: np.random.Generator) -> RgbPixels:
    """A lamp that is off."""
    return _constant(rng, (4, 4, 4), 4)


def noise(rng: np.random.Generator) -> RgbPixels:
    """Any level in any pixel."""
    return rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)


def stripes(rng: np.random.Generator) -> RgbPixels:
    """Two colours in turn."""
    turn = (np.arange(SIDE_PX) // rng.integers(3, 30)) % 2
    one, other = rng.integers(0, 256, (2, 3))
    striped = np.where(turn[None, :, None], one, other).repeat(SIDE_PX, 0)
    return _constant(rng, striped, 2)


def text(rng: np.random.Generator) -> RgbPixels:
    """A page of letters."""
    image = Image.fromarray(_constant(rng, SLIDE, 2))
    drawing = ImageDraw.Draw(image)
    letters = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789")
    for top in range(0, SIDE_PX, 14):
        drawing.text((4, top), "".join(rng.choice(letters, 36)), fill=(20, 20, 20))
    return np.asarray(image)


def drawn(rng: np.random.Generator) -> RgbPixels:
    """A cell that is drawn and not photographed."""
    return drawn_crop(SIDE_PX, rng)


def red_cells(cells: list[RgbPixels], _: np.random.Generator) -> list[RgbPixels]:
    """A corner of each image that shows red cells and no other, mirrored to the image's size."""
    part, start, end = 88, 20, 20 + SIDE_PX
    found = []
    for cell in cells:
        corners = (cell[:part, :part], cell[:part, -part:], cell[-part:, :part])
        for corner in (one for one in corners if shows_red_cells_alone(one)):
            found.append(np.pad(corner, ((part, part), (part, part), (0, 0)), "symmetric"))
            break
    return [np.ascontiguousarray(one[start:end, start:end]) for one in found]


def shows_red_cells_alone(part: RgbPixels) -> bool:
    """Whether hardly anything lets little red light through, and a quarter or more little green."""
    dark = (part[..., 0] < 120).mean() < 0.0026
    return bool(dark and (part[..., 1] < 190).mean() > 0.25)


def off_centre(cells: list[RgbPixels], rng: np.random.Generator) -> list[RgbPixels]:
    """Each cell cut by the edge of what the model sees."""
    moved = []
    for cell in cells:
        down, right = rng.choice([-1, 1], 2) * rng.integers(50, 75, 2)
        wide = np.pad(cell, ((80, 80), (80, 80), (0, 0)), "symmetric")
        height, width, _ = cell.shape
        moved.append(
            np.ascontiguousarray(
                wide[80 + down : 80 + down + height, 80 + right : 80 + right + width]
            )
        )
    return moved


def exact(cells: list[RgbPixels], _: np.random.Generator) -> list[RgbPixels]:
    """One cell again and again."""
    return [cells[0]] * N_CELLS


def shifted(cells: list[RgbPixels], _: np.random.Generator) -> list[RgbPixels]:
    """One cell, moved by a few pixels."""
    places = [(down, right) for down in (-4, -1, 2, 4) for right in (-4, -2, 1, 3)]
    return [np.roll(cells[0], place, (0, 1)) for place in places]


def flipped(cells: list[RgbPixels], _: np.random.Generator) -> list[RgbPixels]:
    """One cell, turned and mirrored, in all eight ways."""
    return [
        np.ascontiguousarray(np.rot90(side, turns))
        for side in (cells[0], cells[0][:, ::-1])
        for turns in range(4)
    ]


def noisy_copies(cells: list[RgbPixels], _: np.random.Generator) -> list[RgbPixels]:
    """One cell with other noise each time."""
    return [noisy(cells[0], 1.5 + 0.1 * number) for number in range(N_CELLS)]


def saved_again(cells: list[RgbPixels], _: np.random.Generator) -> list[RgbPixels]:
    """One cell as JPEG of other qualities."""
    return [saved_as_jpeg(cells[0], 95 - 3 * number) for number in range(N_CELLS)]
