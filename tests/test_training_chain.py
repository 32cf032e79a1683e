"""The whole chain on cells of a dozen pixels: every stage once, whole or not there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tiny import cell_pixels, mask_network, png
from training_command import Training
from training_command import training as training

from training.chain.stages import run_stage
from training.chain.tasks import export as export_work
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.errors import InputError, UsageError

SPEC = """
name = "tiny"
version = "0.1.0"
positive = "VEXAS"
synthetic = true
cohort = "cohort/cohort.csv"
training_data = "cells of a dozen pixels"

[models.monocyte]
cells = ["monocyte"]
backbone = "compact"
preprocessing = "torchvision"
canvas_px = 32
minimum_cells = 2
score_draws = 50
pretrain.batch.size = 16
pretrain.views.crop_px = 24
pretrain.pace = { schedule = "cosine", rate = 1e-3, epochs = 2 }
svm.draws = { draws = 10, size = 3 }
svm.gamma = 300.0
"""
STAGES = ["pretrain", "encode", "evaluate", "fit"]


def write_patients(folder: Path, cell: Callable[[int, int], np.ndarray]) -> None:
    """12 patients of 6 cells, VEXAS and MDS in turn; `cell` takes a seed and the group, 0 or 1."""
    lines = ["patient,sample,path,label,split,age_years"]
    for number in range(12):
        place = folder / f"S{number}" / "monocyte"
        place.mkdir(parents=True)
        for i in range(6):
            (place / f"{i}.png").write_bytes(png(cell(100 * number + i, number % 2)))
        split = "fit" if number < 8 else "judge"
        label = ("VEXAS", "MDS")[number % 2]
        lines.append(f"P{number},S{number},S{number},{label},{split},{40 + number}")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    write_patients(tmp_path / "cohort", cell_pixels)
    (tmp_path / "spec.toml").write_text(SPEC)
    return tmp_path / "spec.toml"


def test_a_cohort_becomes_a_bundle_that_scores_and_says_how_it_was_made(
    training: Training, spec: Path
) -> None:
    out = spec.parent / "out"
    ended = training("run", spec, "-o", out)
    assert ended.status == 0, ended.err
    assert ended.out == f"bundle: {out / 'bundle' / 'tiny.vxb'}\n"
    bundle = open_bundle(out / "bundle" / "tiny.vxb")
    result = score_case(read_case(spec.parent / "cohort" / "S10"), bundle)
    assert result.models[0].call is True
    assert score_case(read_case(spec.parent / "cohort" / "S11"), bundle).models[0].call is False
    stages = bundle.manifest.provenance["stages"]["monocyte"]
    assert list(stages) == STAGES
    assert set(stages["pretrain"]) == {"files_sha256"}  # no file's name leaves the house
    made = json.loads((out / "monocyte" / "pretrain" / "stage.json").read_text())["files"]
    assert set(made) == {"encoder.safetensors", "pretrain.jsonl", "pretrain.png"}
    report = json.loads((out / "monocyte" / "evaluate" / "report.json").read_text())
    assert report["held_out"]["how"] == "fitted on 8 other patients"
    assert report["held_out"]["separation"]["roc_auc"] == 1
    assert [c["name"] for c in report["covariates"]] == ["age_years"]
    assert "ROC-AUC 1.000" in bundle.card()
    assert bundle.card().startswith("**no domain gate (8 patients; 40 needed)**\n")
    assert result.missing_gate == "no domain gate (8 patients; 40 needed)"
    again = training("run", spec, "-o", out)
    assert again.err.count("already done") == len(STAGES) + 3
    assert ": done" not in again.err


def test_only_what_a_change_concerns_is_made_anew(training: Training, spec: Path) -> None:
    out = spec.parent / "out"
    assert training("run", spec, "-o", out).status == 0
    spec.write_text(SPEC.replace("size = 3", "size = 4"))
    ended = training("run", spec, "-o", out)
    assert ended.status == 0, ended.err
    assert "monocyte/pretrain: already done" in ended.err
    assert "monocyte/encode: already done" in ended.err
    assert "monocyte/evaluate: done" in ended.err
    assert "monocyte/fit: done" in ended.err
    assert open_bundle(out / "bundle/tiny.vxb").manifest.models["monocyte"].medians.draw_size == 4


def test_cells_are_normalised_and_isolated_for_training_as_for_scoring(
    training: Training, tmp_path: Path
) -> None:
    """On crops with other things around the cell; one of them shows no cell at all.

    Some patients' lamps are so dim that the mask network would take the slide for a cell.
    """

    def crop(seed: int, group: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        pixels = np.full((64, 64, 3), (240, 235, 238), float)
        y, x = np.mgrid[:64, :64] - 32
        away = np.hypot(x + rng.integers(-8, 9), y + rng.integers(-8, 9))
        if seed:
            pixels[away < 10] = ((200, 130, 120), (120, 130, 200))[group]
            pixels[away < 5] = (110, 40, 120)
        pixels[-6:, :12] = (200, 150, 170)
        lamp = (1, 0.7, 0.9)[seed // 100 % 3]
        return np.clip(rng.normal(pixels, 3) * lamp, 0, 255).astype(np.uint8)

    write_patients(tmp_path / "cohort", crop)
    onnx.save(mask_network(), tmp_path / "masks.onnx")
    spec = tmp_path / "spec.toml"
    isolating = SPEC.replace("[models", '[isolate]\nnetwork = "masks.onnx"\n[models', 1)
    spec.write_text(isolating.replace("canvas_px", 'normalise = "background"\ncanvas_px'))
    ended = training("run", spec, "-o", tmp_path / "out")
    assert ended.status == 0, ended.err
    assert "1 cells lost" in ended.err
    lost = (tmp_path / "out" / "monocyte" / "isolate" / "lost.csv").read_text().splitlines()
    assert lost[1].startswith("S0,monocyte/0.png,no_cell_found,")
    bundle = open_bundle(tmp_path / "out" / "bundle" / "tiny.vxb")
    result = score_case(read_case(tmp_path / "cohort" / "S0"), bundle)
    assert [cell.path for cell in result.rejected] == ["monocyte/0.png"]
    assert result.models[0].n_cells == 5
    assert result.models[0].call is True


def test_an_interrupted_stage_leaves_nothing_that_counts_as_done(
    training: Training, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = spec.parent / "out"

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(export_work, "write_bundle", interrupted)
        assert training("run", spec, "-o", out).status == 130
    assert not (out / "export").exists()
    ended = training("run", spec, "-o", out)
    assert ended.status == 0, ended.err
    assert ended.err.count("already done") == len(STAGES)
    assert not list(out.rglob("*.partial"))


def test_a_stage_goes_on_from_its_own_partial_folder_and_no_other(tmp_path: Path) -> None:
    def first(folder: Path) -> None:
        (folder / "checkpoint").write_text("half")
        raise KeyboardInterrupt

    def second(folder: Path) -> None:
        (folder / "result").write_text((folder / "checkpoint").read_text() + " and half")
        (folder / "checkpoint").unlink()

    stage = tmp_path / "stage"
    for inputs in ({"a": 1}, {"a": 2}):  # the second throws away what the first left
        with pytest.raises(KeyboardInterrupt):
            run_stage(stage, inputs, first, resumes=True)
    done = run_stage(stage, {"a": 2}, second, resumes=True)
    assert (done.folder / "result").read_text() == "half and half"
    assert list(done.files) == ["result"]
    with pytest.raises(KeyboardInterrupt):
        run_stage(stage, {"a": 3}, first)
    with pytest.raises(FileNotFoundError):  # this one starts in an empty folder
        run_stage(stage, {"a": 3}, second)
    (stage / "Thumbs.db").write_text("not ours")
    assert run_stage(stage, {"a": 2}, second).anew is False
    (stage / "result").write_text("changed by hand")
    with pytest.raises(FileNotFoundError):
        run_stage(stage, {"a": 2}, second)


@pytest.mark.parametrize(
    ("old", "new", "status", "said"),
    [
        ("epochs = 2", "epoch = 2", UsageError.exit_status, "PaceOptions has no epoch; it has"),
        ("canvas_px = 32", "canvas_px = 2", UsageError.exit_status, "canvas_px"),
        ('positive = "VEXAS"', 'positive = "X"', InputError.exit_status, "it needs 'X' and"),
        ('"compact"', '"densenet"', UsageError.exit_status, "densenet"),
        (
            'cells = ["monocyte"]',
            'cells = ["blast"]',
            InputError.exit_status,
            "has a readable cell of blast",
        ),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(
    training: Training, spec: Path, old: str, new: str, status: int, said: str
) -> None:
    spec.write_text(SPEC.replace(old, new))
    ended = training("run", spec, "-o", spec.parent / "out")
    assert ended.status == status, ended.err
    assert said in ended.err


BAGS = """
[models.monocyte.bags]
options.epochs = 2
options.rate = 1e-3
options.patients = 4
options.aggregation = { method = "learned" }
covariates = [{ name = "age_years", unit = "years" }]
folds = 2
"""


@pytest.fixture
def bag_spec(spec: Path) -> Path:
    own = [line for line in SPEC.splitlines() if not line.startswith(("svm", "score_draws"))]
    spec.write_text("\n".join([*own, BAGS]))
    return spec


def test_a_cohort_becomes_a_bundle_of_a_bag(training: Training, bag_spec: Path) -> None:
    out = bag_spec.parent / "out"
    ended = training("run", bag_spec, "-o", out)
    assert ended.status == 0, ended.err
    assert {path.name for path in (out / "monocyte").iterdir()} == {"pretrain", "bags"}
    bundle = open_bundle(out / "bundle/tiny.vxb")
    model = bundle.manifest.models["monocyte"]
    assert [covariate.name for covariate in model.covariates] == ["age_years"]
    # The oldest is older than any patient that was learnt from makes plausible.
    said = "On 3 patients held out with a score (1 more have none, as a covariate is missing or out"
    assert said in bundle.card()
    assert "image and covariates ROC-AUC" in bundle.card()
    with read_case(bag_spec.parent / "cohort/S9") as case:
        result = score_case(case, bundle, covariates={"age_years": "49"})
    assert result.models[0].covariates[0].value == 49
    again = training("run", bag_spec, "-o", out)
    assert "bags: already done" in again.err


def test_a_bag_finds_its_threshold_itself(training: Training, bag_spec: Path) -> None:
    more = bag_spec.read_text().replace("minimum_cells", "threshold = 0.4\nminimum_cells")
    bag_spec.write_text(more)
    ended = training("run", bag_spec, "-o", bag_spec.parent / "out")
    assert ended.status == 2
    assert "models.monocyte learns from bags, which find threshold themselves" in ended.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('options.backbone = "vgg16"', "models.monocyte.bags names backbone, which the model says"),
        (
            'covariates = [{ name = "age_years" }, { name = "age_years" }]',
            "models.monocyte.bags names a covariate twice",
        ),
        ('covariates = [{ name = "age (years)" }]', "covariate 'age (years)' cannot be called so"),
    ],
)
def test_a_bag_that_is_not_clear_is_refused_before_it_learns(
    more: str, said: str, training: Training, bag_spec: Path
) -> None:
    lines = bag_spec.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(more.split(" = ")[0])]
    bag_spec.write_text("\n".join([*kept, more]) + "\n")
    ended = training("run", bag_spec, "-o", bag_spec.parent / "out")
    assert ended.status == 2
    assert said in ended.err


def test_a_bag_has_no_svm(training: Training, bag_spec: Path) -> None:
    more = bag_spec.read_text().replace("minimum_cells", "svm.C = 3\nminimum_cells")
    bag_spec.write_text(more)
    ended = training("run", bag_spec, "-o", bag_spec.parent / "out")
    assert ended.status == 2
    assert "which find svm themselves" in ended.err


def test_a_covariate_that_the_cohort_lacks_is_named(training: Training, bag_spec: Path) -> None:
    bag_spec.write_text(bag_spec.read_text().replace("age_years", "weight"))
    ended = training("run", bag_spec, "-o", bag_spec.parent / "out")
    assert ended.status == 2
    assert "the cohort has no column 'weight', which models.monocyte takes" in ended.err
