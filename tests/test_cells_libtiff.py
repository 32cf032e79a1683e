"""What libtiff would print of a damaged image stays with it."""

import random
import struct
import subprocess
import sys
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.errors import CellError

COMPRESSIONS = ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
OURS = """
import sys
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.errors import CellError
try:
    rgb_from_bytes(sys.stdin.buffer.read())
except CellError:
    pass
"""
PLAIN_PILLOW = """
import sys, io
from PIL import Image
try:
    Image.open(io.BytesIO(sys.stdin.buffer.read())).load()
except OSError:
    pass
"""


def damaged(compression: str, seed: int) -> bytes:
    """A TIFF of which some bytes are others, or the end is missing."""
    drawn = random.Random(seed)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "TIFF", compression=compression)
    content = bytearray(file.getvalue())
    for _ in range(drawn.randint(1, 30)):
        content[drawn.randrange(8, len(content))] = drawn.randrange(256)
    return bytes(content[: drawn.randrange(8, len(content))] if seed % 3 == 0 else content)


@pytest.mark.skipif(sys.platform == "win32", reason="Pillow holds libtiff without its names there")
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_libtiff_prints_nothing(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    n_refused = 0
    for seed in range(60):
        try:
            with suppress(TypeError, OverflowError):  # what Pillow raises of some headers
                rgb_from_bytes(damaged(compression, seed))
        except CellError:
            n_refused += 1
    assert n_refused >= 10
    assert capfd.readouterr() == ("", "")


def test_it_would_print_otherwise() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PLAIN_PILLOW],
        input=damaged("tiff_lzw", 2),
        capture_output=True,
        check=True,
    )
    assert b"tempfile.tif: " in ended.stderr


@pytest.mark.parametrize(("script", "printed"), [(PLAIN_PILLOW, True), (OURS, False)])
def test_what_pillow_logs_of_a_header_is_not_printed(*, script: str, printed: bool) -> None:
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, "TIFF")
    tiff = file.getvalue()
    samples = struct.pack("<HHII", 277, 3, 1, 3)
    assert samples in tiff
    ended = subprocess.run(
        [sys.executable, "-c", script],
        input=tiff.replace(samples, struct.pack("<HHII", 277, 3, 1, 9)),
        capture_output=True,
    )
    assert (b"More samples per pixel than can be decoded" in ended.stderr) == printed
    assert printed or not ended.stderr
