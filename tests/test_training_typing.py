"""Learning which class each cell is of: sources, classes, folds, limits, tables, and the bundle."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from tiny import Ended, cell_pixels, kept, png, there
from tiny_types import compact_weights, write_tinted_patients

from export.backbones import build_backbone
from training.typed.acceptance import acceptance_of, sureness_of
from training.typed.tables import JudgedCells, table_of
from training.typing.classes import learnt_classes
from training.typing.inputs import ShownCells
from training.typing.learning import TypingLearning, class_probabilities, folds_of, regression_of
from training.typing.limits import limits_for, softmax, temperature_of
from training.typing.network import encoded, trained_network
from training.typing.options import TypingOptions, default_views
from training.typing.sources import labelled_cells, sources_from_file
from training.typing.turns import SaidInTurn
from vexas_edge.errors import InputError, UsageError

Command = Callable[..., Ended]
CANVAS_PX = 24


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tinted_patients(tmp_path_factory.mktemp("cohort"), 9)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compact_weights(tmp_path_factory.mktemp("start"))


def options(start: Path | None, **other: Any) -> TypingOptions:
    given = {"epochs": 8, "copies": 2, "last": 1, "batch_size": 16, "precision": 0.8, **other}
    return TypingOptions(
        backbone="compact",
        preprocessing="torchvision",
        start=str(start) if start else None,
        canvas_px=CANVAS_PX,
        views=default_views(CANVAS_PX),
        **given,
    )


def learning_of(sources: Path, asked: TypingOptions, folder: Path) -> TypingLearning:
    found = labelled_cells(
        sources_from_file(sources), sources.parent, side_px=asked.side_px, skip_unreadable=False
    )
    cells = found.cells
    return TypingLearning(
        cells=cells,
        classes=learnt_classes(cells.labels, cells.patients),
        options=asked,
        shown=ShownCells(cells, asked, lambda _: None),
        folder=folder,
        say=lambda _: None,
    )


def test_sources_of_three_kinds_are_joined_by_their_vocabularies(
    sources: Path, tmp_path: Path
) -> None:
    shutil.copytree(sources.parent, tmp_path / "cohort")
    for name, tint in (("LY", 2), ("MO", 1)):
        (tmp_path / "folders" / name).mkdir(parents=True)
        (tmp_path / "folders" / name / "a.png").write_bytes(png(cell_pixels(tint, tint)))
    (tmp_path / "crops").mkdir()
    for i in range(2):
        (tmp_path / "crops" / f"{i}.png").write_bytes(png(cell_pixels(50 + i, 0)))
    (tmp_path / "labels.csv").write_text("file,cell_class,patient\n0.png,NGS,A\n1.png,NGB,B\n")
    (tmp_path / "all.toml").write_text(
        '[sources.site]\ncohort = "cohort/cohort.csv"\n'
        '[sources.other]\nfolder = "folders"\nreading = { class_map = "barcelona" }\n'
        '[sources.third]\nlabels = "labels.csv"\nimages = "crops"\n'
        'reading = { class_map = "munich" }\n'
    )
    found = labelled_cells(
        sources_from_file(tmp_path / "all.toml"), tmp_path, side_px=20, skip_unreadable=False
    ).cells
    assert len(found) == 9 * 18 + 2 + 2
    by_source = {
        name: {
            (owner, label)
            for owner, label, source in zip(
                found.patients, found.labels, found.samples, strict=True
            )
            if source == name
        }
        for name in ("other", "third")
    }
    assert by_source["other"] == {("other", "lymphocyte"), ("other", "monocyte")}
    assert by_source["third"] == {
        ("third/A", "neutrophil_segmented"),
        ("third/B", "neutrophil_band"),
    }
    assert ("site/P0", "site") in set(zip(found.patients, found.samples, strict=True))


def test_a_cell_with_two_classes_is_learnt_as_neither(tmp_path: Path) -> None:
    sources = write_tinted_patients(tmp_path, 3)
    signed = tmp_path / "S0" / "Signed slides"
    shutil.copy(signed / "Monocyte" / "0.png", signed / "Lymphocyte" / "again.png")
    found = labelled_cells(sources_from_file(sources), tmp_path, side_px=20, skip_unreadable=False)
    assert len(found.cells) == 3 * 18 - 1
    (line,) = found.lost
    assert "site/P0: Signed slides/Lymphocyte/again.png is lymphocyte" in line or (
        "site/P0: Signed slides/Monocyte/0.png is monocyte" in line
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "sources"),
        ("[sources.a]\n", "exactly one of cohort, folder and labels"),
        ('[sources.a]\nfolder = "x"\nlabels = "y"\n', "exactly one of cohort, folder and labels"),
        ('[sources.a]\nplace = "x"\n', "unknown field `place`"),
        ("not toml", "is not TOML"),
    ],
)
def test_a_wrong_file_of_sources_is_refused_by_name(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises((UsageError, InputError), match=message):
        sources_from_file(tmp_path / "s.toml")


def test_an_unknown_class_and_a_missing_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('[sources.a]\nlabels = "l.csv"\n')
    found = sources_from_file(tmp_path / "s.toml")
    for text, message in (
        ("file,cell_class\na.png,WBC\n", "does not know: 'WBC'"),
        ("file,cell_class\na.png,LY\n", "names 'a.png', which is not in"),
        ("file,cell_class\na.png,\n", "line 2: no value"),
        ("file,class\na.png,LY\n", "has no column cell_class"),
        ("file,cell_class\na.png,LY,P1\n", "line 2: 3 values for 2 columns"),
        ("file,cell_class,patient,Patient\na.png,LY,1,2\n", "column 'patient' twice"),
        ("file,cell_class\n" + "x" * 200_000 + ",LY\n", "table of labels"),
    ):
        (tmp_path / "l.csv").write_text(text)
        with pytest.raises(InputError, match=message):
            labelled_cells(found, tmp_path, side_px=20, skip_unreadable=False)


def test_unreadable_cells_are_an_error_unless_they_are_to_be_skipped(tmp_path: Path) -> None:
    sources = write_tinted_patients(tmp_path, 3)
    (tmp_path / "S0" / "Signed slides" / "Monocyte" / "0.png").write_bytes(b"nothing")
    found = sources_from_file(sources)
    with pytest.raises(InputError, match="1 cells cannot be read"):
        labelled_cells(found, tmp_path, side_px=20, skip_unreadable=False)
    skipped = labelled_cells(found, tmp_path, side_px=20, skip_unreadable=True)
    assert len(skipped.cells) == 53
    assert "Monocyte/0.png" in skipped.lost[0]


def test_a_coarse_class_teaches_its_finer_ones_together() -> None:
    labels = ["neutrophil_band"] * 20 + ["neutrophil_segmented"] * 20 + ["lymphocyte"] * 20
    labels += ["neutrophil"] * 15 + ["plasma_cell"] * 3
    owners = [f"P{i % 5}" for i in range(len(labels))]
    found = learnt_classes(labels, owners)
    assert found.names == ("lymphocyte", "neutrophil_band", "neutrophil_segmented")
    assert found.allowed[60].tolist() == [False, True, True]
    assert found.truth[[0, 20, 40, 60, 77]].tolist() == [1, 2, 0, -1, -1]


def test_a_coarse_class_teaches_nothing_where_only_some_finer_ones_are_learnt() -> None:
    labels = ["neutrophil"] * 50 + ["neutrophil_band"] * 20 + ["lymphocyte"] * 20
    found = learnt_classes(labels, [f"P{i % 5}" for i in range(90)])
    assert found.names == ("lymphocyte", "neutrophil_band")
    assert not found.allowed[:50].any()


def test_limits_for_too_few_patients_are_refused(
    sources: Path, start: Path, tmp_path: Path
) -> None:
    learning = learning_of(sources, options(start), tmp_path)
    one = np.flatnonzero(np.array(learning.cells.patients) == "site/P0")
    with pytest.raises(InputError, match="cells of 1 patients, or sources"):
        learning(one)


def test_too_few_cells_of_all_classes_but_one_are_refused_with_the_counts() -> None:
    with pytest.raises(InputError, match="lymphocyte 30, monocyte 3"):
        learnt_classes(["lymphocyte"] * 30 + ["monocyte"] * 3, ["P1", "P2", "P3"] * 11)


def test_no_patient_is_on_both_sides_of_a_fold() -> None:
    labels = ["lymphocyte", "monocyte"] * 30
    owners = [f"P{i // 6}" for i in range(60)]
    for fit, judge in folds_of(labels, owners, 5):
        assert not {owners[i] for i in fit} & {owners[i] for i in judge}
    with pytest.raises(InputError, match="there are 2"):
        folds_of(labels, ["A", "B"] * 30, 3)


def test_limits_let_through_as_many_as_stay_precise() -> None:
    """Of those named lymphocytes, the surest nine in ten are right down to 0.7, and no further."""
    probability = np.linspace(0.99, 0.5, 50)
    labels = np.where(np.arange(50) < 30, "lymphocyte", "monocyte")
    rows = np.stack([probability, 1 - probability], axis=1)
    limits = limits_for(rows, ("lymphocyte", "monocyte"), labels.tolist(), 0.9)
    assert limits == {"lymphocyte": pytest.approx(probability[32])}  # 30 of 33
    assert limits_for(rows, ("lymphocyte", "monocyte"), ["monocyte"] * 50, 0.9) == {}


def test_a_wide_name_is_right_for_any_finer_class() -> None:
    classes = ("lymphocyte", "neutrophil_band", "neutrophil_segmented")
    rows = np.tile([0.02, 0.49, 0.49], (40, 1))
    rows[:, 1] += np.linspace(0, 0.001, 40)
    labels = ["neutrophil_band", "neutrophil_segmented"] * 20
    assert set(limits_for(rows, classes, labels, 0.9)) == {"neutrophil"}


def test_temperature_cools_what_is_too_sure() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 4000)
    logits = rng.normal(size=(4000, 3)) + 1.5 * np.eye(3)[truth]
    allowed = np.eye(3, dtype=bool)[truth]
    honest = temperature_of(logits, allowed)
    assert temperature_of(4 * logits, allowed) == pytest.approx(4 * honest, rel=0.02)
    assert softmax(logits, 2.0).sum(axis=1) == pytest.approx(np.ones(4000))


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_a_linear_layer_and_its_regression_say_the_same(n_classes: int) -> None:
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(n_classes, 6)), rng.normal(size=n_classes)
    rows = rng.normal(size=(20, 6))
    names = [f"class {i}" for i in range(n_classes)]
    found = regression_of(weights, bias, names).predict_proba(rows)
    assert found == pytest.approx(softmax(rows @ weights.T + bias), abs=1e-12)


@pytest.mark.parametrize("train", ["head", "last", "all"])
@pytest.mark.parametrize("head", ["softmax", "svm"])
def test_each_recipe_learns_to_tell_tints_apart(
    train: Any, head: Any, sources: Path, start: Path, tmp_path: Path
) -> None:
    learning = learning_of(sources, options(start, train=train, head=head), tmp_path)
    fit, judge = folds_of(learning.cells.labels, learning.cells.patients, 3)[0]
    taught = learning(fit, n_folds=2)
    kind = LogisticRegression if head == "softmax" else CalibratedClassifierCV
    assert isinstance(taught.classifier, kind)
    shown = encoded(taught.network, learning.shown, judge)
    said = class_probabilities(taught.classifier, shown, learning.classes.names)
    assert said.sum(axis=1) == pytest.approx(np.ones(len(judge)))
    right = said.argmax(axis=1) == learning.classes.truth[judge]
    assert right.mean() > 0.6  # a third by chance


def test_training_is_the_same_twice_and_is_not_repeated(
    sources: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (learning_of(sources, options(start), tmp_path / name) for name in ("a", "b"))
    for learning in (first, second):
        learning.folder.mkdir()
    rows = np.arange(len(first.cells))
    held_out = first(rows, n_folds=2).held_out
    assert np.array_equal(second(rows, n_folds=2).held_out, held_out)
    monkeypatch.setattr("training.typing.learning.trained_network", None)
    assert np.array_equal(first(rows, n_folds=2).held_out, held_out)


def test_frozen_stages_stay_as_they_are(sources: Path, start: Path, tmp_path: Path) -> None:
    asked = options(start, train="last")
    learning = learning_of(sources, asked, tmp_path)
    rows = np.arange(len(learning.cells))
    network = trained_network(asked, learning.shown, learning.classes, rows)
    before = build_backbone("compact")
    before.load_state_dict(load_file(start))
    moved = [
        name
        for name, tensor in network.backbone.state_dict().items()
        if not torch.equal(tensor, before.state_dict()[name])
    ]
    late = {name for name, _ in network.late.named_parameters()}
    assert len(moved) == len(late) > 0
    assert encoded(network, learning.shown, rows[:5]).shape == (5, network.backbone.width)


def judged(labels: list[str], said: list[str], classes: tuple[str, ...]) -> JudgedCells:
    places = [classes.index(name) for name in said]
    return JudgedCells(
        labels=tuple(labels),
        owners=tuple(f"P{i % 4}" for i in range(len(labels))),
        sources=tuple("ab"[i % 2] for i in range(len(labels))),
        said=SaidInTurn(
            classes=classes,
            probabilities=np.eye(len(classes))[places] * 0.9 + 0.1 / len(classes),
            names=np.array(said, dtype=object),
            strange=np.zeros(len(labels), bool),
        ),
    )


def test_tables_have_the_figures_of_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

    rng = np.random.default_rng(0)
    classes = ("lymphocyte", "monocyte", "neutrophil_band", "neutrophil_segmented")
    labels = rng.choice(classes, 200).tolist()
    said = [x if rng.random() < 0.7 else str(rng.choice(classes)) for x in labels]
    table = there(table_of(judged(labels, said, classes), "eleven"))
    assert table.accuracy == pytest.approx(accuracy_score(labels, said))
    assert table.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(labels, said))
    assert table.macro_f1 == pytest.approx(f1_score(labels, said, average="macro"))
    five = there(table_of(judged(labels, said, classes), "five"))
    wide = {name: name.partition("_")[0] for name in classes}
    expected = balanced_accuracy_score([wide[x] for x in labels], [wide[x] for x in said])
    assert five.balanced_accuracy.value == pytest.approx(expected)
    assert five.balanced_accuracy.low < expected < five.balanced_accuracy.high
    assert set(five.per_source) == {"a", "b"}


def test_acceptance_counts_cells_of_every_class() -> None:
    classes = ("lymphocyte", "monocyte")
    labels = ["lymphocyte"] * 8 + ["plasma_cell"] * 2 + ["monocyte"] * 5
    found = judged(labels, ["lymphocyte"] * 10 + ["monocyte"] * 5, classes)
    of_names = acceptance_of(found).of_names
    assert of_names["lymphocyte"].precision == pytest.approx(0.8)
    assert of_names["lymphocyte"].found == 1.0
    assert acceptance_of(found).of_labels["plasma_cell"] == {"lymphocyte": 2}
    assert sureness_of(found).error == pytest.approx(0.05)  # all right, said to be so to 0.95


def test_from_labelled_smears_to_a_count_by_public_commands(
    vexas_workshop: Command, vexas_edge: Command, sources: Path, start: Path, tmp_path: Path
) -> None:
    out = tmp_path / "types"
    trained = vexas_workshop(
        *("train", "typing", sources, "--backbone", "compact", "--preprocessing", "torchvision"),
        *("--start", start, "--canvas-px", str(CANVAS_PX), "--last", "1", "--epochs", "8"),
        *("--copies", "2", "--precision", "0.8", "--folds", "3", "-o", out),
    )
    assert trained.status == 0, trained.err
    assert "an SVM on features that nobody trained" in trained.out
    page = (out / "typing.html").read_text()
    assert "Which cells are named" in page
    figures = json.loads((out / "typing.json").read_text())
    assert figures["tables"]["five"]["balanced_accuracy"]["value"] > 0.5  # a third by chance
    exported = vexas_workshop("export", "bundle", out / "spec.toml", "-o", tmp_path / "T.vxb")
    assert exported.status == 0, exported.err
    again = vexas_workshop("train", "types", tmp_path / "T.vxb", sources, "-o", tmp_path / "j")
    assert again.status == 0, again.err
    assert "five classes: 162 cells" in again.out
    flat = tmp_path / "P1"
    flat.mkdir()
    for i in range(30):
        (flat / f"{i}.png").write_bytes(png(cell_pixels(70_000 + i, i % 3)))
    ended = vexas_edge("score", flat, "--bundle", tmp_path / "T.vxb", "-o", tmp_path / "results")
    assert ended.status == 0, ended.err
    result = kept(tmp_path / "results", "P1")
    counts = {name: count["n"] for name, count in result["differential"].items()}
    assert sum(counts.values()) > 15
    assert set(counts) <= {"neutrophil_segmented", "monocyte", "lymphocyte"}
