"""The paper's four encoders at 272 px on real cells: the fused graph gives torch's encodings."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.svm import SVC
from spread_weights import spread_weights

from export.backbones import build_backbone
from export.encoder import onnx_from_torch, with_known_width
from export.encodings import encoding_tolerance, mean_pairwise_cosine
from export.fuse import fuse_graphs
from export.heads import MedianHead
from export.preprocessing import PREPROCESSINGS, CanvasScaling, Preprocessing, pixels_from_cells
from vexas_edge.cells.canvas import place_on_canvas
from vexas_edge.cells.images import rgb_from_bytes
from vexas_edge.host.libraries import load_library

onnxruntime = load_library("onnxruntime")

CANVAS_PX = 272
CELL_PX = 220
BATCHES = (1, 7, 64)

# Each with the preprocessing that the paper's code gives it.
BACKBONES = {
    "vgg16": "keras-caffe",
    "resnet50": "keras-caffe",
    "inceptionv3": "keras-tf",
    "efficientnetb4": "keras-efficientnet",
}


@pytest.fixture(scope="module")
def real_cells(shared_data: Path) -> np.ndarray:
    """64 cells of three scanners, uint8 (64, 272, 272, 3), small enough to leave a black margin."""
    files = sorted(file for file in (shared_data / "cells").rglob("*") if file.is_file())
    cells = []
    for file in files[:64]:
        pixels = Image.fromarray(rgb_from_bytes(file.read_bytes()))
        pixels.thumbnail((CELL_PX, CELL_PX))
        cells.append(place_on_canvas(np.asarray(pixels), CANVAS_PX, "reject"))
    assert len(cells) == 64
    return np.stack(cells)


def normalised(module: torch.nn.Module, pixels: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        batches = torch.from_numpy(np.ascontiguousarray(pixels)).split(8)
        return torch.cat(
            [torch.nn.functional.normalize(module(batch)) for batch in batches]
        ).numpy()


@pytest.mark.real_data
@pytest.mark.parametrize("name", BACKBONES)
def test_fused_encodings_are_torchs(name: str, real_cells: np.ndarray) -> None:
    preprocessing = PREPROCESSINGS[BACKBONES[name]]
    pixels = pixels_from_cells(real_cells, preprocessing)
    module = build_backbone(name)
    centre = 1.0 if name == "efficientnetb4" else 0.0
    spread_weights(module, torch.from_numpy(pixels[::5]), seed=0, centre=centre)
    expected = normalised(module, pixels)
    tolerance = encoding_tolerance(expected)
    assert mean_pairwise_cosine(expected) < 0.9
    svc = SVC(probability=True, random_state=0).fit(expected, np.arange(64) % 2)
    encoder = with_known_width(onnx_from_torch(module, CANVAS_PX), CANVAS_PX, name)
    head = MedianHead(classifier=svc, draw_size=10)
    scaling = CanvasScaling(preprocessing=preprocessing, canvas_px=CANVAS_PX)
    fused = fuse_graphs(encoder, head, scaling, encoding="l2")
    session = onnxruntime.InferenceSession(fused.SerializeToString())
    for n in BATCHES:
        feeds = {"cells": real_cells[:n], "draws": np.zeros((1, 10), np.int64)}
        (found,) = session.run(["encodings"], feeds)
        assert np.abs(found - expected[:n]).max() <= tolerance
    few = real_cells[:4]
    for wrong in wrong_pixels(few, preprocessing):
        assert np.abs(normalised(module, wrong) - expected[:4]).max() > tolerance


def wrong_pixels(cells: np.ndarray, right: Preprocessing) -> list[np.ndarray]:
    """Swapped colours, a missing mean, and a margin that is blank only after preprocessing."""
    swapped = pixels_from_cells(cells[..., ::-1], right)
    without_mean = Preprocessing(mean=(0, 0, 0), scale=right.scale, bgr=right.bgr)
    if not any(right.mean):  # a network that takes raw pixels: as if a mean had been taken
        without_mean = Preprocessing(mean=(1, 1, 1), scale=right.scale)
    blank_margin = pixels_from_cells(cells, right)
    margin = (cells == 0).all(axis=3)[:, None].repeat(3, axis=1)
    blank_margin[margin] = 0.0 if any(right.mean) else 255.0
    return [swapped, pixels_from_cells(cells, without_mean), blank_margin]
