"""On real patients a sound calibration passes, a wrong one is refused with its figures."""

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cpu_kinds import FOR_CPUS
from PIL import Image
from sklearn.svm import SVC

from export import write_bundle
from export.inputs import load_encoder
from export.preprocessing import PREPROCESSINGS, pixels_from_cells
from vexas_edge import open_bundle, read_case
from vexas_edge.bundle.graphs import graph_file
from vexas_edge.cells.canvas import Canvas, decode_cell
from vexas_edge.scoring.draws import draw_cells
from vexas_edge.smear.cohort import CohortCase, read_cohort
from vexas_edge.smear.options import ReadOptions

CANVAS_PX = 112
FITTED_ON = 24
COSINE_P1 = {kind: {"int8": 0.998, "int8-rr": 0.997}[kind] for kind in FOR_CPUS}
CELLS_PER_PATIENT = 8

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> tuple[CohortCase, ...]:
    return read_cohort(shared_data / "lymphocytosis" / "cohort.csv")


@pytest.fixture(scope="module")
def bundle(
    shared_data: Path, rows: tuple[CohortCase, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """SqueezeNet and an SVM, fitted on some of the cohort's patients."""
    (path,) = (shared_data / "squeezenet11").glob("*.onnx")
    encoder = load_encoder(path.name, path.parent, canvas_px=CANVAS_PX)
    fitted = [row for row in rows if row.split == "fit"][:FITTED_ON]
    medians = [medians_of(row, encoder.reference) for row in fitted]
    labels = np.repeat([row.label for row in fitted], len(medians[0]))
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        classifier = SVC(probability=True, random_state=0).fit(np.concatenate(medians), labels)
    model = {
        "cells": ["lymphocyte"],
        "encoder": str(path),
        "preprocessing": "keras-caffe",
        "canvas_px": CANVAS_PX,
        "larger": "crop",
        "encoding": "l2",
        "parity_cells": str(fitted[0].path),
    }
    spec = {"name": "real", "version": "1", "positive": "tumoral", "models": {"lymphocyte": model}}
    to = tmp_path_factory.mktemp("real") / "real.vxb"
    write_bundle(spec, classifier=classifier, to=to)
    return to


def medians_of(row: CohortCase, encode: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    case = read_case(row.path, ReadOptions(cell_type="lymphocyte"))
    canvas = Canvas(canvas_px=CANVAS_PX, larger="crop")
    decoded = [decode_cell(case.source, cell, canvas) for cell in case.cells]
    pixels = np.stack([cell.pixels for cell in decoded if cell.pixels is not None])
    embedding = encode(pixels_from_cells(pixels, PREPROCESSINGS["keras-caffe"]))
    encodings = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    return np.median(encodings[draw_cells([c.identity for c in decoded], 40, 10, 0)], axis=1)


def calibrate(bundle: Path, cohort: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "vexas_edge.workshop",
        "calibrate",
        "int8",
        bundle,
        "--cohort",
        cohort,
    ]
    asked = ["--cell-type", "lymphocyte", *options]
    asked += [word for kind in FOR_CPUS for word in ("--only", kind)]
    return subprocess.run([*command, *asked], capture_output=True, text=True)


def with_calibration_cells(
    rows: tuple[CohortCase, ...], folder: Path, change: Callable[[np.ndarray, int], np.ndarray]
) -> Path:
    """The cohort with the cells of the split `fit` changed, by (pixels, index)."""
    lines = ["patient,sample,path,label,split"]
    for row in rows:
        path = row.path
        if row.split == "fit":
            path = folder / row.sample
            path.mkdir(parents=True)
            for i, file in enumerate(sorted(row.path.iterdir())[:CELLS_PER_PATIENT]):
                pixels = np.asarray(Image.open(file).convert("RGB"))
                Image.fromarray(change(pixels, i)).save(path / f"{i}.png")
        lines.append(f"{row.patient},{row.sample},{path},{row.label},{row.split}")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder / "cohort.csv"


def test_a_sound_calibration_passes(shared_data: Path, bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(bundle, tmp_path))
    ended = calibrate(copy, shared_data / "lymphocytosis" / "cohort.csv")
    assert ended.returncode == 0, ended.stderr
    files = open_bundle(copy).manifest.models["lymphocyte"].files
    for kind, least in COSINE_P1.items():
        entry = files[graph_file(kind)]
        gate = entry.measured["gate"]
        assert (gate["n_positive"] + gate["n_other"], gate["n_other"]) == (40, 13)
        assert entry.measured["calibration"]["patients"] == 60
        assert gate["cosine_p1"] >= least
        assert gate["calibration_distance"] < 0.05


def swapped(pixels: np.ndarray, _: int) -> np.ndarray:
    return pixels[..., ::-1]


def black(pixels: np.ndarray, i: int) -> np.ndarray:
    canvas = np.zeros_like(pixels)
    canvas[28 * i : 28 * (i + 1), :28] = 40  # else it is rejected as empty, or the same as others
    return canvas


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        (swapped, "calibration's cells look unlike the gate's: distance 0.2"),
        (black, "1st-percentile cosine of encodings"),
    ],
)
def test_wrong_colours_and_black_cells_are_refused(
    rows: tuple[CohortCase, ...],
    bundle: Path,
    tmp_path: Path,
    change: Callable[[np.ndarray, int], np.ndarray],
    missed: str,
) -> None:
    before = bundle.read_bytes()
    ended = calibrate(bundle, with_calibration_cells(rows, tmp_path, change))
    assert ended.returncode == 6, ended.stderr
    assert ended.stdout.count("REFUSED: cosine p1 0.") == len(FOR_CPUS)
    assert missed in ended.stderr
    assert bundle.read_bytes() == before


def test_four_cells_are_too_few(shared_data: Path, bundle: Path) -> None:
    before = bundle.read_bytes()
    cohort = shared_data / "lymphocytosis" / "cohort.csv"
    ended = calibrate(bundle, cohort, "--samples", "4")
    assert ended.returncode == 6, ended.stderr
    assert "1st-percentile cosine of encodings 0.9" in ended.stderr
    assert bundle.read_bytes() == before
