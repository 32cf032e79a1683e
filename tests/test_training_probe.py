"""The paper's probe: its printed figures from the authors' own encodings."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training_command import Training
from training_command import training as training

from training.encodings.probe import probe_pairs
from training.encodings.projection import flattened
from training.encodings.table import Encodings, read_encodings, write_encodings
from vexas_edge.errors import InputError

ROOT = Path(__file__).parents[1]
AUTHORS = ROOT.parent / "shared" / "data" / "encodings"


def authors_files(cell_type: str) -> tuple[Path, Path]:
    folder = AUTHORS / cell_type
    return folder / "encoder_test_encodings.npy", folder / "encoder_test_metadata.csv"


@pytest.mark.real_data
@pytest.mark.parametrize(("cell_type", "pairs"), [("PN", 21), ("LY", 6), ("MO", 1)])
def test_the_printed_figures_come_out(cell_type: str, pairs: int) -> None:
    if not AUTHORS.exists():
        pytest.skip(f"no authors' encodings at {AUTHORS}")
    with (AUTHORS / "expected_auc.csv").open(newline="") as stream:
        expected = {
            frozenset((row["g1"], row["g2"])): float(row["knn_auc"])
            for row in csv.DictReader(stream)
            if row["cell"] == cell_type
        }
    found = read_encodings(*authors_files(cell_type))
    probes = probe_pairs(found.encodings, found.groups)
    assert len(probes) == len(expected) == pairs
    for probe in probes:
        printed = expected[frozenset((probe.first, probe.second))]
        assert probe.knn_auc == pytest.approx(printed, abs=1e-6)


def test_groups_apart_are_told_apart_and_mixed_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    encodings = rng.normal(size=(90, 8)).astype(np.float32)
    encodings[:30, 0] += 8
    groups = ["far"] * 30 + ["one"] * 30 + ["other"] * 30
    far_one, far_other, alike = probe_pairs(encodings, groups)
    assert (far_one.first, far_one.second, far_one.n) == ("far", "one", 60)
    assert far_one.knn_auc == far_one.svm_auc == far_other.knn_auc == 1
    assert 0.3 < alike.knn_auc < 0.7
    assert 0.3 < alike.svm_auc < 0.7


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (["a"] * 40, "compares at least two groups"),
        (["a"] * 31 + ["b"] * 9, "needs at least 10 cells of each group; b has"),
    ],
)
def test_groups_that_cannot_be_compared_are_named(groups: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        probe_pairs(np.eye(40, dtype=np.float32), groups)


_FLATTEN = """
import sys
import numpy as np
from training.encodings.projection import flattened
vectors = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
sys.stdout.buffer.write(flattened(vectors, 15).tobytes())
"""


def test_a_map_is_the_same_twice_and_in_another_process() -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    here = flattened(vectors, 15)
    assert here.shape == (300, 2)
    assert np.array_equal(flattened(vectors, 15), here)
    command = [sys.executable, "-c", _FLATTEN]
    there = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    assert there == here.tobytes()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 20])
def test_few_vectors_and_equal_ones_have_a_map_too(n: int) -> None:
    for vectors in (np.eye(n, 25, dtype=np.float32), np.ones((n, 5), np.float32)):
        flat = flattened(vectors, 5)
        assert flat.shape == (n, 2)
        assert np.isfinite(flat).all()


def test_the_command_prints_writes_and_draws(training: Training, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    groups = tuple("AB"[row % 2] for row in range(40))
    write_encodings(
        Encodings(
            encodings=rng.normal(size=(40, 6)).astype(np.float32),
            groups=groups,
            patients=("",) * 40,
            samples=("",) * 40,
            cells=("",) * 40,
            identities=tuple(bytes([row]) * 32 for row in range(40)),
        ),
        tmp_path,
    )
    array = tmp_path / "encodings.npz"
    ended = training("probe", array, "--groups", "B,A", "-o", tmp_path / "out")
    assert ended.status == 0, ended.err
    (line,) = ended.out.splitlines()[1:]
    assert line.split()[:3] == ["B", "A", "40"]
    (pair,) = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert line.split()[3] == f"{pair['knn_auc']:.6f}"
    for name in ("probe.png", "umap.png"):
        with Image.open(tmp_path / "out" / name) as image:
            assert image.format == "PNG"
