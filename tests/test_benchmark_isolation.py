"""The benchmark of isolation runs and says what it measured on; its figures are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "isolation.py"
METHODS = {"unet", "unet_int8", "classical"}


@pytest.mark.real_data
def test_it_appends_a_line_a_data_set_and_one_for_speed(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "isolation.jsonl"
    command: list[str | Path] = [sys.executable, SCRIPT, shared_data, "-o", out, "--quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    own, other, speed = [json.loads(line) for line in out.read_text().splitlines()]
    for line in (own, other, speed):
        assert line.keys() > {"question", "machine", "cpu", "cores", "versions", "threads"}
        assert line["quick"] is True
    assert (own["folds"], own["methods"]["unet"]["cells"]) == (1, 2)
    assert other["methods"]["classical"]["cells"] == 10
    for line in (own, other):
        assert line["methods"].keys() == METHODS
        assert line["methods"]["classical"]["dice_mean"] > 0.5
    assert speed["ms_per_cell"].keys() == METHODS
