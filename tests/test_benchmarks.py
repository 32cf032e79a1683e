"""The benchmarks run and say what they measured on; their figures are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "scoring.py"
FACTS = {"machine", "cpu", "cores", "versions", "threads", "network", "canvas_px", "n_cells"}
FIGURES = {"question", "ratio", "target", "repeats", "bundle_sha256"}


@pytest.mark.real_data
def test_scoring_benchmark_appends_one_line_a_question(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "scoring.jsonl"
    command = [sys.executable, SCRIPT, shared_data, "-o", out, "--quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["network"] for line in lines] == ["squeezenet11", "vgg16", "compact"]
    for line in lines:
        assert line.keys() > FACTS | FIGURES
        assert line["quick"] is True
        assert line["ratio"] > 0
    assert lines[0]["medians_ms_a_cell"].keys() == {
        "decoding_cpu",
        "engine",
        "engine_wide",
        "score",
        "loop",
    }
    assert lines[2]["medians_mib"]["few"] < 1000
