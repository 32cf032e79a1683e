"""Images that should cost a decoder most: large, of very many parts, or that unpack to much."""

import struct
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from vexas_edge.cells.images import MAX_PIXELS
from vexas_edge.smear.case import MAX_FILE_BYTES

_SIDE = int(MAX_PIXELS**0.5)
_KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("PNG", {"compress_level": 9}),
    ("JPEG", {"quality": 100, "subsampling": 0}),
    ("JPEG", {"quality": 100, "progressive": True}),
    ("BMP", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", {"compression": "packbits"}),
)


def worst_images() -> Iterator[tuple[str, bytes]]:
    """Each with what it is."""
    rng = np.random.Generator(np.random.PCG64(0))
    noise = Image.fromarray(rng.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8))
    flat = Image.new("RGB", (_SIDE, _SIDE), (200, 150, 180))
    for kind, more in _KINDS:
        yield f"{kind} {more} of noise, {_SIDE} px wide", saved(noise, kind, more)
    yield "PNG of RGBA", saved(noise.convert("RGBA"), "PNG", {})
    yield "PNG of one colour", saved(flat, "PNG", {})
    yield "JPEG of 200 scans", _with_scans(saved(flat, "JPEG", {"progressive": True}), 199)
    yield "a JPEG after comments as long as a file may be", _commented_jpeg()
    yield (
        "a JPEG of bytes FF without end",
        b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\xff" * MAX_FILE_BYTES,
    )
    png = saved(flat, "PNG", {})
    yield "a PNG of very many texts", _png_with(png, b"tEXt", b"a\0b", MAX_FILE_BYTES // 16)
    yield "a PNG of very many empty parts", _png_with(png, b"IDAT", b"", MAX_FILE_BYTES // 13)
    yield "a PNG of very many unknown parts", _png_with(png, b"abCd", b"", MAX_FILE_BYTES // 13)
    yield "a PNG whose profile unpacks to 64 GB", _png_with(png, b"iCCP", _profile(), 1)
    yield "a PNG that unpacks to far more than it shows", _png_of_too_much()
    yield (
        "a PNG of one row that is 4 million px wide",
        saved(Image.new("RGB", (MAX_PIXELS, 1)), "PNG", {}),
    )
    yield "a TIFF of very many frames", _tiff_chain(MAX_FILE_BYTES // 120)
    yield "a TIFF whose frames go round", _tiff_chain(2, round_to_first=True)
    yield "a TIFF of one strip a row", saved(noise, "TIFF", {"strip_size": 1})
    yield "a TIFF with a tag as long as a file may be", _tiff_with_long_tag()
    yield "a TIFF of tags that are all the whole file", _tiff_of_long_tags(100)
    yield "a TIFF of as many tags as there may be", _tiff_of_long_tags(60_000, length=1000)
    yield "a camera's JPEG with very many previews", _mpo_of(1_000_000)
    yield "rubbish as long as a file may be", bytes(MAX_FILE_BYTES)
    yield "a BMP of a header and rubbish", saved(flat, "BMP", {})[:54] + bytes(MAX_FILE_BYTES - 54)


def saved(image: Image.Image, kind: str, more: Mapping[str, Any]) -> bytes:
    """The image as a file of this kind."""
    stream = BytesIO()
    image.save(stream, kind, **more)
    return stream.getvalue()


def _with_scans(jpeg: bytes, n: int) -> bytes:
    last = jpeg.rindex(b"\xff\xda")
    n -= jpeg.count(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * n + jpeg[-2:]


def _commented_jpeg() -> bytes:
    jpeg = saved(Image.new("RGB", (64, 64)), "JPEG", {})
    comment = b"\xff\xfe" + struct.pack(">H", 2)
    return jpeg[:2] + comment * ((MAX_FILE_BYTES - len(jpeg)) // len(comment)) + jpeg[2:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def _png_with(png: bytes, kind: bytes, content: bytes, n: int) -> bytes:
    after_header = 8 + 25
    part = _chunk(kind, content)
    n = min(n, (MAX_FILE_BYTES - len(png)) // len(part))
    return png[:after_header] + part * n + png[after_header:]


def _profile() -> bytes:
    packer = zlib.compressobj(9)
    unpacked = b"".join(packer.compress(bytes(1 << 20)) for _ in range(4096))
    return b"a\0\0" + unpacked + packer.flush()


def _png_of_too_much() -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 << 20)) for _ in range(16_384)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _tiff_chain(n: int, *, round_to_first: bool = False) -> bytes:
    """A TIFF of n directories of one image; the last leads back to the first if asked."""
    tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 16, 279: 256}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries
    first, size = 8 + 256, len(directory) + 4
    parts = [b"II*\0" + struct.pack("<I", first) + bytes(range(256))]
    for number in range(n):
        following = first + size * (number + 1)
        if number == n - 1:
            following = first if round_to_first else 0
        parts.append(directory + struct.pack("<I", following))
    return b"".join(parts)


def _tiff_of_long_tags(n: int, length: int = MAX_FILE_BYTES - (8 << 20)) -> bytes:
    """A TIFF of an image and n more tags of so many bytes, which all lie in the same place."""
    tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 16, 279: 256}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries += [struct.pack("<HHII", 400 + tag, 2, length, 8) for tag in range(n)]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    pixels = bytes(range(256)) + bytes(length)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory


def _mpo_of(n: int) -> bytes:
    stream = BytesIO()
    views = [Image.new("RGB", (64, 64)), Image.new("RGB", (32, 32))]
    views[0].save(stream, "MPO", save_all=True, append_images=views[1:])
    mpo = bytearray(stream.getvalue())
    at = mpo.index(b"\x01\xb0")  # the number of pictures
    mpo[at + 8 : at + 12] = struct.pack("<I", n)
    return bytes(mpo)


def _tiff_with_long_tag() -> bytes:
    tiff = bytearray(saved(Image.new("RGB", (64, 64)), "TIFF", {"description": "x" * 40}))
    first = struct.unpack("<I", tiff[4:8])[0]
    n = MAX_FILE_BYTES - len(tiff)
    for entry in range(struct.unpack("<H", tiff[first : first + 2])[0]):
        at = first + 2 + 12 * entry
        if struct.unpack("<H", tiff[at : at + 2])[0] == 270:
            tiff[at + 4 : at + 12] = struct.pack("<II", n, len(tiff))
    return bytes(tiff) + b"x" * n
