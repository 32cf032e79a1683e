"""From the bytes of an image file to the RGB pixels of a cell."""

import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from vexas_edge.errors import CellError

# Far above any cell (575 x 575 px at most so far), yet small enough to decode on every thread.
MAX_PIXELS = 4096 * 4096

_FORMATS = ["JPEG", "PNG", "BMP", "TIFF"]
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\x00", b"MM\x00*")
_GREY = ("L", "LA")
_COLOUR = ("RGB", "RGBA", "P", "PA")
_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
# What Pillow's decoders raise for damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)

_muting = threading.Lock()


def rgb_from_bytes(data: bytes) -> NDArray[np.uint8]:
    """The image as uint8 (H, W, 3) RGB, read-only; transparent parts become black.

    Raises:
        CellError: reason `empty_file`, `not_an_image`, `truncated`, `too_many_pixels`,
            `multi_frame`, `high_bit_depth` or `unsupported_mode`.
    """
    if not data:
        raise CellError("empty_file", "the file is empty; was it still being copied?")
    with _opened(data) as image:
        _check_header(image)
        _load(image)
        return np.asarray(_rgb(image))


@contextmanager
def _muted() -> Iterator[None]:
    # Pillow warns about odd headers. Muting affects the whole process, hence the lock; do not hold
    # it for long.
    with _muting, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _opened(data: bytes) -> Iterator[ImageFile.ImageFile]:
    try:
        with _muted():
            image = Image.open(BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise CellError("too_many_pixels", f"the image is too large: {error}") from error
    except _DAMAGE as error:
        if data.startswith(_MAGIC):
            raise CellError("truncated", "the image is cut short or damaged") from error
        raise CellError("not_an_image", "expected a JPEG, PNG, BMP or TIFF image") from error
    with image:
        yield image


def _load(image: ImageFile.ImageFile) -> None:
    try:
        # Only TIFF reads headers again while it decodes; all others may decode in parallel.
        with _muted() if image.format == "TIFF" else nullcontext():
            image.load()
    except _DAMAGE as error:
        raise CellError("truncated", f"the image is cut short or damaged: {error}") from error


def _check_header(image: ImageFile.ImageFile) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise CellError(
            "too_many_pixels",
            f"the image is {width} x {height} px; expected at most {MAX_PIXELS} pixels in all",
        )
    if getattr(image, "is_animated", False):
        raise CellError("multi_frame", "the file holds several images; expected one cell per file")
    if image.mode in _DEEP or _is_sixteen_bit(image):
        raise CellError("high_bit_depth", "expected 8 bits per channel, found more")
    if image.mode not in _GREY + _COLOUR:
        raise CellError("unsupported_mode", f"expected RGB, grey or palette, found {image.mode}")


def _is_sixteen_bit(image: ImageFile.ImageFile) -> bool:
    # Pillow opens 16-bit RGB as mode RGB and drops the lower bytes; only the raw mode shows it.
    return any(";16" in str(tile.args) for tile in image.tile)


def _rgb(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    with_alpha = image.convert("RGBA")
    black = Image.new("RGB", image.size)
    black.paste(with_alpha.convert("RGB"), mask=with_alpha.getchannel("A"))
    return black
