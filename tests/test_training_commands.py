"""`synth` and `encode`, and that made-up patients are told apart exactly when they differ."""

import csv
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from tiny import mask_network, there
from training_command import Training
from training_command import training as training

from calibration.gate.separation import Separation
from export.backbones import build_backbone
from export.preprocessing import PREPROCESSINGS, pixels_from_cells
from training.drawn.smears import synthesize_smear
from training.encodings.table import Encodings, read_encodings
from training.mask_network.masks import read_masked_images
from training.patients.aggregates import DrawOptions, patients_from_encodings
from training.patients.classifier import SvmOptions
from training.patients.patientwise import judge_out_of_fold
from vexas_edge import read_case
from vexas_edge.cells.canvas import place_on_canvas
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.errors import HostError, InputError
from vexas_edge.smear.cohort import read_cohort

CANVAS_PX = 160
ENCODE = (
    *("--encoder", "compact", "--preprocessing", "torchvision", "--canvas-px", str(CANVAS_PX)),
    *("--larger", "crop", "--cells", "neutrophil_segmented"),
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained encoder whose batch normalisation has seen some made-up cells."""
    cells = synthesize_smear(900, "control", 0.0, {"neutrophil": 24})
    placed = np.stack([place_on_canvas(cell.pixels, CANVAS_PX, "crop") for cell in cells])
    file = tmp_path_factory.mktemp("weights") / "compact.safetensors"
    save_file(seeing(placed).state_dict(), file)
    return file


def seeing(cells: np.ndarray) -> torch.nn.Module:
    """A `compact` of seeded weights, its batch normalisation set by cells, uint8 (N, H, W, 3)."""
    torch.manual_seed(0)
    encoder = build_backbone("compact")
    for layer in encoder.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # a plain mean over all batches
    pixels = torch.from_numpy(pixels_from_cells(cells, PREPROCESSINGS["torchvision"]))
    encoder.train()
    with torch.no_grad():
        encoder(pixels)
    return encoder.eval()


def encoded(training: Training, folder: Path, weights: Path, *synth: str) -> Encodings:
    ended = training(
        "synth", "-o", folder / "cohort", "--monocyte", "0", "--lymphocyte", "0", *synth
    )
    assert ended.status == 0, ended.err
    cohort = folder / "cohort" / "cohort.csv"
    ended = training("encode", cohort, *ENCODE, "--weights", weights, "-o", folder / "encodings")
    assert ended.status == 0, ended.err
    return read_encodings(folder / "encodings/encodings.npz", folder / "encodings/metadata.csv")


def separation_of(found: Encodings) -> Separation:
    options = SvmOptions(draws=DrawOptions(draws=20))
    judged = judge_out_of_fold(patients_from_encodings(found), "vexas", options)
    return there(judged.separation)


def test_strength_decides_whether_patients_are_told_apart(
    training: Training, tmp_path: Path, weights: Path
) -> None:
    few = ("--patients", "24", "--neutrophil", "45")
    alike = separation_of(encoded(training, tmp_path / "alike", weights, *few, "--strength", "0"))
    assert alike.low <= 0.5 <= alike.high
    apart = separation_of(encoded(training, tmp_path / "apart", weights, *few, "--strength", "1"))
    assert apart.roc_auc > 0.95


def test_encodings_are_what_torch_gives_for_the_cells(
    training: Training, tmp_path: Path, weights: Path
) -> None:
    few = ("--patients", "2", "--neutrophil", "3", "--layout", "prefix")
    found = encoded(training, tmp_path, weights, *few)
    assert found.encodings.shape[0] == 6
    assert found.patients == ("synthetic-001",) * 3 + ("synthetic-002",) * 3
    assert found.groups == ("vexas",) * 3 + ("control",) * 3
    case = read_case(tmp_path / "cohort" / "synthetic-001")
    assert [cell.path for cell in case.cells] == list(found.cells[:3])
    files = [rgb_from_bytes(case.source.read(cell.path)) for cell in case.cells]
    cells = np.stack([place_on_canvas(pixels, CANVAS_PX, "crop") for pixels in files])
    module = build_backbone("compact").eval()
    module.load_state_dict(load(weights))
    pixels = torch.from_numpy(pixels_from_cells(cells, PREPROCESSINGS["torchvision"]))
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(module(pixels)).numpy()
    assert found.encodings[:3] == pytest.approx(expected, abs=1e-5)


def load(file: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(file)


def test_a_synthetic_cohort_is_one_that_every_command_takes(
    training: Training, tmp_path: Path
) -> None:
    ended = training(
        *("synth", "-o", tmp_path / "c", "--patients", "5", "--seed", "40"),
        *("--neutrophil", "1", "--monocyte", "2", "--lymphocyte", "1"),
    )
    assert ended.status == 0, ended.err
    rows = read_cohort(tmp_path / "c" / "cohort.csv")
    assert [row.patient for row in rows] == [f"synthetic-{seed:03d}" for seed in range(40, 45)]
    assert [row.label for row in rows] == ["vexas", "control", "vexas", "control", "vexas"]
    assert [row.split for row in rows] == ["fit", "fit", "fit", "judge", "judge"]
    classes = [cell.cell_class for cell in read_case(rows[0].path).cells]
    assert sorted(classes) == ["lymphocyte", "monocyte", "monocyte", "neutrophil_segmented"]
    again = training("synth", "-o", tmp_path / "c")
    assert again.status == HostError.exit_status
    assert "is no empty folder" in again.err


def test_what_cannot_be_encoded_is_said(training: Training, tmp_path: Path, weights: Path) -> None:
    assert training("synth", "-o", tmp_path / "c", "--patients", "2", "--monocyte", "0").status == 0
    cohort = tmp_path / "c" / "cohort.csv"
    asked = ("encode", cohort, *ENCODE, "--weights", weights, "-o", tmp_path / "e")
    ended = training(*asked, "--split", "nobody")
    assert (ended.status, ended.err.count("its splits are fit, judge")) == (5, 1)
    ended = training(*asked[:-4], "--weights", weights, "--cells", "monocyte", "-o", tmp_path / "e")
    assert ended.status == InputError.exit_status
    assert "none of the 2 cases has a readable cell of monocyte" in ended.err
    assert not (tmp_path / "e").exists()
    (broken,) = (tmp_path / "c" / "synthetic-001" / "Signed slides").glob("*/SNE_000001.png")
    broken.write_bytes(b"not an image")
    ended = training(*asked)
    assert ended.status == 0
    assert "warning: synthetic-001: Signed slides/Segmented neutrophils/SNE_000001.png" in ended.err
    with (tmp_path / "e" / "metadata.csv").open(newline="") as stream:
        assert sum(row["PATIENT"] == "synthetic-001" for row in csv.DictReader(stream)) == 59


def test_crops_come_with_masks_and_can_be_isolated(training: Training, tmp_path: Path) -> None:
    """By a stand-in for a mask network: what lets little green light through is the cell."""
    few = ("--patients", "2", "--neutrophil", "3", "--monocyte", "1", "--lymphocyte", "1")
    assert training("synth", "-o", tmp_path / "c", "--crops", *few).status == 0
    fit, judged = read_masked_images(tmp_path / "c" / "masks.csv")
    assert (len(fit), len(judged)) == (4, 4)
    onnx.save(mask_network(), tmp_path / "masks.onnx")
    asked = ("isolate", tmp_path / "c" / "cohort.csv", "--network", tmp_path / "masks.onnx")
    ended = training(*asked, "-o", tmp_path / "alone")
    assert ended.status == 0, ended.err
    rows = read_cohort(tmp_path / "alone" / "cohort.csv")
    assert [(row.patient, row.split) for row in rows] == [
        ("synthetic-001", "fit"),
        ("synthetic-002", "judge"),
    ]
    lost = (tmp_path / "alone" / "lost.csv").read_text().splitlines()[1:]
    kept = [cell for row in rows for cell in read_case(row.path).cells]
    assert len(kept) + len(lost) == 10
    for cell in read_case(rows[0].path).cells:
        pixels = rgb_from_bytes((rows[0].path / cell.path).read_bytes())
        assert max(pixels.shape) < 224
        assert not pixels[0, 0].any()
    again = training(*asked, "-o", tmp_path / "alone")
    assert again.status == HostError.exit_status
    missing = training(*asked[:-1], tmp_path / "none.onnx", "-o", tmp_path / "x")
    assert missing.status == InputError.exit_status
