"""The cases and bundles on which `same_scores.py` compares two trees.

Inputs are made once and handed to both trees: encoders as ONNX files, fitted SVMs as .skops files,
drawn cells. Each tree exports its own bundles from them.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray
from onnx import TensorProto
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC
from tree_probe import Scoring

from export.graph import GraphBuilder, tensor
from export.inputs import load_encoder
from export.preprocessing import PREPROCESSINGS, Preprocessing, pixels_from_cells
from vexas_edge import read_case
from vexas_edge.cells.canvas import Canvas, decode_cell
from vexas_edge.scoring.draws import draw_cells
from vexas_edge.smear.cohort import read_cohort
from vexas_edge.smear.options import ReadOptions

DEMO = "demo"
DEMO_SMEAR = "vexas_edge/demo/smear.zip"

# As the tree chooses; a call a cell; some calls, the last of them smaller; all cells at once.
CHUNKS = (None, 1, 7, 1000)

PATIENTS_PX = 112
PATIENTS_PREPROCESSING = "keras-caffe"
FITTED_PER_LABEL, SCORED_PER_LABEL = 6, 2

TINTS = {
    "reactive": (200, 90, 120),
    "MDS": (120, 190, 110),
    "VEXAS": (90, 110, 210),
    "control": (190, 180, 90),
}
DRAWN_PX = 16
DRAWN_PREPROCESSING = Preprocessing(mean=(120, 110, 100), scale=(60, 60, 60))
ENCODING_WIDTH = 8
SMEARS_PER_CLASS, CELLS_PER_SMEAR = 4, 30
FORMATS = ("PNG", "BMP", "TIFF", "JPEG")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What both trees do. specs: of the bundles to export, by the bundle's name.

    scorings: each names its bundle. left_out: what is not compared on this PC and why.
    """

    specs: Mapping[str, dict[str, Any]]
    scorings: tuple[Scoring, ...]
    left_out: tuple[str, ...] = ()


def whole_plan(root: Path, data: Path, scratch: Path) -> Plan:
    """The demo's smear, real patients where there are any in `data`, and drawn cells."""
    plans = [demo_plan(root), patients_plan(data, scratch), four_class_plan(scratch)]
    return Plan(
        specs={name: spec for plan in plans for name, spec in plan.specs.items()},
        scorings=tuple(scoring for plan in plans for scoring in plan.scorings),
        left_out=tuple(line for plan in plans for line in plan.left_out),
    )


def demo_plan(root: Path) -> Plan:
    """The drawn smear that ships with the wheel, with the bundle beside it."""
    smear = str(root / DEMO_SMEAR)
    return Plan(
        specs={},
        scorings=tuple(
            scoring
            for precision in ("fp32", "int8")
            for scoring in in_chunks(
                Scoring(name="demo smear", bundle=DEMO, case=smear, precision=precision)
            )
        ),
    )


def patients_plan(data: Path, scratch: Path) -> Plan:
    """Real patients, scored by SqueezeNet and an SVM that was fitted on other patients."""
    cohort, encoders = data / "lymphocytosis" / "cohort.csv", data / "squeezenet11"
    if not (cohort.is_file() and encoders.is_dir()):
        return Plan(specs={}, scorings=(), left_out=(f"real patients: there are none at {data}",))
    (encoder,) = encoders.glob("*.onnx")
    folders = _folders_by_label(cohort, "fit", FITTED_PER_LABEL)
    model = {
        "cells": ["lymphocyte"],
        "encoder": str(encoder.resolve()),
        "preprocessing": PATIENTS_PREPROCESSING,
        "canvas_px": PATIENTS_PX,
        "larger": "crop",
        "encoding": "l2",
        "parity_cells": str(folders["tumoral"][0].resolve()),
    }
    preprocessing = PREPROCESSINGS[PATIENTS_PREPROCESSING]
    features, labels = labelled_medians(folders, encoder, PATIENTS_PX, preprocessing)
    classifier = _kept(_fitted_svc(features, labels), scratch / "patients.skops")
    judged = _folders_by_label(cohort, "judge", SCORED_PER_LABEL).values()
    scorings = (
        Scoring(
            name=f"patient {case.name}",
            bundle="patients",
            case=str(case.resolve()),
            cell_type="lymphocyte",
        )
        for cases in judged
        for case in cases
    )
    return Plan(
        specs={"patients": _spec("patients", "tumoral", {"lymphocyte": model}, classifier)},
        scorings=tuple(chunked for scoring in scorings for chunked in in_chunks(scoring)),
    )


def four_class_plan(scratch: Path) -> Plan:
    """Drawn cells and two heads of four classes: one labels by votes, one by probability."""
    encoder = write_small_encoder(scratch / "small.onnx")
    folders = write_drawn_smears(scratch / "drawn")
    preprocessing = {"mean": DRAWN_PREPROCESSING.mean, "scale": DRAWN_PREPROCESSING.scale}
    model = {
        "cells": ["neutrophil"],
        "encoder": str(encoder),
        "preprocessing": preprocessing,
        "canvas_px": DRAWN_PX,
        "larger": "crop",
        "encoding": "l2",
        "parity_cells": str(folders["control"][0]),
    }
    features, labels = labelled_medians(folders, encoder, DRAWN_PX, DRAWN_PREPROCESSING)
    calibrated = CalibratedClassifierCV(SVC(), ensemble=False, cv=4).fit(features, labels)
    fitted = {"votes": _fitted_svc(features, labels), "argmax": calibrated}
    smear = str(write_mixed_smear(scratch / "mixed"))
    specs: dict[str, dict[str, Any]] = {}
    scorings: list[Scoring] = []
    for rule, classifier in fitted.items():
        name = f"four-classes-{rule}"
        kept = _kept(classifier, scratch / f"{name}.skops")
        specs[name] = _spec(name, "VEXAS", {"neutrophil": model}, kept)
        scorings += in_chunks(Scoring(name="drawn cells", bundle=name, case=smear))
    return Plan(specs=specs, scorings=tuple(scorings))


def in_chunks(scoring: Scoring) -> Iterator[Scoring]:
    """The same scoring in calls of different sizes."""
    for chunk_cells in CHUNKS:
        size = f"cells per call: {chunk_cells or 'as chosen'}"
        name = f"{scoring.bundle}, {scoring.precision}, {scoring.name}, {size}"
        yield replace(scoring, name=name, chunk_cells=chunk_cells)


def labelled_medians(
    folders: Mapping[str, list[Path]], encoder: Path, canvas_px: int, preprocessing: Preprocessing
) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Medians float32 (A, D) of random cells of each smear, and each one's label (A,)."""
    canvas = Canvas(canvas_px=canvas_px, larger="crop")
    encode = load_encoder(encoder.name, encoder.parent, canvas_px=canvas_px).reference
    medians, labels = [], []
    for label, smears in folders.items():
        for smear in smears:
            with read_case(smear, ReadOptions(cell_type="lymphocyte")) as case:
                decoded = [decode_cell(case.source, cell, canvas) for cell in case.cells]
            pixels = np.stack([cell.pixels for cell in decoded if cell.pixels is not None])
            embedding = encode(pixels_from_cells(pixels, preprocessing))
            encodings = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
            draws = draw_cells([cell.identity for cell in decoded], 20, 10, 0)
            medians.append(np.median(encodings[draws], axis=1))
            labels += [label] * len(draws)
    return np.concatenate(medians), np.array(labels)


def write_small_encoder(to: Path) -> Path:
    """Two convolutions of random weights, averaged: float32 (N, 3, 16, 16) to (N, 8)."""
    rng = np.random.Generator(np.random.PCG64(0))
    graph, values = GraphBuilder(), "images"
    for shape in ((6, 3, 3, 3), (ENCODING_WIDTH, 6, 3, 3)):
        kernel = graph.constant((rng.normal(size=shape) * 0.3).astype(np.float32))
        values = graph.node("Conv", values, kernel, strides=[2, 2], pads=[1, 1, 1, 1])
        values = graph.node("Relu", values)
    graph.node("ReduceMean", values, graph.columns(2, 3), keepdims=0, output="features")
    side = DRAWN_PX
    images = tensor("images", TensorProto.FLOAT, ["N", 3, side, side])
    features = tensor("features", TensorProto.FLOAT, ["N", ENCODING_WIDTH])
    to.write_bytes(graph.model("small", [images], [features]).SerializeToString())
    return to


def write_drawn_smears(folder: Path) -> dict[str, list[Path]]:
    """Smears to fit on, by class: half of a smear's cells have its class's tint."""
    rng = np.random.Generator(np.random.PCG64(1))
    smears: dict[str, list[Path]] = {}
    for label, own in TINTS.items():
        for number in range(SMEARS_PER_CLASS):
            smear = folder / f"{label}-{number}"
            smear.mkdir(parents=True)
            for index in range(CELLS_PER_SMEAR):
                tint = own if index % 2 else list(TINTS.values())[rng.integers(len(TINTS))]
                (smear / f"{index:02d}.png").write_bytes(_file(_drawn_cell(rng, tint), "PNG"))
            smears.setdefault(label, []).append(smear)
    return smears


def write_mixed_smear(folder: Path) -> Path:
    """A smear of all tints and all formats; its first file is no image, its last a copy."""
    rng = np.random.Generator(np.random.PCG64(2))
    cells = folder / "neutrophil"
    cells.mkdir(parents=True)
    for index in range(CELLS_PER_SMEAR):
        form = FORMATS[index % len(FORMATS)]
        tint = list(TINTS.values())[rng.integers(len(TINTS))]
        content = _file(_drawn_cell(rng, tint), form)
        (cells / f"cell-{index:02d}.{form.lower()}").write_bytes(content)
    (cells / "broken.png").write_bytes(b"no image")
    (cells / "copy.png").write_bytes((cells / "cell-00.png").read_bytes())
    return folder


def _drawn_cell(rng: np.random.Generator, tint: tuple[int, ...]) -> NDArray[np.uint8]:
    """Noise about a tint, uint8 (H, W, 3), 6 to 23 px a side: some are larger than the canvas."""
    height, width = rng.integers(6, 24, 2)
    return np.clip(rng.normal(tint, 50, (height, width, 3)), 0, 255).astype(np.uint8)


def _file(pixels: NDArray[np.uint8], form: str) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def _folders_by_label(cohort: Path, split: str, most: int) -> dict[str, list[Path]]:
    """The first patients of each label in one split of the cohort."""
    folders: dict[str, list[Path]] = {}
    for row in read_cohort(cohort):
        if row.split == split and len(folders.setdefault(row.label, [])) < most:
            folders[row.label].append(row.path)
    return folders


def _fitted_svc(features: NDArray[np.float32], labels: NDArray[np.str_]) -> SVC:
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return SVC(probability=True, random_state=0).fit(features, labels)


def _kept(classifier: Any, to: Path) -> Path:
    skops.io.dump(classifier, to)
    return to


def _spec(
    name: str, positive: str, models: Mapping[str, dict[str, Any]], classifier: Path
) -> dict[str, Any]:
    """A bundle's spec as fields; each of its models has the same classifier."""
    complete = {key: {**model, "classifier": str(classifier)} for key, model in models.items()}
    return {"name": name, "version": "1.0.0", "positive": positive, "models": complete}
