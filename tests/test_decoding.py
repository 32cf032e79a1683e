"""Decoding ahead of the engine: in order, bounded, every failure named."""

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tiny import cell_pixels, on_canvas, png, write_cells

from vexas_edge.case import Cell
from vexas_edge.decoding import Canvas, decode_cell, decode_cells
from vexas_edge.sources import open_source

CANVAS = Canvas(canvas_px=16, larger="reject")


class CountedSource:
    """Cells in memory that count how many were read."""

    refused: Mapping[str, str] = {}

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self.files = {name: len(content) for name, content in contents.items()}
        self.n_read = 0
        self._contents = contents
        self._lock = threading.Lock()

    def read(self, path: str) -> bytes:
        with self._lock:
            self.n_read += 1
        return self._contents[path]

    def close(self) -> None:
        pass


def cells_named(*names: str) -> list[Cell]:
    return [Cell(path=name, cell_class="neutrophil") for name in names]


@pytest.fixture
def counted() -> CountedSource:
    return CountedSource({f"{i}.png": png(cell_pixels(i)) for i in range(200)})


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("ahead", [1, 50, 1000])
def test_cells_come_in_their_order_with_identity_and_pixels(
    counted: CountedSource, threads: int, ahead: int
) -> None:
    cells = cells_named(*counted.files)
    decoded = list(decode_cells(counted, cells, CANVAS, threads=threads, ahead=ahead))
    assert [cell.record.path for cell in decoded] == list(counted.files)
    for i, cell in enumerate(decoded):
        assert cell.record.status == "used"
        assert cell.identity == hashlib.sha256(png(cell_pixels(i))).digest()
        assert cell.record.sha256 == cell.identity.hex()
        np.testing.assert_array_equal(cell.pixels, on_canvas(cell_pixels(i)))


def test_no_more_cells_than_asked_for_are_decoded_ahead(counted: CountedSource) -> None:
    decoding = decode_cells(counted, cells_named(*counted.files), CANVAS, threads=4, ahead=40)
    for taken, _ in enumerate(decoding, start=1):
        assert counted.n_read <= taken + 40 + 8  # 8 cells a task
    assert counted.n_read == 200


def test_stopping_early_leaves_no_thread_and_reads_no_further(counted: CountedSource) -> None:
    decoding = decode_cells(counted, cells_named(*counted.files), CANVAS, threads=2, ahead=20)
    next(decoding)
    decoding.close()
    assert counted.n_read <= 20 + 8
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_nothing_to_decode_gives_nothing(counted: CountedSource) -> None:
    assert list(decode_cells(counted, [], CANVAS, threads=2, ahead=8)) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"no image", "not_an_image"),
        (png(cell_pixels(1))[:-40], "truncated"),
        (png(np.zeros((17, 3, 3), np.uint8)), "larger_than_canvas"),
    ],
)
def test_a_cell_that_cannot_be_used_says_why(content: bytes, reason: str) -> None:
    decoded = decode_cell(CountedSource({"a": content}), cells_named("a")[0], CANVAS)
    assert decoded.pixels is None
    assert (decoded.record.path, decoded.record.status) == ("a", "unreadable")
    assert decoded.record.reason == reason
    assert decoded.record.detail != ""
    assert decoded.record.sha256 == hashlib.sha256(content).hexdigest()


def test_a_larger_cell_is_cropped_where_the_canvas_says_so() -> None:
    pixels = cell_pixels(3)[:6, :6].repeat(4, axis=0).repeat(4, axis=1)
    crop = Canvas(canvas_px=16, larger="crop")
    decoded = decode_cell(CountedSource({"a": png(pixels)}), cells_named("a")[0], crop)
    np.testing.assert_array_equal(decoded.pixels, pixels[4:20, 4:20])


def test_a_cell_that_cannot_be_read_has_no_identity(tmp_path: Path) -> None:
    (path,) = write_cells(tmp_path, 1)
    source = open_source(tmp_path)
    path.unlink()
    decoded = decode_cell(source, cells_named("0.png")[0], CANVAS)
    assert (decoded.identity, decoded.pixels) == (b"", None)
    assert decoded.record.reason == "cannot_read"
    assert decoded.record.detail == "the file cannot be read: No such file or directory"


def test_a_bug_in_a_decoding_thread_is_raised_not_swallowed(counted: CountedSource) -> None:
    def read(path: str) -> bytes:
        raise KeyError(path)

    counted.read = read  # type: ignore[method-assign]
    with pytest.raises(KeyError, match=r"0\.png"):
        list(decode_cells(counted, cells_named("0.png"), CANVAS, threads=2, ahead=8))
