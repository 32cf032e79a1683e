"""Makes the folders of distinct cells and the bundles that benchmarks run on."""

import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from silu_blocks import silu_blocks
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC
from spread_weights import spread_weights

from calibration.additions import NewGraph, add_graphs
from export import write_bundle
from export.backbones import build_backbone
from export.backbones.backbone import Backbone
from export.bags.aggregation import AggregationOptions
from export.bags.bag_file import BagFacts, BagOfImages, Regression, bag_file
from export.bags.network import BagNetwork
from export.preprocessing import PREPROCESSINGS, pixels_from_cells
from vexas_edge import open_bundle
from vexas_edge.bench.drawn_smear import drawn_crop
from vexas_edge.bundle.graphs import CHEAPER, graph_file
from vexas_edge.bundle.models import Weighting
from vexas_edge.cells.canvas import place_on_canvas
from vexas_edge.cells.images import rgb_from_bytes

CELL_TYPE = "lymphocyte"
SILU_BLOCKS = "silu-blocks"
PARITY_CELLS = 8
N_VECTORS = 400
PREPROCESSING = "keras-caffe"
SPREAD_OVER = 16

# The side of the images that a CellaVision analyzer exports.
EXPORT_PX = 360


def copy_cells(files: list[Path], folder: Path) -> Path:
    """A flat folder with copies of the files."""
    folder.mkdir(parents=True)
    for index, file in enumerate(files):
        shutil.copyfile(file, folder / f"{index:06d}{file.suffix}")
    return folder


def write_export_cells(files: list[Path], n_cells: int, folder: Path) -> Path:
    """A flat folder of `n_cells` distinct JPEGs of 360 px, made from these cells by rotation."""
    folder.mkdir(parents=True)
    for index in range(n_cells):
        pixels = rgb_from_bytes(files[index % len(files)].read_bytes())
        image = Image.fromarray(pixels).resize((EXPORT_PX, EXPORT_PX))
        turned = np.rot90(np.asarray(image), index // len(files))
        Image.fromarray(turned).save(folder / f"{index:06d}.jpg", quality=90)
    return folder


def write_drawn_cells(n_cells: int, side_px: int, folder: Path) -> Path:
    """A flat folder of distinct JPEGs of drawn cells."""
    folder.mkdir(parents=True)
    rng = np.random.Generator(np.random.PCG64(0))
    for index in range(n_cells):
        stream = BytesIO()
        Image.fromarray(drawn_crop(side_px, rng)).save(stream, "JPEG", quality=80)
        (folder / f"{index:06d}.jpg").write_bytes(stream.getvalue())
    return folder


def write_backbone_bundle(name: str, width: int, canvas_px: int, cells: Path, to: Path) -> Path:
    """A bundle of one of our backbones with random weights, which run as long as trained ones."""
    torch.manual_seed(0)
    spec = _spec(name, canvas_px, cells)
    write_bundle(spec, to=to, encoder=build_backbone(name), classifier=_classifier(width))
    return to


def write_spread_bundle(
    name: str, width: int, canvas_px: int, cells: Path, to: Path, **model: Any
) -> Path:
    """The same with weights that tell cells apart, without which calibration means nothing."""
    module = spread_module(name, canvas_px, cells)
    return write_module_bundle(module, name, width, canvas_px, cells, to, **model)


def spread_module(name: str, canvas_px: int, cells: Path) -> torch.nn.Module:
    """One of our backbones, or `silu-blocks`, with random weights that tell these cells apart."""
    few = [rgb_from_bytes(file.read_bytes()) for file in sorted(cells.iterdir())[:SPREAD_OVER]]
    placed = np.stack([place_on_canvas(cell, canvas_px, "crop") for cell in few])
    images = pixels_from_cells(placed, PREPROCESSINGS[PREPROCESSING])
    module = silu_blocks() if name == SILU_BLOCKS else build_backbone(name)
    centre = 1.0 if name.startswith("efficientnet") else 0.0
    spread_weights(module, torch.from_numpy(images), seed=0, centre=centre)
    return module


def write_module_bundle(
    module: torch.nn.Module,
    name: str,
    width: int,
    canvas_px: int,
    cells: Path,
    to: Path,
    **model: Any,
) -> Path:
    """A bundle of a torch module; `model` holds further fields of the spec."""
    spec = _spec(name, canvas_px, cells, **model)
    write_bundle(spec, to=to, encoder=module, classifier=_classifier(width))
    return to


def write_bag_bundle(
    module: Backbone, name: str, method: Weighting, canvas_px: int, cells: Path, to: Path
) -> Path:
    """A bundle of a bag: a backbone with its weights behind it a head of random ones."""
    torch.manual_seed(0)
    options = AggregationOptions(method=method)
    network = BagNetwork(module, torch.nn.Sequential(*module.stages()), options, "l2", 0)
    torch.nn.init.normal_(network.classify.weight, 0, 0.1)
    facts = BagFacts(
        positive="b",
        others="a",
        instances=BagOfImages(canvas_px=canvas_px, backbone=name, preprocessing=PREPROCESSING),
        encoding="l2",
        aggregation=options,
        middle=0.0,
        spread=1.0,
        image=Regression(weights=(1.0,), bias=0.0, threshold=0.5),
    )
    file = to.with_suffix(".safetensors")
    file.write_bytes(bag_file(facts, module.state_dict(), network.eval().state_dict()))
    spec = _spec(name, canvas_px, cells, bag=str(file.resolve()))
    beside = ("cells", "bag", "parity_cells")
    models = {n: {f: m[f] for f in beside} for n, m in spec["models"].items()}
    write_bundle({**spec, "models": models}, to=to)
    return to


def add_int8_for_timing(path: Path, cells: Path) -> None:
    """Add int8 graphs to the bundle, marked as tested although nothing judged them.

    They are for timing only.
    """
    _add_for_timing(path, cells, "int8", ("int8", "int8-rr"))


def add_fp16_for_timing(path: Path, cells: Path) -> None:
    """Add a float16 graph to the bundle in the same way, for timing only."""
    _add_for_timing(path, cells, "fp16", ("fp16",))


def _add_for_timing(path: Path, cells: Path, asked: str, kinds: tuple[str, ...]) -> None:
    """Calibrate as asked without a gate, and mark the graphs of these kinds as tested."""
    cohort = write_calibration_cohort(cells, path.with_suffix(".csv"))
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "vexas_edge.workshop",
        "calibrate",
        asked,
        path,
        "--cohort",
        cohort,
    ]
    ungated = ["--gate", "none", "--cell-type", CELL_TYPE]
    subprocess.run([*command, *ungated], check=True, capture_output=True)
    bundle = open_bundle(path)
    entries = bundle.manifest.models[CELL_TYPE].files
    added = [file for file in map(graph_file, kinds) if file in entries]
    graphs = [
        NewGraph(
            model=CELL_TYPE,
            file=file,
            content=bundle.model_file(CELL_TYPE, file),
            measured={**entries[file].measured, "gate": {"patients": 0}},
            tested=True,
        )
        for file in added
    ]
    add_graphs(bundle, graphs, path)


def write_calibration_cohort(cells: Path, to: Path) -> Path:
    """Write a cohort of one case, which is enough without a gate."""
    row = f"all,all,{cells.resolve()},a,fit"
    to.write_text(f"patient,sample,path,label,split\n{row}\n", encoding="utf-8")
    return to


def write_file_bundle(
    encoder: Path, width: int, canvas_px: int, cells: Path, to: Path, **model: Any
) -> Path:
    """A bundle of an encoder in an ONNX file; `model` holds further fields of the spec."""
    spec = _spec(encoder.stem, canvas_px, cells, encoder=str(encoder.resolve()), **model)
    write_bundle(spec, to=to, classifier=_classifier(width))
    return to


def _spec(name: str, canvas_px: int, cells: Path, **fields: Any) -> dict[str, Any]:
    few = copy_cells(
        sorted(cells.iterdir())[:PARITY_CELLS], cells.with_name(f"{cells.name}-parity")
    )
    model: dict[str, Any] = {
        "cells": [CELL_TYPE],
        "preprocessing": PREPROCESSING,
        "canvas_px": canvas_px,
        "larger": "crop",
        "encoding": "l2",
        "parity_cells": str(few.resolve()),
        **fields,
    }
    return {
        "name": f"benchmark-{name}",
        "version": "1.0.0",
        "positive": "b",
        "training_data": "none: random numbers",
        "models": {CELL_TYPE: model},
        # Drift means nothing for random weights, so no layer is to be kept in float for it.
        "budgets": {kind: {"cosine_p1": -1} for kind in CHEAPER},
    }


def _classifier(width: int) -> CalibratedClassifierCV:
    """An SVM of about 400 vectors, fitted on noise."""
    rng = np.random.Generator(np.random.PCG64(0))
    features = np.abs(rng.normal(size=(N_VECTORS, width)))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labels = np.where(np.arange(N_VECTORS) % 2, "a", "b")
    return CalibratedClassifierCV(SVC(), ensemble=False).fit(features, labels)
