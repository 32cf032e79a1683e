"""The command line as a person or a script meets it."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import (
    NO_GATE,
    Ended,
    bundle_content,
    case_files,
    folder_from_bundle,
    kept,
    recorded,
    rewritten,
    write_case,
    write_cells,
)

from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.commands.smears import scorer
from vexas_edge.errors import BundleError, HostError
from vexas_edge.host.process import default_threads
from vexas_edge.ledger.checking import problems_of_folder
from vexas_edge.results.tables import CASE_COLUMNS, CELL_COLUMNS
from vexas_edge.scoring.score import score_smear
from vexas_edge.version import __version__

Command = Callable[..., Ended]


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """A folder of three smears: P1 scores, P2 abstains, P3 scores."""
    for seed, (name, n) in enumerate((("P1", 12), ("P2", 3), ("P3", 9))):
        write_case(tmp_path / "cases" / name, seed=seed, neutrophil=n)
    return tmp_path / "cases"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def timeless(err: str) -> list[str]:
    """The lines that were said, with T for how long a batch took."""
    return [re.sub(r" in \d+ s\b", " in T", line) for line in err.splitlines() if line]


def run_in_subprocess(*arguments: str | Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "vexas_edge", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_the_version_is_the_packages(vexas_edge: Command) -> None:
    ended = vexas_edge("--version")
    assert (ended.status, ended.out.split()[-1]) == (0, __version__)


def test_help_names_every_command(vexas_edge: Command) -> None:
    ended = vexas_edge("--help")
    assert ended.status == 0
    for command in ("score", "scan", "inspect", "verify", "demo"):
        assert f"  {command} " in ended.out


@pytest.mark.parametrize("arguments", [(), ("score",), ("nothing",), ("score", "x", "--threads=0")])
def test_a_command_that_makes_no_sense_is_status_2(
    vexas_edge: Command, arguments: tuple[str, ...]
) -> None:
    ended = vexas_edge(*arguments)
    assert (ended.status, ended.out) == (2, "")
    assert "Usage: " in ended.err


def test_score_wants_a_bundle(vexas_edge: Command, tiny_case: Path) -> None:
    ended = vexas_edge("score", tiny_case)
    assert ended.status == 2
    assert "Missing option '--bundle'" in ended.err


def test_a_case_is_one_line_on_stdout_and_nothing_is_written(
    vexas_edge: Command,
    tiny_bundle: Path,
    tiny_case: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = sorted(tiny_case.parent.rglob("*"))
    monkeypatch.chdir(tmp_path)
    ended = vexas_edge("score", tiny_case, "--bundle", tiny_bundle)
    assert (ended.status, ended.err) == (0, "")
    (line,) = ended.out.splitlines()
    assert line.startswith(f"{NO_GATE}: P1: scored: neutrophil 0.")
    assert "the threshold 0.5" in line
    few = "3 cells can be used, at least 5 needed: export more (too_few_cells)"
    assert line.endswith(f"; lymphocyte abstained: {few}")
    assert sorted(tiny_case.parent.rglob("*")) == before
    assert files_in(tmp_path) == []


def test_the_bundle_may_come_from_the_environment(
    vexas_edge: Command, tiny_bundle: Path, tiny_case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEXAS_EDGE_BUNDLE", str(tiny_bundle))
    assert vexas_edge("score", tiny_case).status == 0


def test_json_is_one_line_a_case_and_nothing_else(
    vexas_edge: Command, tiny_bundle: Path, cases: Path
) -> None:
    (cases / "P1" / "Thumbs.db").write_bytes(b"x")
    paths = (cases / "P1", cases / "nowhere", cases / "P2")
    ended = vexas_edge("score", *paths, "--bundle", tiny_bundle, "--json")
    assert ended.status == 7
    results = [json.loads(line) for line in ended.out.splitlines()]
    assert [(r["case"], r["status"]) for r in results] == [
        ("P1", "scored"),
        ("nowhere", "failed"),
        ("P2", "abstained"),
    ]
    assert results[0]["ignored"] == {"not_an_image": 1}
    assert results[1]["bundle"]["sha256"] == open_bundle(tiny_bundle).sha256
    assert ended.err.splitlines() == [
        "note: P1: files that were not scored: not_an_image 1 (see vexas-edge scan)",
        f"error: nowhere: {cases / 'nowhere'} was not found; "
        "expected the folder or .zip of one smear",
    ]


def test_json_and_the_library_give_the_same_numbers(
    vexas_edge: Command, tiny_bundle: Path, tiny_case: Path
) -> None:
    result = score_case(read_case(tiny_case), open_bundle(tiny_bundle))
    printed = json.loads(vexas_edge("score", tiny_case, "--bundle", tiny_bundle, "--json").out)
    assert [model["score"] for model in printed["models"]] == [m.score for m in result.models]


def test_results_are_written_where_o_says(
    vexas_edge: Command, tiny_bundle: Path, cases: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"
    paths = (cases / "P1", cases / "P2")
    ended = vexas_edge("score", *paths, "--bundle", tiny_bundle, "-o", out, "--threads", "2")
    assert (ended.status, len(ended.out.splitlines())) == (3, 2)
    assert timeless(ended.err) == [
        "2 cases in T: 1 scored, 1 abstained (too_few_cells 1), 0 failed",
        f"results: {out}",
        f"to read them, open {out / 'index.html'}",
    ]
    assert files_in(out) == [
        *("cases", "cases.csv", "cells.csv", "index.html", "journal.jsonl", "reports", "runs")
    ]
    assert case_files(out) == ["P1", "P2"]

    scored = kept(out, "P1")
    table = rows(out / "cases.csv")
    assert tuple(table[0]) == CASE_COLUMNS
    assert [(r["case"], r["model"], r["status"], r["n_cells"], r["reasons"]) for r in table] == [
        ("P1", "neutrophil", "scored", "12", ""),
        ("P1", "monocyte", "abstained", "0", "too_few_cells"),
        ("P1", "lymphocyte", "abstained", "0", "too_few_cells"),
        ("P2", "neutrophil", "abstained", "3", "too_few_cells"),
        ("P2", "monocyte", "abstained", "0", "too_few_cells"),
        ("P2", "lymphocyte", "abstained", "0", "too_few_cells"),
    ]
    for column in (
        "score",
        "interval_low",
        "interval_high",
        "standard_error",
        "draws_low",
        "threshold",
    ):
        assert float(table[0][column]) == scored["models"][0][column]
    assert {row["case_status"] for row in table[:3]} == {"scored"}

    cells = rows(out / "cells.csv")
    assert tuple(cells[0]) == CELL_COLUMNS
    assert len(cells) == 15
    assert [(c["case"], c["cell"], c["status"]) for c in cells[:2]] == [
        ("P1", "neutrophil/0.png", "used"),
        ("P1", "neutrophil/1.png", "used"),
    ]

    started, ended_run = recorded(out, "started"), recorded(out, "ended")
    assert started["bundle"]["sha256"] == open_bundle(tiny_bundle).sha256
    assert started["asked"]["threads"] == 2
    assert (ended_run["results"], ended_run["ended_by"]) == ([2, 3], None)


def test_recursive_and_one_by_one_give_the_same_bits(
    vexas_edge: Command, tiny_bundle: Path, cases: Path
) -> None:
    def models(ended: Ended) -> list[Any]:
        return [json.loads(line)["models"] for line in ended.out.splitlines()]

    options = ("--bundle", tiny_bundle, "--json")
    together = vexas_edge("score", cases, "--recursive", *options)
    alone = [vexas_edge("score", cases / name, *options) for name in ("P1", "P2", "P3")]
    assert together.status == 3
    assert models(together) == [model for ended in alone for model in models(ended)]


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (("P1", "P3"), 0),
        (("P1", "P2"), 3),
        (("P2",), 3),
        (("nowhere",), 5),
        (("P1", "nowhere"), 7),
        (("nowhere", "P2"), 7),
        (("nowhere", "elsewhere"), 7),
    ],
)
def test_the_status_is_the_gravest_of_the_batch(
    vexas_edge: Command, tiny_bundle: Path, cases: Path, names: tuple[str, ...], status: int
) -> None:
    paths = [cases / name for name in names]
    assert vexas_edge("score", *paths, "--bundle", tiny_bundle).status == status


@pytest.mark.parametrize(
    ("error", "status"), [(HostError("no such device"), 4), (BundleError("damaged"), 6)]
)
def test_an_engine_or_bundle_that_fails_midway_ends_the_run_and_keeps_the_results(
    vexas_edge: Command,
    tiny_bundle: Path,
    cases: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
) -> None:
    fail_at(monkeypatch, "P3", error)
    paths = [cases / name for name in ("nowhere", "P1", "P3", "P2")]
    ended = vexas_edge("score", *paths, "--bundle", tiny_bundle, "-o", tmp_path / "out")
    assert ended.status == status
    assert timeless(ended.err)[-2:] == [
        f"error: {error}",
        "note: 2 of 4 cases in T: 1 scored, 0 abstained, 1 failed; "
        "run the same command again to go on",
    ]
    assert [row["case"] for row in rows(tmp_path / "out" / "cases.csv")] == ["nowhere"] + ["P1"] * 3
    ended_run = recorded(tmp_path / "out", "ended")
    assert (ended_run["results"], ended_run["ended_by"]) == ([2, 3], str(error))


def fail_at(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """Scoring the case of that name raises the error."""

    def failing(read: Any, *arguments: Any, **options: Any) -> Any:
        if read.case.name == name:
            raise error
        return score_smear(read, *arguments, **options)

    monkeypatch.setattr(scorer, "score_smear", failing)


def test_an_interruption_keeps_the_finished_cases(
    vexas_edge: Command,
    tiny_bundle: Path,
    cases: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail_at(monkeypatch, "P2", KeyboardInterrupt())
    out = tmp_path / "out"
    ended = vexas_edge("score", cases, "--recursive", "--bundle", tiny_bundle, "-o", out)
    assert ended.status == 130
    assert timeless(ended.err) == [
        "interrupted",
        "note: 1 of 3 cases in T: 1 scored, 0 abstained, 0 failed; "
        "run the same command again to go on",
    ]
    assert case_files(out) == ["P1"]
    assert {row["case"] for row in rows(out / "cases.csv")} == {"P1"}
    assert recorded(out, "ended")["ended_by"] == "KeyboardInterrupt"


@pytest.mark.skipif(os.name == "nt", reason="a process cannot be sent Ctrl-C alone on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_finished_cases(
    tiny_bundle: Path, tmp_path: Path, number: signal.Signals
) -> None:
    first = write_case(tmp_path / "cases" / "P000", neutrophil=40)
    for i in range(1, 500):
        shutil.copytree(first, tmp_path / "cases" / f"P{i:03}", copy_function=os.link)
    out = tmp_path / "out"
    options = ("--recursive", "--bundle", tiny_bundle, "-o", out, "--json")
    running = run_in_subprocess("score", tmp_path / "cases", *options)
    deadline = time.monotonic() + 60
    while not list(out.glob("cases/*-P001.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(number)
    printed, said = running.communicate(timeout=60)
    lines = [line for line in said.decode().splitlines() if line]
    assert (running.returncode, lines[-2]) == (130, "interrupted")
    assert lines[-1].endswith("; run the same command again to go on")
    done = recorded(out, "ended")["results"]
    assert 0 < len(done) < 500
    assert len(done) == len(case_files(out)) == len(printed.splitlines())
    assert problems_of_folder(out) == []
    assert not list(out.rglob("*.partial"))


def test_a_bug_keeps_its_traceback_and_the_finished_cases(
    vexas_edge: Command,
    tiny_bundle: Path,
    cases: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail_at(monkeypatch, "P2", ZeroDivisionError("a bug"))
    out = tmp_path / "out"
    with pytest.raises(ZeroDivisionError, match="a bug"):
        vexas_edge("score", cases, "--recursive", "--bundle", tiny_bundle, "-o", out)
    assert {row["case"] for row in rows(out / "cases.csv")} == {"P1"}
    assert recorded(out, "ended")["ended_by"] == "a bug"


def test_a_bug_exits_with_1() -> None:
    code = (
        "import sys; sys.argv = ['vexas-edge', 'inspect', 'x']\n"
        "import vexas_edge.bundle.archive as bundle\n"
        "bundle.open_bundle = lambda path: 1 / 0\n"
        "from vexas_edge.commands.cli import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Traceback ")
    assert ended.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_progress_of_a_long_case_goes_to_stderr(
    vexas_edge: Command, tiny_bundle: Path, tiny_case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vexas_edge.commands.console._LINE_SECONDS", {False: -1.0, True: -1.0})
    ended = vexas_edge("score", tiny_case, "--bundle", tiny_bundle, "--json")
    lines = ended.err.splitlines()
    for said in ("neutrophil, 12 of 12", "monocyte, 9 of 9", "lymphocyte, 3 of 3"):
        assert f"P1: {said} cells" in lines
    assert len(ended.out.splitlines()) == 1


def test_unreadable_cells_are_named_and_do_not_change_the_status(
    vexas_edge: Command, tiny_bundle: Path, cases: Path
) -> None:
    write_cells(cases / "P1" / "neutrophil_segmented", 60, seed=9)
    for i in range(7):
        (cases / "P1" / "neutrophil" / f"bad {i}.png").write_bytes(b"")
    shutil.copy(cases / "P1/neutrophil/3.png", cases / "P1/neutrophil/copy.png")
    ended = vexas_edge("score", cases / "P1", "--bundle", tiny_bundle)
    assert ended.status == 0
    assert ended.err.splitlines() == [
        *(
            f"warning: P1: neutrophil/bad {i}.png: the file is empty; was it still being copied?"
            for i in range(5)
        ),
        "warning: P1: 2 more cells could not be used",
        "note: P1: copies of other cells, counted once: 1",
    ]


def test_a_second_run_into_the_same_folder_adds_to_the_first(
    vexas_edge: Command, tiny_bundle: Path, cases: Path, tmp_path: Path
) -> None:
    options = ("--bundle", tiny_bundle, "-o", tmp_path / "out")
    vexas_edge("score", cases / "P1", *options)
    ended = vexas_edge("score", cases, "--recursive", *options)
    assert timeless(ended.err)[0].startswith("3 cases in T, 1 of them known before: ")
    assert [row["case"] for row in rows(tmp_path / "out" / "cases.csv")[::3]] == ["P1", "P2", "P3"]
    ended_run = recorded(tmp_path / "out", "ended")
    assert (len(ended_run["results"]), ended_run["known"]) == (2, 1)


def test_a_synthetic_bundle_says_so_on_every_line(
    vexas_edge: Command, tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    bundle = rewritten(tiny_bundle, tmp_path / "b.vxb", synthetic=True)
    ended = vexas_edge("score", tiny_case, "--bundle", bundle)
    assert ended.out.startswith(f"{NO_GATE}: [SYNTHETIC] P1: scored: ")
    assert "SYNTHETIC: made from drawn cells" in vexas_edge("inspect", bundle).out


def test_scan_goes_on_after_a_case_that_cannot_be_read(vexas_edge: Command, cases: Path) -> None:
    first = sorted(cases.iterdir())[0]
    ended = vexas_edge("scan", cases / "absent", first)
    assert ended.status == 7
    assert "absent was not found" in ended.err
    assert ended.out.startswith(first.name)
    assert vexas_edge("scan", cases / "absent").status == 5


def test_scan_needs_no_bundle(vexas_edge: Command, cases: Path) -> None:
    (cases / "P1" / "Müller").mkdir()
    (cases / "P1" / "Müller" / "1.png").write_bytes(b"x")
    ended = vexas_edge("scan", cases / "P1", "--layout", "folders", "--json")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.isascii()
    summary = json.loads(ended.out)
    assert summary["classes"] == {"neutrophil": {"n": 12, "from": "folder"}}
    assert summary["ignored"]["unknown_classes"] == {"Müller": 1}
    assert "neutrophil" in vexas_edge("scan", cases / "P1", "--layout", "folders").out


def test_inspect_says_in_words_what_a_bundle_holds(vexas_edge: Command, tiny_bundle: Path) -> None:
    ended = vexas_edge("inspect", tiny_bundle)
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == NO_GATE
    assert lines[1].startswith("tiny 1.0.0 (20")
    assert lines[2] == f"manifest sha256 {open_bundle(tiny_bundle).sha256}"
    assert "positive VEXAS" in lines
    assert "  classes MDS, VEXAS, control" in lines
    assert "  cells: neutrophil_segmented, neutrophil; at least 5" in lines
    assert "  canvas: 16 px, larger cells cropped" in lines
    assert "  aggregation: median of 10 cells, 200 draws, seed 0; labels by argmax" in lines


def test_verify_checks_every_hash_and_runs_the_self_test(
    vexas_edge: Command, tiny_bundle: Path
) -> None:
    ended = vexas_edge("verify", tiny_bundle)
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "tiny 1.0.0: every file matches its hash"
    assert [line.split(":")[0] for line in lines[1:]] == [
        f"{model} {file}"
        for model in ("neutrophil", "monocyte", "lymphocyte")
        for file in ("fused.fp32.onnx", "head.onnx")
    ]


def test_verify_finds_damage_that_scoring_would_not_meet(
    vexas_edge: Command, tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    folder = folder_from_bundle(tiny_bundle, tmp_path / "b")
    card = folder / "card.md"
    card.write_bytes(card.read_bytes().swapcase())
    assert vexas_edge("score", tiny_case, "--bundle", folder).status == 0
    ended = vexas_edge("verify", folder)
    assert (ended.status, ended.out) == (6, "")
    assert ended.err == (
        f"error: {folder}: card.md is not what the manifest says (changed or damaged); "
        "copy the bundle again from where it came from\n"
    )


def test_verify_reports_a_pc_that_gives_other_numbers(
    vexas_edge: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    _, contents = bundle_content(tiny_bundle)
    other = {"models/monocyte/head.onnx": contents["models/lymphocyte/head.onnx"]}
    ended = vexas_edge("verify", rewritten(tiny_bundle, tmp_path / "b.vxb", other))
    assert ended.status == 4
    assert ended.err.startswith("error: self-test of monocyte head.onnx failed on this PC: ")
    assert ended.err.endswith("do not use onnxruntime on cpu here\n")


def test_a_patients_folder_with_a_dated_export_is_read_as_one_case(
    vexas_edge: Command, tmp_path: Path
) -> None:
    slides = tmp_path / "P1" / "2024-01-01" / "Signed slides" / "Monocyte"
    slides.mkdir(parents=True)
    (slides / "MO_000001.jpg").write_bytes(b"names are enough")
    ended = vexas_edge("scan", tmp_path / "P1")
    assert (ended.status, ended.out.splitlines()[0]) == (0, "P1")
    assert "monocyte" in ended.out


POLITE = """
import atexit, os, runpy, sys
atexit.register(lambda: print(os.nice(0)))
sys.argv[0] = "vexas-edge"
runpy.run_module("vexas_edge", run_name="__main__")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="niceness of POSIX")
def test_a_polite_run_has_low_priority_and_leaves_a_core_free(
    tiny_bundle: Path, tiny_case: Path, tmp_path: Path
) -> None:
    asked: list[str | Path] = ["score", tiny_case, "--bundle", tiny_bundle, "--polite"]
    asked += ["-o", tmp_path / "out"]
    ended = subprocess.run(
        [sys.executable, "-c", POLITE, *asked], capture_output=True, text=True, check=False
    )
    assert int(ended.stdout.splitlines()[-1]) == min(19, os.nice(0) + 10)
    run = kept(tmp_path / "out", "P1")["run"]
    assert run["threads"] == max(1, default_threads() - 1)
