"""What nobody expects fails one smear alone, and what is optional never stops a score."""

import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tiny import Ended, case_files, cell_pixels, kept, rewritten, there, write_case

from export.encoder import onnx_from_file
from export.inputs import load_classifier, mask_network_at
from vexas_edge import open_bundle
from vexas_edge.cells import images
from vexas_edge.cells.images import cell_from_bytes
from vexas_edge.commands.smears import net
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import BundleError, CellError, InputError, UsageError
from vexas_edge.host import cache
from vexas_edge.host.cache import FOLDER_VARIABLE, cache_folder, find_value, store
from vexas_edge.inputs import arrays_from_npz
from vexas_edge.runtime.choice import Measured, choose, key_on_this_pc, remember
from vexas_edge.smear.cohort import read_cohort
from vexas_edge.smear.sources import open_source
from vexas_edge.smear.vocabulary import vocabulary_from

Run = Callable[..., Ended]


@pytest.fixture
def cases(tmp_path: Path) -> list[Path]:
    return [write_case(tmp_path / name, seed, neutrophil=8) for seed, name in enumerate("ABC")]


# The net


def test_a_bug_fails_its_smear_alone_and_is_told_with_its_traceback(
    vexas_edge: Run,
    tiny_bundle: Path,
    cases: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(net, "ESCAPED", (Exception,))
    sound = images._rgb
    calls: list[int] = []

    def rgb(image: Image.Image) -> Image.Image:
        calls.append(1)
        if len(calls) == 12:  # in the second smear
            raise BufferError("of nobody's making")
        return sound(image)

    monkeypatch.setattr(images, "_rgb", rgb)
    out = tmp_path / "out"
    asked = ("--threads", "1", "--bundle", tiny_bundle, "-o", out)
    ended = vexas_edge("score", *cases, *asked)
    assert ended.status == 1
    assert [kept(out, name)["status"] for name in "ABC"] == ["scored", "failed", "scored"]
    assert kept(out, "B")["error"].startswith(
        "vexas-edge met a bug of its own (BufferError in test_no_input_ends_a_batch.py, line "
    )
    assert "Traceback (most recent call last):" in ended.err
    assert "BufferError: of nobody's making" in ended.err


def test_the_tests_have_no_net(
    vexas_edge: Run, tiny_bundle: Path, cases: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def rgb(_: Image.Image) -> Image.Image:
        raise BufferError("of nobody's making")

    monkeypatch.setattr(images, "_rgb", rgb)
    with pytest.raises(BufferError):
        vexas_edge("score", cases[0], "--threads", "1", "--bundle", tiny_bundle)


# Images, zips and bundles


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png_of_a_palette_without_one() -> bytes:
    """A palette PNG that lacks its palette; 68 bytes ended a batch of four smears."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 3, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 9 * 8))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def test_a_palette_png_without_a_palette_is_damaged() -> None:
    with pytest.raises(CellError) as refused:
        cell_from_bytes(png_of_a_palette_without_one())
    assert refused.value.reason == "truncated"


def tiff_with(tag: int, kind: int, count: int, value: bytes) -> bytes:
    """A TIFF of 8 x 8 px with one entry of its directory replaced."""
    stream = io.BytesIO()
    Image.fromarray(cell_pixels(1)[:8, :8]).save(stream, "TIFF")
    data = bytearray(stream.getvalue())
    first = struct.unpack("<I", data[4:8])[0]
    for number in range(struct.unpack("<H", data[first : first + 2])[0]):
        at = first + 2 + 12 * number
        if struct.unpack("<H", data[at : at + 2])[0] == tag:
            data[at + 2 : at + 12] = struct.pack("<HI", kind, count) + value
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        tiff_with(256, 2, 4, b"abc\0"),  # a width in letters
        tiff_with(257, 5, 1, b"\0\0\0\0"),  # a height that is a fraction
        tiff_with(258, 7, 4, b"\xff\xff\xff\xff"),  # bits of no known type
        tiff_with(277, 12, 1, b"\xff\xff\xff\xff"),  # a number of channels far away
        tiff_with(256, 4, 1, b"\xff\xff\xff\xff"),  # the widest there is
    ],
)
def test_a_tiff_of_odd_entries_is_a_cell_that_cannot_be_used(data: bytes) -> None:
    reasons = {"truncated", "not_an_image", "too_many_pixels", "unsupported_mode"}
    with pytest.raises(CellError) as refused:
        cell_from_bytes(data)
    assert refused.value.reason in reasons


def test_a_jpeg_of_very_many_scans_is_not_decoded() -> None:
    stream = io.BytesIO()
    Image.fromarray(cell_pixels(1)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(
        CellError, match="the JPEG has 5010 scans, over 200; expected a JPEG"
    ) as bad:
        cell_from_bytes(data[:-2] + scan * 5000 + data[-2:])
    assert bad.value.reason == "unsupported_format"


def test_a_zip_with_a_nameless_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "P1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), b"x")
    with pytest.raises(InputError, match="P1.zip"):
        open_source(path)


def test_a_manifest_that_is_no_utf8_or_nested_without_end_is_refused(tmp_path: Path) -> None:
    for number, text in enumerate((b'{"schema_version": 7, "name": "\xff"}', b"[" * 100_000)):
        path = tmp_path / f"{number}.vxb"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("manifest.json", text)
        with pytest.raises(BundleError, match="manifest.json is not valid"):
            open_bundle(path)


def test_a_card_that_is_no_utf8_is_shown_as_far_as_it_is(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = rewritten(tiny_bundle, tmp_path / "b.vxb", {"card.md": b"A card \xff"})
    assert open_bundle(bundle).card() == "A card \ufffd"


def npy(shape: str, content: bytes = b"") -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize(
    "content", [b"\x93NUMPY", b"", b"import os", b"(" * 5000, npy(f"({10**30},)"), npy("(-1,)")]
)
def test_a_classifier_of_rubbish_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pn.skops"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "schema.json",
            '{"__class__": "ndarray", "__module__": "numpy", "__loader__":'
            ' "NdArrayNode", "content": {"type": "numpy", "file": "a.npy"}, "protocol": 2}',
        )
        archive.writestr("a.npy", content)
    with pytest.raises(InputError, match=r"pn.skops is not a readable skops file \("):
        load_classifier(path)


# Bounds


@pytest.mark.parametrize("shape", ["(9999999999,)", "(1, 2, 3, 99999999)", "(4,)"])
def test_an_array_that_claims_more_than_it_has_is_not_made_room_for(shape: str) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("cells.npy", npy(shape, b"12345678"))
    with pytest.raises(ValueError, match=r"cells.npy has \d+ bytes, and its header claims \d+"):
        arrays_from_npz(stream.getvalue())


def test_arrays_that_unpack_to_more_than_any_that_are_meant_are_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cells.npy", npy("(20000000,)", bytes(160_000_000)))
    assert len(stream.getvalue()) < 1_000_000
    with pytest.raises(ValueError, match="its arrays have over 134217728 bytes"):
        arrays_from_npz(stream.getvalue())


@pytest.mark.parametrize("part", [b"\xff\xfe\0\2", b"\xff"])  # a comment, nothing
def test_a_jpeg_of_very_many_parts_is_not_decoded(part: bytes) -> None:
    stream = io.BytesIO()
    Image.fromarray(cell_pixels(1)).save(stream, "JPEG")
    data = stream.getvalue()
    with pytest.raises(CellError, match="the JPEG's header has over 10000 parts") as bad:
        cell_from_bytes(data[:2] + part * 20_000 + data[2:])
    assert bad.value.reason == "unsupported_format"
    few = cell_from_bytes(data[:2] + part * 1000 + data[2:])
    assert (few == cell_from_bytes(data)).all()


@pytest.mark.parametrize("kind", [b"tEXt", b"abCd", b"IDAT"])
def test_a_png_of_very_many_parts_is_not_decoded(kind: bytes) -> None:
    stream = io.BytesIO()
    Image.fromarray(cell_pixels(1)).save(stream, "PNG")
    data, after_header = stream.getvalue(), 8 + 25
    with pytest.raises(CellError, match="the PNG has over 100000 parts") as bad:
        cell_from_bytes(data[:after_header] + chunk(kind, b"") * 100_000 + data[after_header:])
    assert bad.value.reason == "unsupported_format"
    few = cell_from_bytes(data[:after_header] + chunk(kind, b"") * 1000 + data[after_header:])
    assert (few == cell_from_bytes(data)).all()


def test_a_table_larger_than_any_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cohort.csv"
    path.write_bytes(b"patient,sample,path,label,split\n" + b"1,1,1,1,1\n" * 500_000)
    with pytest.raises(InputError, match=r"cohort.csv has over 4194304 bytes; split it"):
        read_cohort(path)


def test_more_arrays_than_any_that_are_meant_are_not_listed() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(1001):
            archive.writestr(f"{number}.npy", npy("(1,)", b"12345678"))
    with pytest.raises(ValueError, match="it holds more than 1000 files"):
        arrays_from_npz(stream.getvalue())


def test_a_card_longer_than_any_is_not_read(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = rewritten(tiny_bundle, tmp_path / "b.vxb", {"card.md": b"x" * ((1 << 20) + 1)})
    with pytest.raises(BundleError, match=r"card.md is larger than the 1048576 bytes it may have"):
        open_bundle(bundle).card()


def test_a_classifier_that_unpacks_to_very_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pn.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b'{"a": [' + b"{}," * (2 << 20) + b"{}]}")
    with pytest.raises(InputError, match="its schema unpacks to more than that of any classifier"):
        load_classifier(path)


def wide_end(n_files: int, n_bytes: int, n_said_shortly: int = 3) -> bytes:
    """The end of a zip whose list has so many files and bytes."""
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, n_said_shortly, n_said_shortly, 46, 0, 0)
    wide = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, n_files, n_files, n_bytes, 0)
    return wide + struct.pack("<IIQI", 0x07064B50, 0, 0, 1) + end


@pytest.mark.parametrize(
    "content",
    [
        wide_end(10**7, 46 * 10**7),
        wide_end(10**7, 46 * 10**7, n_said_shortly=0xFFFF),
        wide_end(3, 46 * 10**7),  # a list that is far longer than it says
        bytes(46) + wide_end(10**7, 46 * 10**7),
    ],
)
def test_a_zip_of_too_many_files_is_refused_before_they_are_listed(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "P1.zip"
    path.write_bytes(content)
    with pytest.raises(InputError, match="holds more than 100000 files"):
        open_source(path)
    with pytest.raises(BundleError, match="holds more than 10000 files"):
        open_bundle(path)


@pytest.mark.parametrize(
    "text",
    [
        "[classes]\n" + "a." * 8000 + 'b = "blast"\n',  # 2.3 GiB for 40 kB
        "[classes]\nx = " + "[" * 5000,
        "[" + "a." * 5000 + "b]\n",
        "x = " + "{a = " * 500,
        "[classes]\n" + '"=".' * 20_000 + "b = 1\n",
        "[classes]\n" + '\'[]\'."a\\"=".' * 20 + "b = 1\n",
        'x = """a\\""" b"""\ny = ' + "[" * 20,
    ],
)
def test_a_class_map_that_is_nested_without_end_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match="it is nested deeper than 16 times"):
        vocabulary_from(str(path))


@pytest.mark.parametrize(
    "text",
    [
        "# Our classes ................................ [[[[[[[[[[[[[[[[[[[[\n",
        "# [\n" * 40,
        '"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s" = "blast"\n',
        "'[[[[[[[[[[[[[[[[[[[[[' = 'blast'\n",
    ],
)
def test_what_stands_in_texts_and_comments_is_no_nesting(tmp_path: Path, text: str) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(f'[classes]\nXX = "lymphocyte"\n{text}')
    assert vocabulary_from(str(path)).classes["xx"] == "lymphocyte"


@pytest.mark.parametrize(
    "text",
    [
        "[classes]\na = 0x" + "f" * 200_000,
        '[classes]\na = "' + "b" * 200_000 + '"',
        "a" * 100_000 + " = 1",
        'extends = "' + "b" * 200_000 + '"\n[classes]\na = "blast"',
        'extends = ["cellavision"]\n[classes]\na = "blast"',
    ],
)
def test_what_is_refused_is_not_shown_in_full(tmp_path: Path, text: str) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        vocabulary_from(str(path))
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = " + "9" * 5000, "Exceeds the limit"),
        ("#" * 300_000, "over 262144"),
        ("a" * 200_000, "not valid TOML"),
    ],
)
def test_a_class_map_of_huge_numbers_or_size_is_refused(
    tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=told):
        vocabulary_from(str(path))


# Pipes and devices


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
@pytest.mark.parametrize("what", ["cohort", "worklist", "class map"])
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(
    vexas_edge: Run, tiny_bundle: Path, cases: list[Path], tmp_path: Path, what: str
) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    if what == "cohort":
        with pytest.raises(InputError, match="cannot be read: it is not a file"):
            read_cohort(pipe)
        return
    asked = ("--worklist", pipe) if what == "worklist" else ("--class-map", pipe)
    ended = vexas_edge("score", cases[0], "--bundle", tiny_bundle, *asked)
    assert ended.status in (2, 5)
    assert "it is not a file" in ended.err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
@pytest.mark.parametrize(
    "place", ["lock.json", "journal.jsonl", "cases/000002-A.json", "cases.csv", "watch.json"]
)
def test_a_pipe_in_a_results_folder_is_not_waited_for(
    vexas_edge: Run, tiny_bundle: Path, cases: list[Path], tmp_path: Path, place: str
) -> None:
    out = tmp_path / "out"
    asked = ("--bundle", tiny_bundle, "-o", out)
    assert vexas_edge("score", cases[0], *asked).status == 0
    (out / place).unlink(missing_ok=True)
    os.mkfifo(out / place)
    for command in (
        ("results", "verify", out),
        ("score", cases[1], *asked),
        ("watch", "--status", out),
    ):
        assert "Traceback" not in vexas_edge(*command).err


@pytest.mark.parametrize(
    "content", [b'{"host":"\xff"}', b"[" * 60_000, b'{"host":"a","pid":99999999999,"started":""}']
)
def test_a_lock_of_rubbish_is_told_in_words(
    vexas_edge: Run, tiny_bundle: Path, cases: list[Path], tmp_path: Path, content: bytes
) -> None:
    out = tmp_path / "out"
    asked = ("--bundle", tiny_bundle, "-o", out)
    assert vexas_edge("score", cases[0], *asked).status == 0
    (out / "lock.json").write_bytes(content)
    ended = vexas_edge("score", cases[1], *asked)
    assert ended.status in (0, 4)
    assert "Traceback" not in ended.err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such device")
def test_a_device_is_no_key_and_no_baseline(
    vexas_edge: Run, tiny_bundle: Path, cases: list[Path]
) -> None:
    ended = vexas_edge("score", cases[0], "--bundle", tiny_bundle, "--hash-ids", "/dev/zero")
    assert ended.status == 2
    assert "it is not a file" in ended.err
    ended = vexas_edge("bench", "--bundle", tiny_bundle, "--baseline", "/dev/zero")
    assert ended.status == 5
    assert "it is not a file" in ended.err


# The cache


FORGED = (
    b"",
    b"null",
    b"{}",
    b"[1, 2",
    b'[{"engine": "openvino"}]',
    b'[{"engine": "x", "device": "cpu", "precision": "fp32"}]',
    b"[" * 100_000,
    b"\xff\xfe\0",
)


@pytest.mark.parametrize("content", FORGED)
def test_a_forged_cache_is_a_miss(tiny_bundle: Path, content: bytes) -> None:
    bundle = open_bundle(tiny_bundle)
    expected = choose(bundle, EngineOptions(), "auto")
    store("prepared", key_on_this_pc(bundle), content)
    store("fitting", key_on_this_pc(bundle), content)
    options, graph = choose(bundle, EngineOptions(), "auto")
    assert (options, graph.file) == (expected[0], expected[1].file)
    assert find_value("fitting", key_on_this_pc(bundle), "bundle", dict[str, int])[0] in (None, {})


@pytest.mark.parametrize("spoil", ["rubbish", "a folder", "no header", "nested"])
def test_an_entry_that_is_anything_else_is_a_miss(tiny_bundle: Path, spoil: str) -> None:
    bundle = open_bundle(tiny_bundle)
    path = store("prepared", key_on_this_pc(bundle), b"[]")
    if spoil == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(
            {"rubbish": b"\0\xff", "no header": b"[]\nx", "nested": b"[" * 99_999}[spoil]
        )
    _, graph = choose(bundle, EngineOptions(), "auto")
    assert "not prepared: the cache entry" in graph.reason


def scores_of(run: Run, bundle: Path, case: Path, out: Path) -> list[object]:
    ended = run("score", case, "--bundle", bundle, "-o", out)
    assert ended.status == 0
    return [model["score"] for model in kept(out, case.name)["models"]]


@pytest.mark.parametrize("cache_is", ["rubbish", "read-only", "a file", "not there"])
def test_the_score_is_the_same_whatever_the_cache_is(
    vexas_edge: Run,
    tiny_bundle: Path,
    tiny_case: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache_is: str,
) -> None:
    expected = scores_of(vexas_edge, tiny_bundle, tiny_case, tmp_path / "expected")
    folder = tmp_path / "cache"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    if cache_is == "a file":
        folder.write_bytes(b"no folder")
    elif cache_is != "not there":
        folder.mkdir()
        remember(
            open_bundle(tiny_bundle),
            [Measured(engine="onnxruntime", device="cpu", precision="fp32", ms_per_cell=1.0)],
        )
        for entry in folder.iterdir():
            if cache_is == "rubbish":
                entry.write_bytes(os.urandom(64))
        folder.chmod(0o500)
        if cache_is == "read-only" and os.access(folder, os.W_OK):
            pytest.skip("this user, as root, may write everywhere")
    assert scores_of(vexas_edge, tiny_bundle, tiny_case, tmp_path / "out") == expected


def test_without_a_home_there_is_no_cache_and_the_score_is_the_same(
    vexas_edge: Run,
    tiny_bundle: Path,
    tiny_case: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = scores_of(vexas_edge, tiny_bundle, tiny_case, tmp_path / "expected")
    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.setattr(cache, "user_cache_path", lambda *_, **__: Path("~/.cache/vexas-edge"))
    monkeypatch.chdir(tmp_path)
    assert cache_folder() == Path(os.devnull, "vexas-edge")
    assert scores_of(vexas_edge, tiny_bundle, tiny_case, tmp_path / "out") == expected
    ended = vexas_edge("doctor")
    assert "cache folder" in ended.err + ended.out
    assert "set VEXAS_EDGE_CACHE to a folder of yours" in ended.err + ended.out
    assert not (tmp_path / "~").exists()


# What is printed


def test_what_pillow_warns_of_is_not_printed(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(cell_pixels(1)).save(stream, "PNG")
    data = stream.getvalue()
    odd = data[:33] + chunk(b"acTL", struct.pack(">II", 0, 0)) + data[33:]
    with pytest.warns(UserWarning, match="Invalid APNG"):
        Image.open(io.BytesIO(odd)).load()
    case = write_case(tmp_path / "P1", neutrophil=2)
    next(case.rglob("*.png")).write_bytes(odd)
    ended = subprocess.run(
        [sys.executable, "-W", "always", "-m", "vexas_edge", "scan", case],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0
    assert "Warning" not in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such device")
def test_a_full_stdout_is_one_line_and_costs_no_result_that_is_kept(
    tiny_bundle: Path, cases: list[Path], tmp_path: Path
) -> None:
    asked: list[str | Path] = [sys.executable, "-m", "vexas_edge", "score", *cases]
    asked += ["--bundle", tiny_bundle]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(asked, stdout=full, stderr=subprocess.PIPE, text=True)
        assert ended.returncode == 4
        assert "error: stdout cannot be written: No space left on device; give" in ended.stderr
        assert "Traceback" not in ended.stderr
        kept_too = [*asked, "-o", tmp_path / "out"]
        ended = subprocess.run(kept_too, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 0
    assert case_files(tmp_path / "out") == ["A", "B", "C"]


def test_a_reader_that_goes_away_does_not_end_a_batch_that_is_kept(
    tiny_bundle: Path, cases: list[Path], tmp_path: Path
) -> None:
    asked: list[str | Path] = [sys.executable, "-m", "vexas_edge", "score", *cases]
    asked += ["--bundle", tiny_bundle]
    with subprocess.Popen(
        [*asked, "-o", tmp_path / "out"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        there(process.stdout).close()
        assert "Traceback" not in there(process.stderr).read()
    assert process.returncode == 0
    assert case_files(tmp_path / "out") == ["A", "B", "C"]


# A file where a folder is meant, and a folder where a file is


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("score CASE --bundle BUNDLE -o FILE", 4, "results folder FILE cannot be written"),
        ("score CASE --bundle FOLDER", 6, "FOLDER is not a bundle: it holds no manifest.json"),
        ("score CASE --bundle BUNDLE --class-map FOLDER", 2, "cannot be read (Is a directory)"),
        ("score CASE --bundle BUNDLE --worklist FOLDER", 5, "cannot be read: Is a directory"),
        ("watch FILE --bundle BUNDLE -o out", 5, "FILE is no folder; expected the one that smears"),
        ("results verify FILE", 5, "FILE is no results folder"),
        ("results table FILE -o x.csv", 5, "FILE is no results folder"),
        ("report FILE --input CASE", 5, "FILE is no result; name a file of cases/"),
        ("report FOLDER --input CASE", 5, "FOLDER is no result; name a file of cases/"),
        ("report FOLDER --no-images -o x.html", 5, "FOLDER is no result; name a file of cases/"),
        ("replay FOLDER --input CASE --bundle BUNDLE", 5, "FOLDER is no result; name a file"),
        ("bench --bundle BUNDLE -o FOLDER", 4, "FOLDER is a folder; name a file"),
        ("bench --bundle BUNDLE --plot FOLDER", 4, "FOLDER is a folder; name a file"),
    ],
)
def test_a_file_where_a_folder_is_meant_is_told_before_any_work(
    vexas_edge: Run,
    tiny_bundle: Path,
    cases: list[Path],
    tmp_path: Path,
    command: str,
    status: int,
    said: str,
) -> None:
    places = {"FILE": tmp_path / "file", "FOLDER": tmp_path / "folder"}
    places["FILE"].write_bytes(b"no folder")
    places["FOLDER"].mkdir()
    places |= {"CASE": cases[0], "BUNDLE": tiny_bundle}
    ended = vexas_edge(*(places.get(word, word) for word in command.split()))
    assert ended.status == status
    for word, place in places.items():
        said = said.replace(word, str(place))
    assert said in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (load_classifier, "classifier {} is a folder; expected a file"),
        (onnx_from_file, "encoder {} is a folder; expected a file"),
        (read_cohort, "cohort {} cannot be read: Is a directory"),
        (mask_network_at, "mask network {} cannot be read: Is a directory"),
    ],
)
def test_a_folder_in_place_of_what_is_exported_is_told(
    read: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as refused:
        read(tmp_path)
    assert str(refused.value) == said.format(tmp_path)


def test_a_mask_network_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match=r"m.onnx cannot be used: it is not an ONNX file"):
        mask_network_at(tmp_path / "m.onnx")
