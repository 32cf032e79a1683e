"""A recorded result is made again from its smear, and every difference is named."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import Ended, library_or_skip, rewritten, write_case

Command = Callable[..., Ended]


@pytest.fixture
def smear(tmp_path: Path) -> Path:
    return write_case(tmp_path / "P1", neutrophil=12, monocyte=8)


@pytest.fixture
def result(vexas_edge: Command, tiny_bundle: Path, smear: Path, tmp_path: Path) -> Path:
    vexas_edge("score", smear, "--bundle", tiny_bundle, "-o", tmp_path / "out")
    return tmp_path / "out" / "cases" / "000002-P1.json"


def test_the_same_smear_gives_the_same_bits(
    vexas_edge: Command, tiny_bundle: Path, smear: Path, result: Path, tmp_path: Path
) -> None:
    moved = shutil.move(smear, tmp_path / "moved")
    for file in (tmp_path / "moved" / "neutrophil").iterdir():
        file.rename(file.with_name(f"new {file.name}"))
    ended = vexas_edge("replay", result, "--input", moved, "--bundle", tiny_bundle)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "P1: every figure is the same bit for bit, made alike\n"


def test_what_differs_is_named(
    vexas_edge: Command, tiny_bundle: Path, smear: Path, result: Path
) -> None:
    (smear / "neutrophil" / "3.png").unlink()
    ended = vexas_edge("replay", result, "--input", smear, "--bundle", tiny_bundle)
    assert ended.status == 9
    assert "neutrophil.n_cells: 12 was recorded, now 11\n" in ended.out
    assert "neutrophil.cells: 1 are no longer so, 0 are so now\n" in ended.out
    assert "neutrophil.score: " in ended.out
    assert "monocyte.n_cells" not in ended.out


def test_a_figure_that_was_changed_in_the_record_is_named(
    vexas_edge: Command, tiny_bundle: Path, smear: Path, result: Path
) -> None:
    text = result.read_text().replace('"n_cells": 12', '"n_cells": 13')
    result.write_text(text)
    ended = vexas_edge("replay", result, "--input", smear, "--bundle", tiny_bundle)
    assert (ended.status, ended.out) == (9, "neutrophil.n_cells: 13 was recorded, now 12\n")


def test_another_engine_is_named(
    vexas_edge: Command, tiny_bundle: Path, smear: Path, result: Path
) -> None:
    library_or_skip("openvino")
    options = ("--bundle", tiny_bundle, "--engine", "openvino")
    ended = vexas_edge("replay", result, "--input", smear, *options)
    assert ended.status in (0, 9)
    assert "engine: onnxruntime was recorded, now openvino\n" in ended.out


def test_another_bundle_is_refused(
    vexas_edge: Command, tiny_bundle: Path, smear: Path, result: Path, tmp_path: Path
) -> None:
    other = rewritten(tiny_bundle, tmp_path / "other.vxb", version="9")
    ended = vexas_edge("replay", result, "--input", smear, "--bundle", other)
    assert (ended.status, ended.out) == (2, "")
    assert "the result is of tiny 1" in ended.err


def test_an_interruption_while_the_program_is_loaded_is_one_line() -> None:
    code = """
import sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "vexas_edge.commands.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from vexas_edge.__main__ import begin
begin()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")
