"""Decoding ahead of the engine: in order, bounded, every failure named."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tiny import cell_pixels, on_canvas, png, write_cells

from vexas_edge.cells.canvas import Canvas, decode_cell
from vexas_edge.cells.images import identity_of
from vexas_edge.errors import CellError, InputError
from vexas_edge.smear.case import Cell, Refusal
from vexas_edge.smear.sources import open_source

CANVAS = Canvas(canvas_px=16, larger="reject")


class Contents:
    """Files in memory."""

    refused: Mapping[str, Refusal] = {}

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self.files = {name: len(content) for name, content in contents.items()}
        self._contents = contents

    def read(self, path: str) -> bytes:
        return self._contents[path]

    def close(self) -> None:
        pass


def cells_named(*names: str) -> list[Cell]:
    return [Cell(path=name, cell_class="neutrophil") for name in names]


def test_a_cell_comes_with_its_identity_and_pixels() -> None:
    content = png(cell_pixels(7))
    decoded = decode_cell(Contents({"a": content}), cells_named("a")[0], CANVAS)
    assert (decoded.record.path, decoded.record.status) == ("a", "used")
    assert decoded.identity == identity_of(cell_pixels(7))
    assert decoded.record.identity == decoded.identity.hex()
    assert decoded.record.sha256 == hashlib.sha256(content).hexdigest()
    np.testing.assert_array_equal(decoded.pixels, on_canvas(cell_pixels(7)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"no image", "not_an_image"),
        (png(cell_pixels(1))[:-40], "truncated"),
        (png(cell_pixels(1)[:4, :4].repeat(5, axis=0)), "larger_than_canvas"),
    ],
)
def test_a_cell_that_cannot_be_used_says_why(content: bytes, reason: str) -> None:
    decoded = decode_cell(Contents({"a": content}), cells_named("a")[0], CANVAS)
    assert decoded.pixels is None
    assert (decoded.record.path, decoded.record.status) == ("a", "unreadable")
    assert decoded.record.reason == reason
    assert decoded.record.detail != ""
    assert decoded.record.sha256 == hashlib.sha256(content).hexdigest()


def test_a_larger_cell_is_cropped_where_the_canvas_says_so() -> None:
    pixels = cell_pixels(3)[:6, :6].repeat(4, axis=0).repeat(4, axis=1)
    crop = Canvas(canvas_px=16, larger="crop")
    decoded = decode_cell(Contents({"a": png(pixels)}), cells_named("a")[0], crop)
    np.testing.assert_array_equal(decoded.pixels, pixels[4:20, 4:20])


def test_a_cell_that_cannot_be_decoded_has_no_identity() -> None:
    decoded = decode_cell(Contents({"a": b"no image"}), cells_named("a")[0], CANVAS)
    assert (decoded.identity, decoded.record.identity, decoded.pixels) == (b"", "", None)


def test_a_file_that_is_gone_is_no_bad_cell(tmp_path: Path) -> None:
    (path,) = write_cells(tmp_path, 1)
    source = open_source(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match="the case is not scored on the rest") as gone:
        decode_cell(source, cells_named("0.png")[0], CANVAS)
    assert not isinstance(gone.value, CellError)
