"""From the bytes of an image file to RGB, and onto the canvas."""

import errno
import hashlib
import struct
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from vexas_edge.cells.canvas import place_on_canvas
from vexas_edge.cells.images import cell_from_bytes, identity_of, rgb_from_bytes
from vexas_edge.errors import CellError, InputError, RejectedCellError

PIXELS = np.random.default_rng(7).integers(0, 256, (8, 10, 3), np.uint8)
GREY = PIXELS[..., 0]
ALPHA = np.where(np.arange(80).reshape(8, 10) % 3 == 0, 0, 255).astype(np.uint8)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises width x height pixels and holds none."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    return b"\x89PNG\r\n\x1a\n" + header + data


def reason_of(data: bytes) -> str:
    with pytest.raises(CellError) as refused:
        rgb_from_bytes(data)
    assert "\n" not in str(refused.value)
    return refused.value.reason


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_a_lossless_image_gives_its_pixels(form: str) -> None:
    pixels = rgb_from_bytes(encoded(Image.fromarray(PIXELS), form))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, PIXELS)


def test_a_jpeg_gives_what_pillow_decodes() -> None:
    data = encoded(Image.fromarray(PIXELS), "JPEG", quality=95)
    np.testing.assert_array_equal(rgb_from_bytes(data), np.asarray(Image.open(BytesIO(data))))


def test_grey_is_replicated() -> None:
    pixels = rgb_from_bytes(encoded(Image.fromarray(GREY)))
    np.testing.assert_array_equal(pixels, np.stack([GREY] * 3, axis=-1))


def test_a_palette_is_looked_up() -> None:
    image = Image.fromarray(PIXELS).quantize(16)
    np.testing.assert_array_equal(rgb_from_bytes(encoded(image)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_transparent_pixels_are_black(form: str) -> None:
    image = Image.fromarray(np.dstack([PIXELS, ALPHA]))
    expected = np.where(ALPHA[..., None] == 0, 0, PIXELS)
    np.testing.assert_array_equal(rgb_from_bytes(encoded(image, form)), expected)


def test_half_transparent_pixels_are_half_as_bright() -> None:
    image = Image.fromarray(np.full((2, 2, 4), (200, 100, 50, 128), np.uint8))
    assert rgb_from_bytes(encoded(image))[0, 0].tolist() == [100, 50, 25]


def test_transparent_grey_is_black() -> None:
    image = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)])
    expected = np.where(ALPHA == 0, 0, GREY)
    np.testing.assert_array_equal(rgb_from_bytes(encoded(image))[..., 1], expected)


def test_a_transparent_palette_entry_is_black() -> None:
    image = Image.fromarray(PIXELS).quantize(16)
    clear = image.getpixel((0, 0))
    pixels = rgb_from_bytes(encoded(image, transparency=clear))
    expected = np.asarray(image.convert("RGB")).copy()
    expected[np.asarray(image) == clear] = 0
    np.testing.assert_array_equal(pixels, expected)


def test_a_transparent_colour_of_an_rgb_png_is_black() -> None:
    pixels = PIXELS.copy()
    pixels[0, 0] = (255, 255, 255)
    data = encoded(Image.fromarray(pixels), transparency=(255, 255, 255))
    assert rgb_from_bytes(data)[0, 0].tolist() == [0, 0, 0]


def deep_rgb_png() -> bytes:
    rows = b"".join(b"\0" + bytes(range(6)) * 2 for _ in range(2))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_sixteen_bit_and_float_images_are_refused() -> None:
    deep = Image.fromarray(GREY.astype(np.uint16) * 257)
    assert reason_of(encoded(deep)) == "high_bit_depth"
    assert reason_of(encoded(deep, "TIFF")) == "high_bit_depth"
    assert reason_of(encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF")) == "high_bit_depth"


def test_sixteen_bit_rgb_is_refused_although_pillow_calls_it_rgb() -> None:
    assert reason_of(deep_rgb_png()) == "high_bit_depth"


@pytest.mark.parametrize(
    ("mode", "form"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("LAB", "TIFF"), ("1", "PNG")]
)
def test_other_modes_are_refused(mode: str, form: str) -> None:
    assert reason_of(encoded(Image.new(mode, (8, 8)), form)) == "unsupported_mode"


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_a_file_of_several_images_is_refused(form: str) -> None:
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1].copy())]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    assert reason_of(data) == "multi_frame"


LARGE = np.random.default_rng(8).integers(0, 256, (64, 80, 3), np.uint8)


def mpo(*others: Image.Image, kind: int = 0) -> bytes:
    """An MPO of LARGE and other pictures, said to be of this kind: 0x010001 is a preview."""
    data = encoded(Image.fromarray(LARGE), "MPO", save_all=True, append_images=others)
    entries = data.index(b"MPF\0") + 4 + 8 + 2 + 3 * 12 + 4  # behind the three tags of the index
    for place in range(entries + 16, entries + 16 * (len(others) + 1), 16):
        data = data[:place] + struct.pack("<I", kind) + data[place + 4 :]
    return data


@pytest.mark.parametrize(("kind", "side"), [(0, 40), (0x010001, 40), (0x010002, 64)])
def test_an_mpo_whose_further_pictures_are_previews_is_its_first(kind: int, side: int) -> None:
    data = mpo(Image.fromarray(LARGE).resize((side, side)), kind=kind)
    with Image.open(BytesIO(data)) as image:
        assert (image.format, getattr(image, "n_frames", 1)) == ("MPO", 2)
    expected = np.asarray(Image.open(BytesIO(encoded(Image.fromarray(LARGE), "JPEG"))))
    np.testing.assert_array_equal(rgb_from_bytes(data), expected)


@pytest.mark.parametrize(("kind", "side"), [(0, 80), (0x020001, 40), (0x020003, 40)])
def test_an_mpo_of_several_views_is_refused(kind: int, side: int) -> None:
    picture = Image.fromarray(LARGE).resize((side, side))
    assert reason_of(mpo(picture, kind=kind)) == "multi_frame"


def test_an_mpo_with_a_damaged_index_is_refused_or_read_as_its_first() -> None:
    data = mpo(Image.fromarray(LARGE).resize((40, 40)))
    start = data.index(b"MPF\0")
    for place in range(start, start + 90):
        for byte in (b"\0", b"\xff"):
            with suppress(CellError):
                assert rgb_from_bytes(data[:place] + byte + data[place + 1 :]).shape == LARGE.shape


def test_an_image_of_nothing_is_rejected() -> None:
    plain = np.full((8, 10, 3), (200, 150, 100), np.uint8)
    plain[0, 0] += 8
    with pytest.raises(RejectedCellError, match="span 8, 8, 8 levels; expected over 8") as empty:
        cell_from_bytes(encoded(Image.fromarray(plain)))
    assert empty.value.reason == "empty_image"
    plain[0, 0, 1] += 1
    np.testing.assert_array_equal(cell_from_bytes(encoded(Image.fromarray(plain))), plain)


@pytest.mark.parametrize("row", [0, 15, 16, 17, 47])
def test_an_image_is_kept_for_any_of_its_rows(row: int) -> None:
    nearly_plain = np.full((48, 10, 3), (200, 150, 100), np.uint8)
    nearly_plain[row, 3, 2] -= 9
    data = encoded(Image.fromarray(nearly_plain))
    np.testing.assert_array_equal(cell_from_bytes(data), nearly_plain)
    nearly_plain[row, 3, 2] += 1
    with pytest.raises(RejectedCellError, match="span 0, 0, 8 levels; expected over 8"):
        cell_from_bytes(encoded(Image.fromarray(nearly_plain)))


def test_a_wholly_transparent_image_keeps_its_colours() -> None:
    clear = np.dstack([PIXELS, np.zeros_like(ALPHA)])
    np.testing.assert_array_equal(rgb_from_bytes(encoded(Image.fromarray(clear))), PIXELS)
    grey = Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (10, 8), 0)])
    np.testing.assert_array_equal(rgb_from_bytes(encoded(grey))[..., 2], GREY)


def test_an_identity_is_blake2b_of_height_width_and_pixels() -> None:
    expected = hashlib.blake2b(b"\x08\0\0\0\x0a\0\0\0" + PIXELS.tobytes(), digest_size=32).digest()
    assert identity_of(PIXELS) == expected
    assert identity_of(np.asfortranarray(PIXELS)) == expected
    assert identity_of(PIXELS.reshape(10, 8, 3)) != expected


@pytest.mark.parametrize(
    ("raised", "as_what"),
    [
        (OSError(errno.EIO, "Input/output error"), InputError),
        (MemoryError(), MemoryError),
    ],
)
def test_what_is_wrong_with_the_pc_is_not_the_cells(
    raised: Exception, as_what: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: object) -> None:
        raise raised

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(as_what) as failed:
        rgb_from_bytes(encoded(Image.fromarray(PIXELS), "BMP"))
    assert not isinstance(failed.value, CellError)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "TIFF"])
def test_a_truncated_image_is_refused(form: str) -> None:
    rng = np.random.default_rng(3)
    data = encoded(Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)), form)
    assert reason_of(data[: len(data) // 2]) == "truncated"


def test_an_image_cut_within_its_header_is_truncated() -> None:
    assert reason_of(encoded(Image.fromarray(PIXELS), "JPEG")[:15]) == "truncated"


@pytest.mark.parametrize("data", [b"Patient;Age\n", b"\0" * 100, b"<svg/>"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    assert reason_of(data) == "not_an_image"


def test_formats_that_analyzers_do_not_write_are_not_decoded() -> None:
    assert reason_of(encoded(Image.fromarray(PIXELS), "PPM")) == "not_an_image"


@pytest.mark.parametrize(
    ("form", "name"), [("GIF", "GIF"), ("JPEG2000", "JPEG 2000"), ("WEBP", "WebP")]
)
def test_another_format_is_named(form: str, name: str) -> None:
    with pytest.raises(CellError) as refused:
        rgb_from_bytes(encoded(Image.fromarray(PIXELS), form))
    assert refused.value.reason == "unsupported_format"
    assert str(refused.value).startswith(f"the image is in {name}; expected a JPEG, PNG, BMP or")


@pytest.mark.parametrize(
    ("marker", "bits", "reason", "told"),
    [
        (0xC0, 12, "high_bit_depth", "expected 8 bits per channel, found 12"),
        (0xC3, 8, "unsupported_format", "the JPEG is lossless or arithmetically coded"),
    ],
)
def test_a_jpeg_of_another_kind_is_not_called_damaged(
    marker: int, bits: int, reason: str, told: str
) -> None:
    data = bytearray(encoded(Image.fromarray(PIXELS), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 1], data[frame + 4] = marker, bits
    with pytest.raises(CellError, match=told) as refused:
        rgb_from_bytes(bytes(data))
    assert refused.value.reason == reason


@pytest.mark.parametrize("order", ["II", "MM"])
def test_a_tiff_that_is_packed_in_another_way_says_so(order: str) -> None:
    how = "<" if order == "II" else ">"
    entries = [(256, 4, 8), (257, 4, 8), (259, 3, 33003)]
    packed = struct.pack(f"{how}2sHIH", order.encode(), 42, 8, len(entries))
    for tag, kind, value in entries:
        short = struct.pack(f"{how}HH", value, 0) if kind == 3 else struct.pack(f"{how}I", value)
        packed += struct.pack(f"{how}HHI", tag, kind, 1) + short
    with pytest.raises(CellError, match="the TIFF is packed by method 33003; expected a JPEG"):
        rgb_from_bytes(packed + bytes(200))


def test_large_profiles_and_texts_of_a_png_are_passed_over() -> None:
    expected = rgb_from_bytes(encoded(Image.fromarray(PIXELS), "PNG"))
    texts = PngInfo()
    texts.add_text("Comment", "x" * 30_000_000, zip=True)
    profile = np.random.default_rng(0).bytes(3_000_000)
    data = encoded(Image.fromarray(PIXELS), "PNG", pnginfo=texts, icc_profile=profile)
    assert np.array_equal(rgb_from_bytes(data), expected)


def test_an_empty_file_is_refused() -> None:
    assert reason_of(b"") == "empty_file"


@pytest.mark.parametrize("side", [5_000, 10_000, 30_000])
def test_too_many_pixels_are_refused_without_room_for_them(side: int) -> None:
    tracemalloc.start()
    reason = reason_of(png_header(side, side))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reason == "too_many_pixels"
    assert peak < 2_000_000


def test_pillow_does_not_warn_of_what_is_refused_or_repaired() -> None:
    tiff = encoded(Image.fromarray(PIXELS), "TIFF")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        reason_of(png_header(10_000, 10_000))
        for position in range(8, len(tiff)):
            with suppress(CellError):
                rgb_from_bytes(tiff[:position] + b"\xff" + tiff[position + 1 :])
    assert seen == []


def test_many_threads_decode_the_same_pixels_and_leave_the_warning_filters_alone() -> None:
    images = [encoded(Image.fromarray(np.roll(PIXELS, i, axis=1))) for i in range(64)]
    filters = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        decoded = list(pool.map(rgb_from_bytes, images))
    for i, pixels in enumerate(decoded):
        np.testing.assert_array_equal(pixels, np.roll(PIXELS, i, axis=1))
    assert list(warnings.filters) == filters


def test_a_cell_is_centred_on_black_with_the_odd_margin_at_the_bottom_and_right() -> None:
    canvas = place_on_canvas(PIXELS, 13, "reject")
    assert canvas.shape == (13, 13, 3)
    np.testing.assert_array_equal(canvas[2:10, 1:11], PIXELS)
    assert canvas.sum() == PIXELS.sum()


def test_a_larger_cell_is_cropped_at_its_centre() -> None:
    np.testing.assert_array_equal(place_on_canvas(PIXELS, 5, "crop"), PIXELS[1:6, 2:7])


def test_only_the_larger_side_is_cropped() -> None:
    canvas = place_on_canvas(PIXELS, 9, "crop")
    np.testing.assert_array_equal(canvas[:8], PIXELS[:, 0:9])
    assert canvas[8].max() == 0


def test_a_cell_of_the_canvas_size_is_unchanged_and_a_copy() -> None:
    square = PIXELS[:, :8].copy()
    canvas = place_on_canvas(square, 8, "reject")
    np.testing.assert_array_equal(canvas, square)
    assert not np.shares_memory(canvas, square)


def test_a_larger_cell_is_rejected_where_the_model_says_so() -> None:
    with pytest.raises(CellError, match="10 x 8 px; expected at most 9 x 9") as refused:
        place_on_canvas(PIXELS, 9, "reject")
    assert refused.value.reason == "larger_than_canvas"


@pytest.mark.real_data
def test_real_cells_of_three_scanners_are_read(shared_data: Path) -> None:
    sizes = {
        scanner: {
            rgb_from_bytes(path.read_bytes()).shape
            for path in (shared_data / "cells" / scanner).glob("*/*")
        }
        for scanner in ("barcelona", "munich", "raabin")
    }
    assert sizes["munich"] == {(400, 400, 3)}
    assert sizes["raabin"] == {(575, 575, 3)}
    assert (363, 360, 3) in sizes["barcelona"]


@pytest.mark.real_data
def test_an_opaque_rgba_tiff_keeps_its_colours(shared_data: Path) -> None:
    for path in (shared_data / "cells" / "munich").glob("*/*.tiff"):
        with Image.open(path) as image:
            assert image.mode == "RGBA"
            expected = np.asarray(image)[..., :3]
        np.testing.assert_array_equal(rgb_from_bytes(path.read_bytes()), expected)


def test_a_damaged_header_that_pillow_takes_for_a_lack_of_memory_is_the_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(_: object) -> None:
        raise OSError("out of memory when reading image file")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert reason_of(encoded(Image.fromarray(PIXELS), "BMP")) == "truncated"
