"""Bad input to scoring, through the real command line: one line that says what, and its status.

Each test shows the whole message, that nothing is half-written, and that nothing is lost.
"""

import csv
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import (
    NO_GATE,
    Ended,
    case_files,
    cell_pixels,
    folder_from_bundle,
    kept,
    png,
    recorded,
    rewritten,
    write_case,
)

from vexas_edge import files
from vexas_edge.bundle.manifest import MANIFEST_SCHEMA
from vexas_edge.host.libraries import load_library
from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.runtime.choice import int8_file

onnxruntime = load_library("onnxruntime")

Score = Callable[..., Ended]


@pytest.fixture
def score(vexas_edge: Callable[..., Ended], tiny_bundle: Path) -> Score:
    """Scores with the tiny bundle."""

    def score(*arguments: str | Path, bundle: Path = tiny_bundle) -> Ended:
        ended = vexas_edge("score", *arguments, "--bundle", bundle)
        assert "Traceback" not in ended.err
        return ended

    return score


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A smear of twelve good neutrophils that a test may spoil."""
    return write_case(tmp_path / "P1", neutrophil=12)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def column(path: Path, name: str) -> list[str]:
    with path.open(encoding="utf-8", newline="") as stream:
        return [row[name] for row in csv.DictReader(stream)]


# Cases


def test_a_missing_folder(score: Score, tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    assert score(path) == Ended(
        status=5,
        out="",
        err=f"error: nowhere: {path} was not found; expected the folder or .zip of one smear\n",
    )


def test_an_empty_folder(score: Score, tmp_path: Path) -> None:
    (tmp_path / "P1").mkdir()
    assert score(tmp_path / "P1") == Ended(
        status=5,
        out="",
        err=f"error: P1: {tmp_path / 'P1'} is empty; expected the images of one smear\n",
    )


def test_a_folder_without_an_image(score: Score, tmp_path: Path) -> None:
    (tmp_path / "P1").mkdir()
    (tmp_path / "P1" / "notes.txt").write_text("x")
    assert score(tmp_path / "P1") == Ended(
        status=5,
        out="",
        err=f"error: P1: {tmp_path / 'P1'} holds no cell to score (not_an_image 1); expected "
        "images (.jpg .jpeg .jpe .jif .jfif .png .bmp .tif .tiff) in class folders or with class "
        "prefixes\n",
    )


def test_only_unknown_classes(score: Score, tmp_path: Path) -> None:
    path = write_case(tmp_path / "P1", Purple=3)
    assert score(path, "--layout", "folders") == Ended(
        status=5,
        out="",
        err=f"error: P1: {path} holds no cell to score (unknown_class 3); "
        "name the unknown classes in a file for --class-map: 'Purple' 3\n",
    )


def test_some_unknown_classes(score: Score, case: Path) -> None:
    write_case(case, seed=1, Purple=3)
    ended = score(case)
    assert ended.status == 0
    assert ended.err == (
        "note: P1: files that were not scored: unknown_class 3 (see vexas-edge scan)\n"
    )


def test_a_case_that_is_no_zip(score: Score, tmp_path: Path) -> None:
    path = tmp_path / "P1.zip"
    path.write_bytes(b"no zip")
    assert score(path) == Ended(
        status=5,
        out="",
        err=f"error: P1: {path} is not a readable zip (File is not a zip file); "
        "expected the folder or .zip of one smear\n",
    )


def test_a_case_whose_zip_holds_a_path_out_of_it(score: Score, tmp_path: Path) -> None:
    path = tmp_path / "P1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../neutrophil/1.png", png(cell_pixels(1)))
    assert score(path) == Ended(
        status=5,
        out="",
        err=f"error: P1: {path} holds '../neutrophil/1.png', which is not a path inside the zip; "
        "the zip is not read\n",
    )


def test_one_bad_case_does_not_keep_the_others_from_being_scored(
    score: Score, case: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = score(tmp_path / "nowhere", case, "-o", out)
    assert ended.status == 7
    assert ended.out.startswith(f"{NO_GATE}: P1: scored: ")
    assert case_files(out) == ["nowhere", "P1"]
    assert column(out / "cases.csv", "status") == ["failed", "scored", "abstained", "abstained"]
    assert kept(out, "nowhere")["error"].endswith(
        "was not found; expected the folder or .zip of one smear"
    )


# Cells


def jpeg(**options: bool) -> bytes:
    file = io.BytesIO()
    Image.fromarray(cell_pixels(3)).save(file, "JPEG", **options)
    return file.getvalue()


def cmyk() -> bytes:
    file = io.BytesIO()
    Image.fromarray(cell_pixels(3)).convert("CMYK").save(file, "JPEG")
    return file.getvalue()


def animated() -> bytes:
    file = io.BytesIO()
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 90)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    return file.getvalue()


def sixteen_bit() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 999).save(file, "PNG")
    return file.getvalue()


def huge() -> bytes:
    """A PNG that promises 30,000 x 30,000 pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    end = b"\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + chunk + struct.pack(">I", zlib.crc32(chunk)) + end


BAD_CELLS = {
    "empty.jpg": (b"", "empty_file", "the file is empty; was it still being copied?"),
    "text.jpg": (b"Dear all,", "not_an_image", "expected a JPEG, PNG, BMP or TIFF image"),
    "cut.jpg": (jpeg()[:-200], "truncated", "the image is cut short or damaged"),
    "huge.png": (huge(), "too_many_pixels", "the image is too large: "),
    "cmyk.jpg": (cmyk(), "unsupported_mode", "expected RGB, grey or palette, found CMYK"),
    "animated.png": (
        animated(),
        "multi_frame",
        "the file holds several images; expected one cell per file",
    ),
    "deep.png": (sixteen_bit(), "high_bit_depth", "expected 8 bits per channel, found more"),
    "large.png": (
        png(cell_pixels(1)[:1].repeat(17, 0)[:, :5].repeat(4, 1)),
        "larger_than_canvas",
        "the cell is 20 x 17 px; expected at most 16 x 16, the model's canvas",
    ),
}


@pytest.mark.parametrize("name", BAD_CELLS)
def test_a_cell_that_cannot_be_used_is_named_and_the_rest_scored(
    score: Score, case: Path, tmp_path: Path, name: str
) -> None:
    alone = score(case)
    content, reason, detail = BAD_CELLS[name]
    (case / "neutrophil" / name).write_bytes(content)
    ended = score(case, "-o", tmp_path / "out")
    assert (ended.status, ended.out) == (0, alone.out)
    warning = ended.err.splitlines()[0]
    assert warning.startswith(f"warning: P1: neutrophil/{name}: {detail}")
    (unreadable,) = kept(tmp_path / "out", "P1")["unreadable"]
    assert (unreadable["path"], unreadable["reason"]) == (f"neutrophil/{name}", reason)
    assert column(tmp_path / "out" / "cells.csv", "reason").count(reason) == 1


def test_a_larger_cell_is_cropped_where_the_manifest_says_so(score: Score, tmp_path: Path) -> None:
    path = write_case(tmp_path / "P1", monocyte=5)
    (path / "monocyte" / "large.png").write_bytes(
        png(cell_pixels(1)[:1].repeat(17, 0)[:, :5].repeat(4, 1))
    )
    ended = score(path, "--json")
    assert (ended.status, ended.err) == (0, "")
    assert json.loads(ended.out)["models"][1]["n_cells"] == 6


def test_a_smear_of_which_no_image_can_be_read_is_failed(
    score: Score, case: Path, tmp_path: Path
) -> None:
    for path in (case / "neutrophil").iterdir():
        path.write_bytes(b"")
    assert score(case) == Ended(
        status=5,
        out="",
        err="error: P1: none of its 12 images can be read (neutrophil/0.png: the file is empty; "
        "was it still being copied?); export or copy the smear again\n",
    )
    other = write_case(tmp_path / "P2", neutrophil=12)
    assert score(case, other).status == 7


def test_a_smear_with_a_single_good_cell_abstains(score: Score, case: Path) -> None:
    for path in sorted((case / "neutrophil").iterdir())[1:]:
        path.write_bytes(b"")
    ended = score(case)
    assert ended.status == 3
    assert ended.out.startswith(
        f"{NO_GATE}: P1: abstained: neutrophil abstained: 1 cell can be used (beside 11 "
        "unreadable), at least 5 needed: export more (too_few_cells), and 92 % of the cells (11 "
        "of 12) could not be read, 10 % may be: export or copy the smear again "
        "(too_many_unreadable); monocyte "
    )


# Bundles


def refused(score: Score, case: Path, bundle: Path, tmp_path: Path) -> str:
    """What is said of a bundle; nothing is printed or written of the case."""
    ended = score(case, "-o", tmp_path / "out", bundle=bundle)
    assert (ended.status, ended.out, ended.err.count("\n")) == (6, "", 1)
    assert not (tmp_path / "out").exists() or case_files(tmp_path / "out") == []
    return ended.err.replace(str(bundle), "BUNDLE")


def test_no_bundle(score: Score, case: Path, tmp_path: Path) -> None:
    said = refused(score, case, tmp_path / "nowhere.vxb", tmp_path)
    assert said == "error: no bundle at BUNDLE; expected a .vxb file or its folder\n"


def test_a_bundle_with_a_flipped_byte(
    score: Score, case: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    bundle = folder_from_bundle(tiny_bundle, tmp_path / "b")
    graph = bundle / "models" / "neutrophil" / "fused.fp32.onnx"
    content = bytearray(graph.read_bytes())
    content[5000] ^= 1
    graph.write_bytes(content)
    assert refused(score, case, bundle, tmp_path) == (
        "error: BUNDLE: models/neutrophil/fused.fp32.onnx is not what the manifest says (changed "
        "or damaged); copy the bundle again from where it came from\n"
    )


def test_a_bundle_without_a_graph(
    score: Score, case: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    bundle = folder_from_bundle(tiny_bundle, tmp_path / "b")
    (bundle / "models" / "monocyte" / "head.onnx").unlink()
    assert refused(score, case, bundle, tmp_path) == (
        "error: BUNDLE: models/monocyte/head.onnx is missing from the bundle; copy it again\n"
    )


def test_a_bundle_of_a_newer_schema(
    score: Score, case: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    bundle = rewritten(tiny_bundle, tmp_path / "b.vxb", schema_version=99)
    assert refused(score, case, bundle, tmp_path) == (
        "error: the bundle has schema version 99; this vexas-edge reads version "
        f"{MANIFEST_SCHEMA}: "
        "use the vexas-edge that wrote it, or a newer one\n"
    )


def test_a_bundle_whose_zip_holds_a_path_out_of_it(
    score: Score, case: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copy(tiny_bundle, tmp_path / "b.vxb"))
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("../evil", b"evil")
    assert refused(score, case, bundle, tmp_path) == (
        "error: BUNDLE: unsafe path '../evil' in the bundle; it was refused\n"
    )
    assert not (tmp_path.parent / "evil").exists()


def test_an_image_in_place_of_a_bundle(score: Score, case: Path, tmp_path: Path) -> None:
    assert refused(score, case, case / "neutrophil" / "1.png", tmp_path) == (
        "error: BUNDLE is not a bundle (no readable zip: File is not a zip file); "
        "expected a .vxb file or its folder\n"
    )


# Output


def test_an_output_folder_that_cannot_be_written(score: Score, case: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    out = tmp_path / "file" / "out"
    assert score(case, "-o", out) == Ended(
        status=4,
        out="",
        err=f"error: results folder {out} cannot be written: Not a directory; "
        "name another with -o\n",
    )
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("P 1", "P 1"),
        ("Doe, Jane", "Doe, Jane"),
        ('the "first"', "the ~22first~22"),
        ("Müller 患者", "Müller 患者"),
        ("CON", "~43ON"),
        ("a:b", "a~3Ab"),
        ("x.", "x~2E"),
        ("=1+1", "=1+1"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="Windows has no folders of these names")
def test_strange_names(score: Score, tmp_path: Path, name: str, file: str) -> None:
    write_case(tmp_path / "cases" / name, neutrophil=12)
    out = tmp_path / "out"
    ended = score(tmp_path / "cases" / name, "-o", out)
    assert ended.status == 0
    assert ended.out.startswith(f"{NO_GATE}: {name}: scored: ")
    assert case_files(out) == [file]
    assert kept(out, file)["case"] == name
    assert set(column(out / "cases.csv", "case")) == {f"'{name}" if name[0] == "=" else name}


@pytest.mark.skipif(sys.platform != "linux", reason="only here can a name be no Unicode")
def test_a_name_that_is_no_unicode(score: Score, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/P\xff1"
    shutil.copytree(write_case(tmp_path / "P1", neutrophil=12), os.fsdecode(folder))
    out = tmp_path / "out"
    ended = score(os.fsdecode(folder), os.fsdecode(folder + b"2"), "-o", out)
    assert ended.status == 7
    assert case_files(out) == ["P\ufffd1", "P\ufffd12"]
    assert len(recorded(out, "started")["asked"]["cases"]) == 2
    recursive = score(tmp_path, "--recursive", "-o", out)
    assert recursive.status == 7
    assert recursive.out.startswith(f"{NO_GATE}: P1: scored: ")
    assert "P\ufffd1 has a name that is not Unicode; rename it\n" in recursive.err


def test_an_output_file_held_open_elsewhere(
    score: Score, case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, tries = tmp_path / "out", []
    score(case, "-o", out)
    old = (out / "cases.csv").read_bytes()
    replace = Path.replace

    def held(self: Path, target: Path) -> Path:
        if target.name == "cases.csv":
            tries.append(target)
            raise PermissionError(13, "Permission denied")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", held)
    monkeypatch.setattr(files, "_RETRY_SECONDS", (0.0, 0.0, 0.0))
    (case / "neutrophil" / "0.png").unlink()
    ended = score(case, "-o", out)
    assert (ended.status, len(tries)) == (4, 8)
    assert ended.out.startswith(f"{NO_GATE}: P1: scored: ")
    (partial,) = out.glob("*.partial")
    assert ended.err.endswith(
        f"error: {out / 'cases.csv'} cannot be replaced (Permission denied): is it open in another "
        f"program? The new content is in {partial}\n"
    )
    assert (out / "cases.csv").read_bytes() == old
    assert column(partial, "n_cells") == ["12", "0", "0", "11", "0", "0"]
    assert kept(out, "P1")["models"][0]["n_cells"] == 11
    assert len(column(out / "cells.csv", "cell")) == 12 + 11
    monkeypatch.undo()
    score(case, "-o", out)
    assert problems_of_folder(out) == []


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_console_that_cannot_show_a_name(
    tiny_bundle: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    name = "Zoë 患者"
    write_case(tmp_path / name, neutrophil=12)
    command: list[str | Path] = [sys.executable, "-m", "vexas_edge", "score", tmp_path / name]
    command += ["--bundle", tiny_bundle, "-o", tmp_path / "out", *options]
    ended = subprocess.run(
        command,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        capture_output=True,
    )
    assert (ended.returncode, ended.stdout.count(b"\n")) == (0, 1)
    if options:
        assert json.loads(ended.stdout.decode("cp1252"))["case"] == name
    else:
        assert ended.stdout.decode("cp1252").startswith(f"{NO_GATE}: Zoë \\u60a3\\u8005: scored: ")
    assert kept(tmp_path / "out", name)["case"] == name


# The PC


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="there may be a GPU"
)
def test_a_gpu_that_is_not_there(score: Score, case: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert score(case, "--device", "cuda", "-o", out) == Ended(
        status=4,
        out="",
        err=f"error: device cuda was asked for, but this onnxruntime {onnxruntime.__version__} "
        "has no CUDA support; install onnxruntime-gpu[cuda,cudnn] in place of onnxruntime, "
        "or use --device cpu\n",
    )
    assert case_files(out) == []


def test_a_precision_that_the_bundle_has_not(score: Score, case: Path) -> None:
    assert score(case, "--precision", "int8") == Ended(
        status=4,
        out="",
        err=f"error: bundle tiny: model 'neutrophil' has no {int8_file()}; use --precision fp32, "
        "or have the graph made and judged by `vexas-workshop calibrate` where the model was "
        "trained\n",
    )


# Options


def test_a_cell_type_that_is_none(score: Score, case: Path) -> None:
    ended = score(case, "--cell-type", "neutrofil")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        "error: cell type 'neutrofil' is unknown; expected a canonical name such as 'lymphocyte' "
        "or a name in the vocabulary 'cellavision'\n"
    )


def test_a_class_map_that_is_not_there(score: Score, case: Path) -> None:
    ended = score(case, "--class-map", "mine.toml")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        "error: class map mine.toml: cannot be read (No such file or directory); expected a TOML "
        "file or one of barcelona, cellavision, munich, vexas\n"
    )
