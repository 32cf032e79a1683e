"""What an image is that the decoder refuses, where it is not damaged, from its first bytes."""

import struct
from collections.abc import Iterator
from itertools import islice

from vexas_edge.errors import CellError

PNG = b"\x89PNG\r\n\x1a\n"
_JPEG, _TIFF = b"\xff\xd8\xff", {b"II*\x00": "<", b"MM\x00*": ">"}
# Of other formats: where their mark begins, and their name.
_OTHERS = (
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"GIF8", "GIF"),
    (0, b"%PDF", "PDF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypavif", "AVIF"),
    (8, b"WEBP", "WebP"),
)
# Each scan of a progressive JPEG goes over the whole image; encoders write about ten.
_SCAN, _MOST_SCANS = b"\xff\xda", 200
# The decoder reads a JPEG's header segment by segment, what lies between them byte by byte, and a
# PNG chunk by chunk.
_MOST_SEGMENTS, _MOST_CHUNKS = 10_000, 100_000
_START_OF_SCAN, _WITHOUT_LENGTH = 0xDA, frozenset({0x01, *range(0xD0, 0xDA)})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE_TO_PROGRESSIVE = (0xC0, 0xC1, 0xC2)
_COMPRESSION = 259
# None, LZW, JPEG, deflate by both of its numbers, and PackBits.
_COMPRESSIONS = (1, 5, 7, 8, 32946, 32773)
_MOST_ENTRIES = 1000
# What of a PNG that is optional, by its small first letter, says something of its pixels; the
# others may be larger than the decoder takes.
_OF_PIXELS = (b"tRNS", b"acTL", b"fcTL", b"fdAT")


def why_not_decoded(data: bytes) -> CellError | None:
    """What the image is instead of one that can be decoded; None if it should be one."""
    for at, mark, name in _OTHERS:
        if data.startswith(mark, at):
            return _other(f"the image is in {name}")
    if data.startswith(_JPEG):
        return _of_jpeg(data)
    if data[:4] in _TIFF:
        return _of_tiff(data, _TIFF[data[:4]])
    return None


def _other(found: str) -> CellError:
    return CellError(
        "unsupported_format", f"{found}; expected a JPEG, PNG, BMP or TIFF image: export it as one"
    )


def _of_jpeg(data: bytes) -> CellError | None:
    """A JPEG's frame says how many bits its channels have, and how they are coded."""
    for marker, at in _segments(data):
        if marker in _FRAMES:
            bits = data[at + 4] if at + 4 < len(data) else 0
            if bits > 8:
                return CellError("high_bit_depth", f"expected 8 bits per channel, found {bits}")
            if marker not in _BASELINE_TO_PROGRESSIVE:
                return _other("the JPEG is lossless or arithmetically coded")
            return None
    return None


def _segments(data: bytes) -> Iterator[tuple[int | None, int]]:
    """Marker and place of each segment of a JPEG's header, and None for each byte between them."""
    at = 2
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0x00, 0xFF):
            yield None, at
            at += 1
            continue
        if marker == _START_OF_SCAN:
            return
        yield marker, at
        length = 0 if marker in _WITHOUT_LENGTH else int.from_bytes(data[at + 2 : at + 4], "big")
        at += 2 + length


def _of_tiff(data: bytes, order: str) -> CellError | None:
    """A TIFF's directory says how its pixels are packed."""
    try:
        (first,) = struct.unpack_from(f"{order}I", data, 4)
        (n_entries,) = struct.unpack_from(f"{order}H", data, first)
        for number in range(min(n_entries, _MOST_ENTRIES)):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", data, first + 2 + 12 * number)
            if tag == _COMPRESSION and value not in _COMPRESSIONS:
                return _other(f"the TIFF is packed by method {value}")
    except struct.error:
        pass
    return None


def check_parts(data: bytes) -> None:
    """Check that an image does not take long for its size.

    Raises:
        CellError: it has more parts than any that is meant.
    """
    if data.startswith(_JPEG):
        if (n_scans := data.count(_SCAN)) > _MOST_SCANS:
            raise _other(f"the JPEG has {n_scans} scans, over {_MOST_SCANS}")
        if any(True for _ in islice(_segments(data), _MOST_SEGMENTS, None)):
            raise _other(f"the JPEG's header has over {_MOST_SEGMENTS} parts")
    if data.startswith(PNG) and any(True for _ in islice(_chunks(data), _MOST_CHUNKS, None)):
        raise _other(f"the PNG has over {_MOST_CHUNKS} parts")


def without_metadata(png: bytes) -> bytes:
    """The PNG without what says nothing of its pixels, as far as its chunks go."""
    return PNG + b"".join(chunk for kind, chunk in _chunks(png) if not _is_metadata(kind))


def _is_metadata(kind: bytes) -> bool:
    return kind.isalpha() and kind[:1].islower() and kind not in _OF_PIXELS


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(PNG)
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        yield png[at + 4 : at + 8], png[at:end]
        at = end
