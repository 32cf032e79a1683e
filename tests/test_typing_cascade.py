"""Two models that name cells in turn: how what they say is joined, learnt, exported and scored."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import Ended, kept
from tiny_types import compact_weights, write_tinted_patients

from training.typing.turns import OneSaid, said_in_turn
from vexas_edge import open_bundle
from vexas_edge.bundle.graphs import FUSED
from vexas_edge.scoring import encoding
from vexas_edge.scoring.encoded import Encoded
from vexas_edge.scoring.images.reading import ReadCells

Command = Callable[..., Ended]
CANVAS_PX = 24
FINE = ("Segmented neutrophils", "Band neutrophils", "Lymphocyte")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compact_weights(tmp_path_factory.mktemp("start"))


def test_a_later_model_shares_out_what_its_classes_had_and_names_its_cells_anew() -> None:
    first = OneSaid(
        classes=("lymphocyte", "neutrophil"),
        probabilities=np.array([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1], [0.5, 0.5]]),
        limits={"lymphocyte": 0.7, "neutrophil": 0.7},
    )
    second = OneSaid(
        classes=("neutrophil_band", "neutrophil_segmented"),
        probabilities=np.array([[0.2, 0.8], [0.45, 0.55], [0.0, 1.0], [0.0, 1.0]]),
        limits={"neutrophil_segmented": 0.75},
        of=("neutrophil",),
    )
    said = said_in_turn(first, second)
    assert said.classes == ("lymphocyte", "neutrophil_band", "neutrophil_segmented")
    assert said.probabilities[0] == pytest.approx([0.1, 0.18, 0.72])
    assert said.probabilities.sum(axis=1) == pytest.approx(np.ones(4))
    assert said.names.tolist() == ["neutrophil_segmented", "neutrophil", "lymphocyte", ""]


def test_a_later_model_may_say_a_class_that_the_first_has_too() -> None:
    first = OneSaid(
        classes=("blast", "lymphocyte", "monocyte"),
        probabilities=np.array([[0.2, 0.5, 0.3]]),
        limits={"lymphocyte": 0.4},
    )
    second = OneSaid(
        classes=("blast", "lymphocyte"),
        probabilities=np.array([[0.6, 0.4]]),
        limits={"blast": 0.5},
        of=("lymphocyte",),
    )
    said = said_in_turn(first, second)
    assert dict(zip(said.classes, said.probabilities[0].round(6).tolist(), strict=True)) == {
        "blast": 0.5,
        "lymphocyte": 0.2,
        "monocyte": 0.3,
    }
    assert said.names.tolist() == ["blast"]


def test_classes_are_the_same_in_all_folds_whatever_names_have_limits() -> None:
    """Probability is shared out whether or not the first model is sure enough to name a class."""
    first = OneSaid(
        classes=("immature_granulocyte", "lymphocyte", "neutrophil"),
        probabilities=np.array([[0.3, 0.1, 0.6]]),
        limits={"neutrophil": 0.5},
    )
    second = OneSaid(
        classes=("myelocyte", "neutrophil_band"),
        probabilities=np.array([[0.5, 0.5]]),
        limits={},
        of=("neutrophil", "immature_granulocyte"),
    )
    said = said_in_turn(first, second)
    assert said.classes == ("lymphocyte", "myelocyte", "neutrophil_band")
    assert said.probabilities[0] == pytest.approx([0.1, 0.45, 0.45])
    assert said.names.tolist() == ["neutrophil"]


def test_from_labelled_smears_to_fine_names_by_public_commands(
    vexas_workshop: Command,
    vexas_edge: Command,
    start: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What `train types` says of the bundle is what `score` names."""
    sources = write_tinted_patients(tmp_path / "cohort", 9, folders=FINE)
    out, bundle, judged = tmp_path / "types", tmp_path / "T.vxb", tmp_path / "judged"
    network = ("--backbone", "compact", "--preprocessing", "torchvision", "--start", start)
    trained = vexas_workshop(
        *("train", "typing", sources, *network, "--cascade", "--canvas-px", str(CANVAS_PX)),
        *("--train", "head", "--epochs", "16", "--copies", "2", "--precision", "0.6"),
        *("--folds", "3", "-o", out),
    )
    assert trained.status == 0, trained.err
    assert "162 cells of 9 patients or sources; 2, then 2 classes" in trained.err
    assert "so nothing tells strange smears, and cells of any smear are named" in trained.err
    figures = json.loads((out / "typing.json").read_text())
    assert figures["classes"] == ["lymphocyte", "neutrophil_band", "neutrophil_segmented"]
    assert figures["tables"]["eleven"]["balanced_accuracy"]["value"] > 0.5  # a third by chance
    exported = vexas_workshop("export", "bundle", out / "spec.toml", "-o", bundle)
    assert exported.status == 0, exported.err
    typing = open_bundle(bundle).manifest.typing
    assert list(typing) == ["leukocyte", "granulocyte"]
    assert typing["granulocyte"].of == ("neutrophil",)
    again = vexas_workshop("train", "types", bundle, sources, "-o", judged)
    assert again.status == 0, again.err
    assert "leukocyte, then granulocyte" in again.out
    said = json.loads((judged / "typing.json").read_text())["acceptance"]["of_labels"]
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, cell in enumerate(sorted((tmp_path / "cohort").rglob("*.png"))):
        shutil.copy(cell, flat / f"{i}.png")
    counted: Counter[str] = Counter()
    whole = encoding.encode_cells

    def counting(read: ReadCells, name: str, *others: Any) -> Encoded:
        counted[name] += sum(cell.record.identity not in others[3] for cell in read.distinct)
        return whole(read, name, *others)

    monkeypatch.setattr(encoding, "encode_cells", counting)
    ended = vexas_edge("score", flat, "--bundle", bundle, "-o", tmp_path / "results")
    assert ended.status == 0, ended.err
    counts = kept(tmp_path / "results", "flat")["differential"]
    named = sum((Counter(of) for of in said.values()), Counter())
    del named[""]
    assert {name: count["n"] for name, count in counts.items()} == named
    first, second = open_bundle(bundle).manifest.typing.values()
    assert first.files[FUSED].encoder == second.files[FUSED].encoder  # each cell is seen once
    assert sum(counted.values()) == 162
    assert named["neutrophil_segmented"] > 20
    assert named["neutrophil_band"] > 5


def test_a_cascade_without_finer_classes_is_refused(
    vexas_workshop: Command, start: Path, tmp_path: Path
) -> None:
    sources = write_tinted_patients(tmp_path / "cohort", 4)
    ended = vexas_workshop(
        *("train", "typing", sources, "--backbone", "compact", "--preprocessing", "torchvision"),
        *("--start", start, "--cascade", "--canvas-px", str(CANVAS_PX), "--folds", "2"),
        *("-o", tmp_path / "out"),
    )
    assert ended.status == 5
    assert "there are too few of neutrophil, neutrophil_band; of immature_granul" in ended.err
