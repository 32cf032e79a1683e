"""From the bytes of an image file to the RGB pixels of a cell.

What an EXIF header says of orientation is ignored on purpose: analyzers write none, and a cell has
no upright position; so a header that a viewer has added cannot turn a cell.
"""

import hashlib
import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, features
from PIL import __version__ as pillow_version

from vexas_edge.cells.formats import PNG, check_parts, why_not_decoded, without_metadata
from vexas_edge.cells.libtiff import silence_libtiff
from vexas_edge.errors import CellError, InputError, RejectedCellError

# Far above any cell (575 x 575 px at most so far), yet small enough to decode on every thread.
MAX_PIXELS = 2048 * 2048

# An image shows nothing if no channel spans more levels than this; real cells span many times it,
# and nearly always do so within a few of their rows already.
_EMPTY_SPAN = 8
_EVERY_FEW_ROWS = 16

_FORMATS = ["JPEG", "PNG", "BMP", "TIFF"]
_MAGIC = (b"\xff\xd8\xff", PNG, b"II*\x00", b"MM\x00*")
_GREY = ("L", "LA")
_COLOUR = ("RGB", "RGBA", "P", "PA")
_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
# What Pillow's decoders raise for damaged files. Some of it is Pillow's own bugs, as the
# AssertionError for a PNG that lacks its palette.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error),
    *(AssertionError, AttributeError, LookupError, TypeError, ArithmeticError, RuntimeError),
)

_ORIENTATION = 0x0112
_TURNED_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

# Of an MPO: where its index begins, the tag of its list of pictures, and which kinds are previews.
_MP_HEADER = b"MPF\0"
_MP_ENTRIES = 0xB002
_PREVIEWS = ("Large Thumbnail (VGA Equivalent)", "Large Thumbnail (Full HD Equivalent)")

_muting = threading.Lock()
# Without a handler, what Pillow logs of a damaged header would be printed.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def rgb_from_bytes(data: bytes) -> NDArray[np.uint8]:
    """The image as uint8 (H, W, 3) RGB, read-only.

    Transparent parts become black, unless the whole image is transparent: then its colours are all
    that there is.

    Raises:
        CellError: reason `empty_file`, `not_an_image`, `truncated`, `unsupported_format`,
            `too_many_pixels`, `multi_frame`, `high_bit_depth` or `unsupported_mode`.
        InputError, MemoryError: the PC has failed, which says nothing about the image.
    """
    if not data:
        raise CellError("empty_file", "the file is empty; was it still being copied?")
    check_parts(data)
    try:
        return _decoded(without_metadata(data) if data.startswith(PNG) else data)
    except CellError as error:
        better = why_not_decoded(data) if error.reason in ("truncated", "not_an_image") else None
        raise better or error from error


def _decoded(data: bytes) -> NDArray[np.uint8]:
    with _opened(data) as image, _damaged_if_it_fails():
        _check_header(image, data)
        return np.asarray(_rgb(_loaded(image)))


def cell_from_bytes(data: bytes) -> NDArray[np.uint8]:
    """The image of a cell: what `rgb_from_bytes` returns, if it shows anything at all.

    Raises:
        CellError, InputError, MemoryError: as `rgb_from_bytes` does.
        RejectedCellError: reason `empty_image`: it was read, and shows nothing.
    """
    pixels = rgb_from_bytes(data)
    if max(_spans(pixels[::_EVERY_FEW_ROWS])) > _EMPTY_SPAN:
        return pixels
    spans = _spans(pixels)
    if max(spans) <= _EMPTY_SPAN:
        raise RejectedCellError(
            "empty_image",
            f"the image shows nothing: its channels span {', '.join(map(str, spans))} levels; "
            f"expected over {_EMPTY_SPAN} in one of them",
        )
    return pixels


def identity_of(pixels: NDArray[np.uint8]) -> bytes:
    """The identity of a cell: 32 bytes, BLAKE2b over height, width and the pixels of its image.

    So neither a file's name nor its metadata, nor a lossless change of its format, makes another
    cell of it.

    Args:
        pixels: uint8 (H, W, 3) RGB, as `cell_from_bytes` returns them.
    """
    height, width, _ = pixels.shape
    digest = hashlib.blake2b(struct.pack("<II", height, width), digest_size=32)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def decoder() -> str:
    """What decodes images here, with its version; another decoder may give other pixels.

    >>> decoder().startswith("Pillow ")
    True
    """
    jpeg = "libjpeg_turbo" if features.check("libjpeg_turbo") else "jpg"
    version = features.version(jpeg) or features.version("jpg")
    return f"Pillow {pillow_version}, {jpeg} {version}"


def _spans(pixels: NDArray[np.uint8]) -> list[int]:
    """How many levels each channel spans."""
    # Over rows first, which are long: twenty times as fast as Pillow, which keeps Python's lock.
    most, least = pixels.max(axis=0).max(axis=0), pixels.min(axis=0).min(axis=0)
    red, green, blue = most - least
    return [int(red), int(green), int(blue)]


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
        _raise_if_the_pcs(error)
        if data.startswith(_MAGIC):
            raise CellError("truncated", "the image is cut short or damaged") from error
        raise CellError("not_an_image", "expected a JPEG, PNG, BMP or TIFF image") from error
    with image:
        yield image


def _loaded(image: ImageFile.ImageFile) -> Image.Image:
    """The decoded image, as it is stored."""
    if image.format != "TIFF":
        image.load()
        return image
    silence_libtiff()
    with _muted():  # it reads headers again while it decodes; all others may do so in parallel
        orientation = image.getexif().get(_ORIENTATION, 1)
        image.load()  # Pillow turns a TIFF by its header, and no other format
    turn_back = _TURNED_BACK.get(orientation)
    return image if turn_back is None else image.transpose(turn_back)


@contextmanager
def _damaged_if_it_fails() -> Iterator[None]:
    """Whatever Pillow raises says that the image is damaged, or that the PC has failed."""
    try:
        yield
    except InputError:  # CellError, too
        raise
    except _DAMAGE as error:
        _raise_if_the_pcs(error)
        why = f": {error}" if str(error) else ""
        raise CellError("truncated", f"the image is cut short or damaged{why}") from error


def _raise_if_the_pcs(error: Exception) -> None:
    """Raise InputError or MemoryError if the PC has failed, and not the image.

    Of a damaged image, no error has a number of the system's. Pillow says in words that memory ran
    out, but also of damaged headers; so it is tried.
    """
    if "out of memory" in str(error):
        bytearray(4 * MAX_PIXELS)
    if isinstance(error, OSError) and error.errno is not None:
        raise InputError(
            f"an image could not be decoded on this PC ({error.strerror}); the case is not scored "
            "on the rest: score it again"
        ) from error


def _check_header(image: ImageFile.ImageFile, data: bytes) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise CellError(
            "too_many_pixels",
            f"the image is {width} x {height} px; expected at most {MAX_PIXELS} pixels in all",
        )
    if getattr(image, "is_animated", False) and not _others_are_previews(image, data):
        raise CellError("multi_frame", "the file holds several images; expected one cell per file")
    if image.mode in _DEEP or _is_sixteen_bit(image):
        raise CellError("high_bit_depth", "expected 8 bits per channel, found more")
    if image.mode not in _GREY + _COLOUR:
        raise CellError("unsupported_mode", f"expected RGB, grey or palette, found {image.mode}")


def _others_are_previews(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether the pictures after the first only show the same again, smaller.

    Cameras write such an MPO: a JPEG with previews behind it. Pictures of the same size, or those
    that are said to be views or frames of their own, may be other cells.
    """
    if image.format != "MPO":
        return False
    try:
        entries = cast(Any, image).mpinfo[_MP_ENTRIES][1:]
        return all(_is_preview(entry, image, data) for entry in entries)
    except _DAMAGE:
        return False


def _is_preview(entry: dict[str, Any], first: ImageFile.ImageFile, data: bytes) -> bool:
    if entry["Attribute"]["MPType"] in _PREVIEWS:
        return True
    if entry["Attribute"]["MPType"] != "Undefined":
        return False
    start = entry["DataOffset"] + data.index(_MP_HEADER) + len(_MP_HEADER)
    with Image.open(BytesIO(data[start : start + entry["Size"]]), formats=["JPEG"]) as other:
        return other.width < first.width and other.height < first.height


def _is_sixteen_bit(image: ImageFile.ImageFile) -> bool:
    # Pillow opens 16-bit RGB as mode RGB and drops the lower bytes; only the raw mode shows it.
    return any(";16" in str(tile.args) for tile in image.tile)


def _rgb(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    with_alpha = image.convert("RGBA")
    alpha = with_alpha.getchannel("A")
    colours = with_alpha.convert("RGB")
    if not alpha.getextrema()[1]:
        return colours
    black = Image.new("RGB", image.size)
    black.paste(colours, mask=alpha)
    return black
