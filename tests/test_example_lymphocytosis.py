"""The worked example on real cells, beside a plain NumPy and scikit-learn reference."""

import csv
import hashlib
import json
import shutil
import struct
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import skops.io
from cpu_kinds import FOR_CPUS, JUDGEABLE
from draw_parity import at_the_jump, check_draws
from PIL import Image
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from export.classifier_parity import reference_decisions
from vexas_edge import open_bundle
from vexas_edge.host.libraries import load_library
from vexas_edge.scoring.draws import draw_cells
from vexas_edge.scoring.figures.labels import label_indices

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

onnxruntime = load_library("onnxruntime")

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "lymphocytosis" / "run.py"
CAFFE_MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)
SCORE_TOLERANCE = 1e-5

pytestmark = pytest.mark.real_data


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A patient as read without the project's code. draws: int64 (1000, 10)."""

    folder: Path
    label: str
    split: str
    encodings: np.ndarray
    draws: np.ndarray

    def aggregates(self) -> np.ndarray:
        return np.median(self.encodings[self.draws], axis=1).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Example:
    """What one run of the example left, and the reference of its patients."""

    out: Path
    patients: dict[str, Reference]


def run_example(shared_data: Path, out: Path, *options: str) -> str:
    encoder = shared_data / "squeezenet11" / "squeezenet11_notop_gap.onnx"
    command: list[str | Path] = [sys.executable, SCRIPT, shared_data / "lymphocytosis", encoder]
    command += ["-o", out, *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=out.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def example(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Example:
    out = tmp_path_factory.mktemp("lymphocytosis") / "out"
    run_example(shared_data, out, "--repeats", "0")
    return Example(out=out, patients=reference_patients(shared_data))


def reference_patients(shared_data: Path) -> dict[str, Reference]:
    encoder = shared_data / "squeezenet11" / "squeezenet11_notop_gap.onnx"
    session = onnxruntime.InferenceSession(encoder)
    with (shared_data / "lymphocytosis" / "cohort.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {row["patient"]: reference_patient(row, shared_data, session) for row in rows}


def identity_of(file: Path) -> bytes:
    with Image.open(file) as image:
        size = struct.pack("<II", image.height, image.width)
        return hashlib.blake2b(size + image.convert("RGB").tobytes(), digest_size=32).digest()


def reference_patient(
    row: dict[str, str], shared_data: Path, session: "InferenceSession"
) -> Reference:
    folder = shared_data / "lymphocytosis" / row["path"]
    pixels, identities = [], []
    for file in sorted(folder.glob("*.jpg")):
        image = Image.open(file).convert("RGB").crop((56, 56, 168, 168))
        bgr = np.asarray(image)[..., ::-1].astype(np.float32) - CAFFE_MEAN_BGR
        pixels.append(bgr.transpose(2, 0, 1))
        identities.append(identity_of(file))
    (embedding,) = session.run(None, {"image": np.stack(pixels)})
    return Reference(
        folder=folder,
        label=row["label"],
        split=row["split"],
        encodings=embedding / np.linalg.norm(embedding, axis=1, keepdims=True),
        draws=draw_cells(identities, 1000, 10, seed=0),
    )


def case_scores(scores: Path) -> dict[str, float]:
    with (scores / "cases.csv").open(newline="") as stream:
        return {row["case"]: float(row["score"]) for row in csv.DictReader(stream)}


def tumoral_score(classifier: SVC, aggregates: np.ndarray) -> float:
    column = list(classifier.classes_).index("tumoral")
    return float(classifier.predict_proba(aggregates)[:, column].mean())


def reference_scores(out: Path, names: list[str], patients: dict[str, Reference]) -> np.ndarray:
    """Scores by the SVM that the example fitted in `out`, evaluated by scikit-learn."""
    classifier = skops.io.load(out / "classifier.skops")
    medians = [patients[name].aggregates() for name in names]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return np.array(list(pool.map(tumoral_score, [classifier] * len(names), medians)))


def fold_folders(out: Path) -> list[Path]:
    return sorted(out.glob("fold-*"))


def test_every_score_and_both_roc_aucs_are_the_references(example: Example) -> None:
    report = json.loads((example.out / "report.json").read_text())
    found: dict[str, float] = {}
    expected: dict[str, float] = {}
    for folder in [example.out, *fold_folders(example.out)]:
        scores = case_scores(folder / "scores")
        names = list(scores)
        reference = reference_scores(folder, names, example.patients)
        assert np.abs(np.array(list(scores.values())) - reference).max() < SCORE_TOLERANCE
        if folder == example.out:
            tumoral = [example.patients[name].label == "tumoral" for name in names]
            auc = roc_auc_score(tumoral, reference)
            assert len(names) == 40
            assert report["cohort_split"]["roc_auc"] == pytest.approx(auc, abs=5e-5)
        else:
            found.update(scores)
            expected.update(zip(names, reference, strict=True))
    assert len(fold_folders(example.out)) == 5
    assert found == report["out_of_fold_scores"]
    assert found.keys() == expected.keys() == example.patients.keys()
    tumoral = [example.patients[name].label == "tumoral" for name in expected]
    auc = roc_auc_score(tumoral, list(expected.values()))
    assert report["out_of_fold"]["roc_auc"] == pytest.approx(auc, abs=5e-5)
    assert 0.85 < auc < 0.95


def test_the_svm_is_the_one_that_the_plain_recipe_fits(example: Example) -> None:
    fit = [p for p in example.patients.values() if p.split == "fit"]
    # A draw does not depend on how many follow it, so the first 100 are those of the fit.
    features = np.concatenate([np.median(p.encodings[p.draws[:100]], axis=1) for p in fit])
    labels = np.repeat([p.label for p in fit], 100)
    classifier = skops.io.load(example.out / "classifier.skops")
    plain = SVC(C=1, kernel="rbf").fit(features, labels)
    assert classifier.support_.tolist() == plain.support_.tolist()
    assert np.abs(classifier.dual_coef_ - plain.dual_coef_).max() < 1e-9


def scores_of_the_other_forty(example: Example, folder: Path, *options: str) -> dict[str, float]:
    """What one command makes of a folder of the patients that were not fitted on."""
    ward, out = folder / "ward", folder / "scores"
    for name, patient in example.patients.items():
        if patient.split == "judge":
            shutil.copytree(patient.folder, ward / name)
    bundle = example.out / "lymphocytosis.vxb"
    command: list[str | Path] = [sys.executable, "-m", "vexas_edge", "score", ward, "--recursive"]
    command += ["--cell-type", "lymphocyte", "--bundle", bundle, "-o", out, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 40
    return case_scores(out)


def test_one_command_scores_a_folder_of_the_other_forty(example: Example, tmp_path: Path) -> None:
    found = scores_of_the_other_forty(example, tmp_path)
    assert found == case_scores(example.out / "scores")


def test_scores_of_real_patients_agree_across_engines(example: Example, tmp_path: Path) -> None:
    found = scores_of_the_other_forty(
        example, tmp_path, "--engine", "openvino", "--precision", "fp32"
    )
    reference = case_scores(example.out / "scores")
    assert found.keys() == reference.keys()
    assert max(abs(found[name] - reference[name]) for name in reference) < 1e-3


def test_head_of_over_two_thousand_vectors_is_scikit_learn_on_every_draw(example: Example) -> None:
    classifier = skops.io.load(example.out / "classifier.skops")
    assert len(classifier.support_vectors_) > 2000
    head = open_bundle(example.out / "lymphocytosis.vxb").model_file("lymphocyte", "head.onnx")
    session = onnxruntime.InferenceSession(head)
    judged = [p for p in example.patients.values() if p.split == "judge"]
    aggregates = np.concatenate([p.aggregates()[:200] for p in judged])
    outputs = [
        session.run(
            ["probabilities", "decisions"], {"encodings": p.encodings, "draws": p.draws[:200]}
        )
        for p in judged
    ]
    probabilities, decisions = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
    expected = classifier.predict_proba(aggregates)
    pairs = reference_decisions(classifier, aggregates)
    check_draws(probabilities, expected, at_the_jump(classifier, pairs))
    for rule in ("votes", "argmax"):
        ours = label_indices(decisions, probabilities, rule)
        assert (ours == label_indices(pairs, expected, rule)).all()
    votes = label_indices(decisions, probabilities, "votes")
    assert (classifier.classes_[votes] == classifier.predict(aggregates)).all()


def test_quick_run_prints_the_covariates_beside_the_model(
    shared_data: Path, tmp_path: Path
) -> None:
    printed = run_example(shared_data, tmp_path / "out", "--quick")
    assert "2 folds pooled, by vexas-edge score" in printed
    for covariate in ("sex", "age_years", "lymphocyte_count_e9_per_l"):
        assert f"    {covariate} (" in printed
    assert "the image score's figure shows no added value by itself" in printed
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["out_of_fold"]["n"] == 24


def test_precision_judges_our_graphs_and_the_stock_recipe_alike(
    shared_data: Path, tmp_path: Path
) -> None:
    encoder = shared_data / "squeezenet11" / "squeezenet11_notop_gap.onnx"
    script = SCRIPT.with_name("precision.py")
    command: list[str | Path] = [sys.executable, script, shared_data / "lymphocytosis", encoder]
    command += ["-o", tmp_path, "--quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = {f["graph"]: f for f in json.loads((tmp_path / "precision.json").read_text())}
    assert figures.keys() == {
        *("fp16", *JUDGEABLE),
        *("stock-int8", "stock-int8-rr", "stock-int8-trt"),
    }
    for kind in FOR_CPUS:
        ours, stock = figures[kind], figures[f"stock-{kind}"]
        assert ours["cosine_p1"] > stock["cosine_p1"]
        share = ours["decision_drift"] / stock["decision_drift"]
        assert ours["of_stock_drift"] == pytest.approx(share)
        assert share < 1
    assert "over all splits:" in done.stdout


def test_encoders_are_pretrained_without_the_patients_who_are_judged(
    shared_data: Path, tmp_path: Path
) -> None:
    scripts = SCRIPT.parent
    encoder = shared_data / "squeezenet11" / "squeezenet11_notop_gap.onnx"
    command: list[str | Path] = [sys.executable, scripts / "contrastive.py"]
    command += [shared_data / "lymphocytosis", encoder, "-o", tmp_path / "out"]
    command += ["--quick", "--folds", "2", "--seeds", "0", "--threads", "2"]
    subprocess.run(command, check=True, capture_output=True)
    other = [*command[:-5], "3", *command[-4:]]  # folds, in a folder of others
    refused = subprocess.run(other, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "is of another run; name another folder" in refused.stderr
    for fold in (tmp_path / "out").glob("fold-?"):
        with (fold / "cohort.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        cells = sum(len(list(Path(r["path"]).iterdir())) for r in rows if r["split"] == "fit")
        for recipe in ("paper-0", "recipe-0"):
            (head, epoch) = (fold / recipe / "pretrain.jsonl").read_text().splitlines()
            assert json.loads(head)["cells"] == cells
            assert json.loads(epoch)["epoch"] == 1
    lines = tmp_path / "lines.jsonl"
    judging: list[str | Path] = [sys.executable, scripts / "contrastive_figures.py"]
    judging += [tmp_path / "out", "--lines", lines, "--draws", "5", "--draw-seeds", "0,1"]
    for _ in range(2):  # the second time there is nothing left to judge
        subprocess.run(judging, check=True, capture_output=True)
        found = [json.loads(line) for line in lines.read_text().splitlines()]
        assert [(line["draw_seed"], line["encoder"]) for line in found] == [
            (seed, name) for seed in (0, 1) for name in ("frozen", "paper-0", "recipe-0")
        ]
    for line in found:
        assert line["patients"] == 20
        gained = line["roc_auc_gained"]
        assert gained["low"] <= gained["value"] <= gained["high"]
        if line["encoder"] == "frozen":
            assert gained == {"value": 0, "low": 0, "high": 0}


def test_bags_are_judged_beside_covariates_once(shared_data: Path, tmp_path: Path) -> None:
    encoder = shared_data / "squeezenet11" / "squeezenet11_notop_gap.onnx"
    lines = tmp_path / "lines.jsonl"
    command: list[str | Path] = [sys.executable, SCRIPT.parent / "bags.py"]
    command += [shared_data / "lymphocytosis", encoder, "-o", tmp_path / "out", "--lines", lines]
    command += ["--quick", "--train", "head", "--only", "learned", "--threads", "2"]
    for _ in range(2):  # the second time there is nothing left to train
        subprocess.run(command, check=True, capture_output=True)
        (line,) = map(json.loads, lines.read_text().splitlines())
    assert (line["train"], line["aggregation"], line["seed"]) == ("head", "learned", 0)
    assert line["how"] == "2 folds of 20 patients"
    assert line["both less covariates"].keys() == {"roc_auc", "balanced_accuracy"}
    assert not set(line) & {"scores", "groups"}  # nothing of a single patient
    assert (tmp_path / "out" / "head-learned-0" / "bags.safetensors").exists()
