"""The smallest things that are whole: cells of a dozen pixels, encoders of two convolutions."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC
from torch.nn import functional

from export import write_bundle
from export.graph import GraphBuilder, tensor
from export.preprocessing import Preprocessing, pixels_from_cells
from vexas_edge.bundle.archive import file_entry, listed_files, open_bundle
from vexas_edge.bundle.graphs import REFERENCE
from vexas_edge.bundle.manifest import Manifest, json_from_manifest
from vexas_edge.bundle.models import FileEntry
from vexas_edge.cells.limits import GRID_PX
from vexas_edge.domain.reference import reference_from_bytes
from vexas_edge.host.libraries import load_library

CANVAS_PX = 16
WIDTH = 8  # of an encoding
CLASSES = ("MDS", "VEXAS", "control")
# What a result of a bundle without references begins with.
NO_GATE = "no domain gate (the bundle has no reference)"
PREPROCESSING = Preprocessing(mean=(120, 110, 100), scale=(60, 60, 60))
TINTS = ((200, 90, 120), (120, 190, 110), (90, 110, 210))


def library_or_skip(module: str) -> Any:
    """`load_library(module)`; skips the test, or the whole file, where it is not installed."""
    try:
        return load_library(module)
    except ImportError as error:
        pytest.skip(f"{module} cannot be loaded ({error})", allow_module_level=True)


T = TypeVar("T")


def there(value: T | None) -> T:
    """The value, which must be there for what a test says of it."""
    assert value is not None
    return value


def cell_pixels(seed: int, tint: int | None = None) -> np.ndarray:
    """A made-up cell: uint8 (H, W, 3), 6 to 14 px a side, one of three tints and noise."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(6, 15, 2)
    colour = TINTS[rng.integers(3) if tint is None else tint]
    return np.clip(rng.normal(colour, 50, (height, width, 3)), 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """The pixels as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_cells(folder: Path, n: int, seed: int = 0) -> list[Path]:
    """Write `n` made-up cells into a folder, 0.png and on; different seeds give different ones."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i}.png" for i in range(n)]
    for i, path in enumerate(paths):
        path.write_bytes(png(cell_pixels(1000 * seed + i)))
    return paths


def write_case(folder: Path, seed: int = 0, **n_cells: int) -> Path:
    """Write a smear of class folders, as in `write_case(folder, monocyte=3)`; gives the folder."""
    for place, (cell_class, n) in enumerate((n_cells or {"neutrophil": 12}).items()):
        write_cells(folder / cell_class, n, seed=10 * seed + place + 1)
    return folder


def write_cohort(folder: Path, n_patients: int = 10, cells: int = 8) -> Path:
    """A cohort of made-up smears, alternately VEXAS and MDS, 6 to fit on and the rest to judge."""
    lines = ["patient,sample,path,label,split"]
    for i in range(n_patients):
        types = {"neutrophil": cells, "monocyte": cells, "lymphocyte": cells}
        write_case(folder / f"S{i}", seed=100 + i, **types)
        split = "fit" if i < 6 else "judge"
        lines.append(f"P{i},S{i},S{i},{CLASSES[i % 2]},{split}")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder / "cohort.csv"


@dataclass(frozen=True, kw_only=True)
class TinyModel:
    """Two convolutions and a classifier. kernels: float32 (O, I, 3, 3), both with stride 2."""

    kernels: tuple[np.ndarray, np.ndarray]
    classifier: Any

    def encodings(self, cells: np.ndarray) -> np.ndarray:
        """What torch gives for cells uint8 (N, H, W, 3): float32 (N, WIDTH), L2-normalised."""
        return encodings_of(self.kernels, cells)


def encodings_of(kernels: tuple[np.ndarray, np.ndarray], cells: np.ndarray) -> np.ndarray:
    values = torch.from_numpy(pixels_from_cells(cells, PREPROCESSING))
    for kernel in kernels:
        values = functional.conv2d(values, torch.from_numpy(kernel), stride=2, padding=1).relu()
    return functional.normalize(values.mean((2, 3))).numpy()


def on_canvas(pixels: np.ndarray) -> np.ndarray:
    """The cell centred on black, by other means than ours."""
    height, width = pixels.shape[:2]
    top, left = (CANVAS_PX - height) // 2, (CANVAS_PX - width) // 2
    after = (CANVAS_PX - height - top, CANVAS_PX - width - left)
    return np.pad(pixels, ((top, after[0]), (left, after[1]), (0, 0)))


def tiny_model(seed: int) -> TinyModel:
    """A seeded model; the classifier is fitted on the encodings of two dozen made-up cells."""
    rng = np.random.default_rng(seed)
    first, second = (
        (rng.normal(size=shape) * 0.3).astype(np.float32)
        for shape in ((6, 3, 3, 3), (WIDTH, 6, 3, 3))
    )
    kernels = (first, second)
    labels = np.arange(36) % 3
    cells = np.stack(
        [on_canvas(cell_pixels(seed + i, tint)) for i, tint in enumerate(labels.tolist())]
    )
    labels[::7] = rng.integers(0, 3, len(labels[::7]))  # so that no probability is near 0 or 1
    classifier = CalibratedClassifierCV(SVC(C=3, gamma=4), ensemble=False, cv=3)
    classifier.fit(encodings_of(kernels, cells), np.array(CLASSES)[labels])
    return TinyModel(kernels=kernels, classifier=classifier)


def export_tiny(
    models: Mapping[str, TinyModel], classifiers: Mapping[str, Any], folder: Path
) -> Path:
    """A bundle from the real exporter: canvas 16 px, 200 draws, 5 cells a model.

    The neutrophil model rejects larger cells, the monocyte model crops them.
    """
    cells = write_case(folder / "parity", neutrophil=40)
    for name, model in models.items():
        (folder / f"{name}.onnx").write_bytes(onnx_from_kernels(model.kernels).SerializeToString())
    spec = {
        "name": "tiny",
        "version": "1.0.0",
        "positive": "VEXAS",
        "models": {
            name: {
                "cells": ["neutrophil_segmented", name] if name == "neutrophil" else [name],
                "encoder": str(folder / f"{name}.onnx"),
                "preprocessing": {"mean": PREPROCESSING.mean, "scale": PREPROCESSING.scale},
                "encoding": "l2",
                "parity_cells": str(cells),
                "canvas_px": CANVAS_PX,
                "larger": "crop" if name == "monocyte" else "reject",
                "score_draws": 200,
                "minimum_cells": 5,
            }
            for name in models
        },
    }
    write_bundle(spec, classifier=classifiers, to=folder / "tiny.vxb")
    return folder / "tiny.vxb"


def onnx_from_kernels(kernels: tuple[np.ndarray, np.ndarray]) -> ModelProto:
    """The encoder as an ONNX file of the user's might hold it."""
    graph = GraphBuilder()
    values = "images"
    for kernel in kernels:
        values = graph.node(
            "Conv", values, graph.constant(kernel), strides=[2, 2], pads=[1, 1, 1, 1]
        )
        values = graph.node("Relu", values)
    graph.node("ReduceMean", values, graph.columns(2, 3), keepdims=0, output="features")
    images = tensor("images", TensorProto.FLOAT, ["N", 3, CANVAS_PX, CANVAS_PX])
    return graph.model("tiny", [images], [tensor("features", TensorProto.FLOAT, ["N", WIDTH])])


def mask_network() -> ModelProto:
    """Takes for a cell what lets little green light through, for its nucleus what lets least."""
    graph = GraphBuilder()
    light = graph.node("Cast", "crops", to=TensorProto.FLOAT)
    light = graph.node("Transpose", light, perm=[0, 3, 1, 2])
    green = graph.node("Gather", light, graph.constant(np.array([1])), axis=1)
    cell, nucleus = (_darker_than(graph, green, level) for level in (180, 90))
    background = graph.node("Sub", graph.constant(np.float32(1)), cell)
    cytoplasm = graph.node("Sub", cell, nucleus)
    graph.node("Concat", background, cytoplasm, nucleus, axis=1, output="masks")
    crops = tensor("crops", TensorProto.UINT8, ["N", GRID_PX, GRID_PX, 3])
    masks = tensor("masks", TensorProto.FLOAT, ["N", 3, GRID_PX, GRID_PX])
    return graph.model("isolate", [crops], [masks])


def _darker_than(graph: GraphBuilder, light: str, level: int) -> str:
    """1 well below the level, 0 well above it."""
    below = graph.node("Sub", graph.constant(np.float32(level)), light)
    share = graph.node("Mul", below, graph.constant(np.float32(0.1)))
    zero, one = graph.constant(np.float32(0)), graph.constant(np.float32(1))
    return graph.node("Clip", graph.node("Add", share, graph.constant(np.float32(0.5))), zero, one)


def rewritten(
    bundle: Path, to: Path, files: Mapping[str, bytes] | None = None, **fields: Any
) -> Path:
    """The bundle with files and manifest fields replaced or added and every hash put right."""
    manifest, contents = bundle_content(bundle)
    contents |= files or {}
    manifest = msgspec.structs.replace(manifest, **fields)
    models = {
        name: msgspec.structs.replace(
            model,
            files={
                file: file_entry(
                    contents[f"models/{name}/{file}"],
                    measured=entry.measured,
                    tested=entry.tested,
                    encoder=entry.encoder,
                )
                for file, entry in {**model.files, **_added(name, files or {})}.items()
            },
        )
        for name, model in manifest.models.items()
    }
    own = {name: file_entry(contents[name]) for name in manifest.files}
    manifest = msgspec.structs.replace(manifest, models=models, files=own)
    # Not by write_zip, which refuses what cannot be opened, and some tests want just that.
    with zipfile.ZipFile(to, "w") as archive:
        archive.writestr("manifest.json", json_from_manifest(manifest))
        for name in listed_files(manifest):
            archive.writestr(name, contents[name])
    return to


def _added(model: str, files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Entries of those of a model's files that the manifest may lack: its references."""
    path = f"models/{model}/{REFERENCE}"
    if path not in files:
        return {}
    measured = {"patients": reference_from_bytes(files[path]).n_patients}
    return {REFERENCE: file_entry(files[path], measured=measured)}


def bundle_content(bundle: Path) -> tuple[Manifest, dict[str, bytes]]:
    """A bundle's manifest, and every file that it lists by its path in the bundle."""
    opened = open_bundle(bundle)
    contents = {"card.md": opened.card().encode()}
    for name, model in opened.manifest.models.items():
        for file in model.files:
            contents[f"models/{name}/{file}"] = opened.model_file(name, file)
    return opened.manifest, contents


def folder_from_bundle(bundle: Path, to: Path) -> Path:
    """The same bundle as a folder."""
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(to)
    return to


def kept(out: Path, case: str) -> dict[str, Any]:
    """The newest result of a case in a results folder."""
    of_case = sorted((out / "cases").glob(f"*-{case}.json"))
    return json.loads(of_case[-1].read_text(encoding="utf-8"))


def recorded(out: Path, kind: str) -> dict[str, Any]:
    """The newest record of a results folder of this kind: started, ended or confirmed."""
    return json.loads(sorted((out / "runs").glob(f"*-{kind}.json"))[-1].read_text())


def case_files(out: Path) -> list[str]:
    """The names of the results in a results folder, in order, without their numbers."""
    return [path.stem.partition("-")[2] for path in sorted((out / "cases").iterdir())]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str
