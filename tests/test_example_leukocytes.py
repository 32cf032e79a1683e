"""The example of leukocytes: the cohort of an export, for the commands that its README shows."""

import csv
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "examples" / "leukocytes" / "cohort.py"


def run(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


def test_each_sample_of_each_patient_is_a_row(tmp_path: Path) -> None:
    for smear in ("P1", "P2/12345678901", "P2/12345678902"):
        (tmp_path / "tree" / smear / "Signed slides" / "Monocyte").mkdir(parents=True)
    (tmp_path / "tree" / "P3").mkdir()
    done = run(tmp_path / "tree", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 patients, 3 samples")
    with (tmp_path / "out" / "cohort.csv").open(newline="") as stream:
        rows = [(row["patient"], row["sample"]) for row in csv.DictReader(stream)]
    assert rows == [("P1", "P1"), ("P2", "P2-12345678901"), ("P2", "P2-12345678902")]
    assert "cohort.csv" in (tmp_path / "out" / "sources.toml").read_text()


def test_a_folder_without_signed_slides_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    done = run(tmp_path / "tree", "-o", tmp_path / "out")
    assert done.returncode == 5
    assert "holds no folder `Signed slides`" in done.stderr
