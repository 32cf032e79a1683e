"""Draws, canvases, pixels and labels are what they always were, byte for byte, on every PC.

No engine takes part in any of them, so no CPU and no library of networks may change them: a change
here changes every score that was ever reported. `tests/recorded/bytes.json` has the SHA-256 of each
case's dtype, shape and bytes, and the few values that can be read; it was recorded with commit
0093e3e. Pixels are as the Pillow of `constraints.txt` decodes them: lossless formats leave it no
choice, a JPEG does, and another build of Pillow may round it otherwise.

To record anew, on purpose only, and with a word in CHANGELOG.md of which scores that moves:

    python tests/test_recorded_bytes.py
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vexas_edge.cells.canvas import place_on_canvas
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.scoring.draws import draw_cells
from vexas_edge.scoring.figures.labels import label_indices

RECORDED = Path(__file__).parent / "recorded" / "bytes.json"
# A larger array is recorded by its hash alone.
MOST_VALUES = 24

Array = NDArray[Any]


def identities(n: int) -> list[bytes]:
    return [hashlib.sha256(f"cell {i}".encode()).digest() for i in range(n)]


def pattern(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Pixels uint8 (H, W, channels) that all differ from their neighbours, by no random stream."""
    row, column, channel = np.indices((height, width, channels))
    return ((row * 37 + column * 61 + channel * 101 + row * column) % 256).astype(np.uint8)


def file_of(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def draws() -> Iterator[tuple[str, Array]]:
    """From one cell, few and many, in draws of several sizes and numbers, with several seeds."""
    for n_cells, n_draws, size, seed in (
        (1, 3, 4, 0),
        (7, 3, 5, 0),
        (7, 3, 5, 1),
        (40, 100, 10, 0),
        (40, 1000, 10, 0),
        (40, 1000, 10, 2**53),
        (333, 64, 1, 12345),
        (50_000, 20, 10, 2**64 - 1),
    ):
        what = f"{n_cells} cells, {n_draws} draws of {size}, seed {seed}"
        yield what, draw_cells(identities(n_cells), n_draws, size, seed)
    turned = identities(40)[::-1]
    yield "40 cells turned round, 100 draws of 10, seed 0", draw_cells(turned, 100, 10, 0)
    alike = [b"eight by" + identity[8:] for identity in identities(5)]
    yield "5 cells of equal first bytes, 4 draws of 5, seed 3", draw_cells(alike, 4, 5, 3)


def canvases() -> Iterator[tuple[str, Array]]:
    """Cells of odd and even sides, smaller, larger and both at once."""
    rules: tuple[Literal["reject", "crop"], ...] = ("reject", "crop")
    for canvas_px in (8, 9):
        for height, width in ((1, 1), (5, 8), (8, 5), (7, 6), (8, 8)):
            for larger in rules:
                what = f"{height} x {width} on {canvas_px}, {larger}"
                yield what, place_on_canvas(pattern(height, width), canvas_px, larger)
        for height, width in ((9, 9), (10, 10), (13, 4), (3, 16), (21, 12)):
            if max(height, width) > canvas_px:
                what = f"{height} x {width} on {canvas_px}, crop"
                yield what, place_on_canvas(pattern(height, width), canvas_px, "crop")


def pixels() -> Iterator[tuple[str, Array]]:
    """What files of each lossless format give that are written here."""
    colour = Image.fromarray(pattern(5, 7))
    grey = Image.fromarray(pattern(5, 7, 1)[..., 0])
    palette = Image.frombytes("P", grey.size, grey.tobytes())
    palette.putpalette(pattern(256, 1).tobytes())
    images = {
        "colour": colour,
        "grey": grey,
        "palette": palette,
        "colour and alpha": Image.fromarray(pattern(5, 7, 4)),
        "grey and alpha": Image.fromarray(pattern(5, 7, 2)),
    }
    for form in ("PNG", "BMP", "TIFF"):
        for name, image in images.items():
            if form != "BMP" or not name.endswith("alpha"):
                yield f"{form}, {name}", rgb_from_bytes(file_of(image, form))
    yield (
        "PNG, a colour is transparent",
        rgb_from_bytes(file_of(colour, "PNG", transparency=tuple(pattern(5, 7)[2, 3].tolist()))),
    )
    yield (
        "PNG, a palette entry is transparent",
        rgb_from_bytes(file_of(palette, "PNG", transparency=bytes(range(256)))),
    )
    for compression in ("tiff_lzw", "tiff_deflate", "packbits"):
        content = file_of(colour, "TIFF", compression=compression)
        yield f"TIFF, {compression}", rgb_from_bytes(content)


def labels() -> Iterator[tuple[str, Array]]:
    """Both rules for two and for four classes, with ties and decisions of exactly zero."""
    rules: tuple[Literal["votes", "argmax"], ...] = ("votes", "argmax")
    two = np.array([[-1.5], [-0.0], [0.0], [0.25], [3]], np.float32)
    halves = np.array([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0.5, 0.5], [1, 0]], np.float64)
    # Every way in which six pairs of four classes can be decided, and a tie of each pair.
    ways = (np.arange(64)[:, None] >> np.arange(6)) & 1
    four = np.concatenate([ways * 2 - 1, ways * (np.arange(6) % 2)]).astype(np.float32)
    eighths = (np.arange(128)[:, None] * (1, 3, 5, 7) % 8 / 8).astype(np.float64)
    for rule in rules:
        yield f"2 classes, {rule}", label_indices(two, halves, rule)
        yield f"4 classes, {rule}", label_indices(four, eighths, rule)


CASES: Mapping[str, Callable[[], Iterator[tuple[str, Array]]]] = {
    "draws": draws,
    "canvases": canvases,
    "pixels": pixels,
    "labels": labels,
}


def entry_of(array: Array) -> dict[str, Any]:
    """What is recorded of an array: little-endian bytes hashed with dtype and shape; few values."""
    dtype = array.dtype.newbyteorder("<")
    content = f"{dtype.name} {array.shape} ".encode() + array.astype(dtype).tobytes()
    entry: dict[str, Any] = {"sha256": hashlib.sha256(content).hexdigest()}
    return {**entry, "values": array.tolist()} if array.size <= MOST_VALUES else entry


def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return found


def jpegs() -> dict[str, bytes]:
    """The recorded JPEG files: their bytes are kept, since no two encoders write the same."""
    return {name: base64.b64decode(text) for name, text in recorded()["jpeg files"].items()}


@pytest.mark.parametrize("stage", CASES)
def test_bytes_are_what_was_recorded(stage: str) -> None:
    assert {what: entry_of(array) for what, array in CASES[stage]()} == recorded()[stage]


def test_jpegs_are_decoded_as_the_pinned_pillow_decodes_them() -> None:
    found = {name: entry_of(rgb_from_bytes(content)) for name, content in jpegs().items()}
    assert found == recorded()["jpegs"]


def test_another_bit_type_or_shape_is_another_entry() -> None:
    zeros = np.zeros((2, 30), np.uint8)
    other = zeros.copy()
    other[1, 2] = 1
    arrays = (zeros, other, zeros.T, zeros.astype(np.int64))
    assert len({entry_of(array)["sha256"] for array in arrays}) == 4


def record() -> None:
    """Write what this tree gives in place of what was recorded; the JPEG files stay."""
    found: dict[str, Any] = {
        name: {what: entry_of(array) for what, array in cases()} for name, cases in CASES.items()
    }
    found["jpegs"] = {name: entry_of(rgb_from_bytes(data)) for name, data in jpegs().items()}
    found["jpeg files"] = recorded()["jpeg files"]
    RECORDED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    record()
