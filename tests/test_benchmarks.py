"""The benchmarks run and say what they measured on; their figures are not judged here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cpu_kinds import FOR_CPUS, OWN

from vexas_edge.bundle.graphs import graph_file
from vexas_edge.host.cpu import has_bfloat16

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FACTS = {"machine", "cpu", "cores", "versions", "threads", "network", "canvas_px", "n_cells"}
FIGURES = {"question", "ratio", "target", "repeats", "bundle_sha256"}


def lines_of(script: str, data: Path, out: Path) -> list[dict[str, Any]]:
    command: list[str | Path] = [sys.executable, BENCHMARKS / script, data, "-o", out, "--quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.mark.real_data
def test_scoring_benchmark_appends_one_line_a_question(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "scoring.jsonl"
    lines = lines_of("scoring.py", shared_data, out)
    networks = [line.get("network", list(line.get("networks", ()))) for line in lines]
    assert networks == ["squeezenet11", "vgg16", ["squeezenet11", "vgg16"], "compact"]
    of_networks = {"network", "canvas_px", "n_cells", "bundle_sha256"}  # each has its own
    for line in lines:
        assert line.keys() > (FACTS | FIGURES) - (of_networks if "networks" in line else set())
        assert line["quick"] is True
        assert line["ratio"] > 0
    assert lines[0]["medians_ms_per_cell"].keys() == {
        "decoding_cpu",
        "engine",
        "engine_wide",
        "score",
        "loop",
    }
    assert lines[1]["precision"] == "int8"
    assert all(cost["ms_per_cell"]["files"] > 0 for cost in lines[2]["networks"].values())
    assert lines[3]["medians_mib"]["few"] < 1000


@pytest.mark.real_data
def test_precision_benchmark_appends_one_line_a_question(shared_data: Path, tmp_path: Path) -> None:
    speed, memory = lines_of("precision.py", shared_data, tmp_path / "precision.jsonl")
    for line in (speed, memory):
        assert line.keys() > FACTS | FIGURES
        assert line["ratio"] > 0
    assert speed["int8_file"] == graph_file(OWN)
    for kind in FOR_CPUS:
        assert speed["multiply_adds"][kind] == {"int8": 1.0, "fp16": 0.0, "fp32": 0.0}
    assert speed["preflight_findings"] == {"fp16": 0, "int8-trt": 0}
    assert speed["medians_ms_per_cell"].keys() == {"fp32", "int8", "int8-rr"}
    assert memory["peak_mib"].keys() == {"16", "32"}


@pytest.mark.real_data
def test_peers_benchmark_puts_ratios_and_drift_side_by_side(
    shared_data: Path, tmp_path: Path
) -> None:
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler, and there is no g++")
    (line,) = lines_of("peers.py", shared_data, tmp_path / "peers.jsonl")
    assert line.keys() > FACTS
    peers = line["times_as_fast_from_files"].keys()
    assert len(peers) == (8 if has_bfloat16() else 6)
    assert line["times_as_fast_from_decoded_cells"].keys() == peers
    assert line["drift_from_torch_eager"].keys() == peers | {"vexas-edge score"}
    exact = line["drift_from_torch_eager"]["onnxruntime script"]
    assert exact["cosine_p1"] > 0.99999


def test_regressions_benchmark_counts_what_was_found(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "regressions.jsonl"
    script = BENCHMARKS / "regressions.py"
    command: list[str | Path] = [sys.executable, script, tiny_bundle, "-o", out, "--seconds", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    line = json.loads(out.read_text())
    assert line["figures"] == 23
    assert line["slowed"] == 21


@pytest.mark.real_data
def test_abstaining_benchmark_writes_a_table_with_its_bars(
    shared_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "abstaining.md"
    command: list[str | Path] = [sys.executable, BENCHMARKS / "abstaining.py", shared_data]
    command += ["-o", out, "--work", tmp_path / "work", "--small"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = out.read_text(encoding="utf-8")
    assert "**A small run, not for figures.**" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    figures = {row[0].strip("| *"): row[1] for row in rows}
    assert {"abstain, 16 cells, tumoral", "blank", "50 % blasts", "right"} <= figures.keys()
    assert figures["blank"].startswith("1.000 (1.00); 2 bags of 1")
    assert figures["stripes"].startswith("1.000 (0.00); ")
    assert figures["neutrophils, saved alike, 16 of many"].startswith("1.000")


def test_gpu_benchmark_runs_on_a_cpu_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    out, script = tmp_path / "gpu.jsonl", BENCHMARKS / "gpu.py"
    command: list[str | Path] = [sys.executable, script, "-o", out, "--device", "cpu"]
    command += ["--part", "training", "--part", "parity", "--seconds", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made, parity, training = (json.loads(line) for line in out.read_text().splitlines())
    assert "error" not in made
    assert parity["largest_difference"] == {"fp32": 0}
    assert training["seconds"] > 0
    for line in (parity, training):
        assert line.keys() >= {"question", "ratio", "target", "machine", "versions", "gpu", "asked"}
        assert line["quick"] is True
    done = subprocess.run([*command, "--deadline", "0"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, *left_out = [json.loads(line) for line in out.read_text().splitlines()[3:]]
    assert [line["part"] for line in left_out] == ["parity", "training"]
    assert all(line["skipped"].startswith("0 s are left") for line in left_out)


@pytest.mark.real_data
def test_pages_benchmark_says_what_a_page_costs(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "pages.jsonl"
    command: list[str | Path] = [sys.executable, BENCHMARKS / "pages.py", shared_data, "-o", out]
    done = subprocess.run(
        [*command, "--turns", "1", "--cells", "12"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    page, index = [json.loads(line) for line in out.read_text().splitlines()]
    assert page.keys() >= {"cells", "share", "scoring_s", "page_bytes", "machine", "versions"}
    assert (page["question"], index["question"], index["results"]) == ("page", "index", 1000)


@pytest.mark.real_data
def test_bag_scoring_benchmark_puts_a_score_beside_its_encodings(
    shared_data: Path, tmp_path: Path
) -> None:
    (line,) = lines_of("bag_scoring.py", shared_data, tmp_path / "bag_scoring.jsonl")
    assert (line["aggregation"], line["n_cells"]) == ("mean", 40)
    low, high = line["times_as_long"][1:]
    assert 0 < low <= line["times_as_long"][0] <= high
    assert line["median_ms"].keys() == {"score", "encodings"}
