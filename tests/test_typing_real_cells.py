"""Real cells of patients with leukaemia: read, learnt and named. It skips where they are absent."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import Ended

Command = Callable[..., Ended]
PATIENTS = 24


@pytest.fixture
def sources(shared_data: Path, tmp_path: Path) -> Path:
    """The first patients of the cohort, with the damaged and twice-filed cells as they are."""
    lines = ["patient,sample,path,label,split"]
    root = shared_data / "jhu_discovery"
    for number in range(PATIENTS):
        patient = f"Patient_{number:02}"
        for slides in sorted((root / patient).rglob("Signed slides")):
            sample = slides.parent.relative_to(root).as_posix().replace("/", "-")
            lines.append(f"{patient},{sample},{slides.parent},any,fit")
    (tmp_path / "cohort.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "sources.toml").write_text('[sources.hospital]\ncohort = "cohort.csv"\n')
    return tmp_path / "sources.toml"


def test_frozen_features_tell_the_common_cells_of_real_smears_apart(
    vexas_workshop: Command, vexas_edge: Command, sources: Path, shared_data: Path, tmp_path: Path
) -> None:
    (encoder,) = (shared_data / "squeezenet11").glob("*.onnx")
    out = tmp_path / "types"
    learnt = ("--train", "head", "--epochs", "6", "--copies", "1", "--canvas-px", "112")
    network = ("--backbone", "squeezenet11", "--preprocessing", "keras-caffe")
    trained = vexas_workshop(
        *("train", "typing", sources, *network, "--start", encoder, *learnt),
        *("--folds", "3", "--precision", "0.8", "--skip-unreadable", "-o", out),
    )
    assert trained.status == 0, trained.err
    assert "warning: left out: hospital/Patient_" in trained.err
    five = json.loads((out / "typing.json").read_text())["tables"]["five"]["classes"]
    for name in ("neutrophil", "lymphocyte", "monocyte"):
        assert five[name]["recall"] > 0.6
    bundle = tmp_path / "TYPES.vxb"
    assert vexas_workshop("export", "bundle", out / "spec.toml", "-o", bundle).status == 0
    smear = shared_data / "jhu_discovery" / "Patient_25"
    ended = vexas_edge("score", smear, "--bundle", bundle)
    assert ended.status == 0, ended.err
    assert "lymphocyte" in ended.out
