"""A plot or an image as the bytes of a PNG, and the colours of plots."""

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Distinct for colour-blind eyes, too (Okabe and Ito 2008); the positive group has the first.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DPI = 110


def png_from_figure(figure: "Figure") -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI)
    return stream.getvalue()


def png_from_pixels(pixels: np.ndarray) -> bytes:
    """Pixels uint8 (H, W, 3), RGB, as a PNG, which loses nothing."""
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
