"""A bundle whose model wants its cells isolated: from an analyzer's crops to scores."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import skops.io
from tiny import (
    CANVAS_PX,
    PREPROCESSING,
    Ended,
    kept,
    mask_network,
    onnx_from_kernels,
    png,
    rewritten,
    tiny_model,
)

from export import write_bundle
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.bundle.graphs import ISOLATE
from vexas_edge.bundle.words import lines_from_bundle
from vexas_edge.cells.limits import IsolationLimits
from vexas_edge.engines.contract import EngineOptions
from vexas_edge.errors import BundleError, HostError
from vexas_edge.runtime.session import Sessions
from vexas_edge.scoring.images.canvases import canvas_of
from vexas_edge.scoring.verification import run_selftest

CROP_PX = 64
PALE, CYTOPLASM, NUCLEUS = (240, 235, 238), (190, 130, 160), (110, 40, 120)
RED_CELL = (235, 200, 205)  # too pale for the mask network


def crop(seed: int, *, cell_px: int = 7, shift: int = 0) -> np.ndarray:
    """An analyzer's crop: a cell with a nucleus, its like cut by the border, a pale ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:CROP_PX, :CROP_PX] - CROP_PX / 2
    pixels = np.full((CROP_PX, CROP_PX, 3), PALE, float)
    for angle in np.random.default_rng(1000 + seed).uniform(0, 2 * np.pi, 4):
        pixels[np.hypot(x - 24 * np.cos(angle), y - 24 * np.sin(angle)) < 8] = RED_CELL
    away = np.hypot(x - shift, y)
    pixels[away < cell_px] = CYTOPLASM
    pixels[away < cell_px / 2] = NUCLEUS
    pixels[:3, :12] = (200, 150, 170)  # a red cell's rim: dark enough for a cell, without nucleus
    return np.clip(rng.normal(pixels, 3), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("isolating")
    model = tiny_model(3)
    onnx.save(onnx_from_kernels(model.kernels), folder / "encoder.onnx")
    onnx.save(mask_network(), folder / "masks.onnx")
    skops.io.dump(model.classifier, folder / "classifier.skops")
    (folder / "parity").mkdir()
    for seed in range(4):
        (folder / "parity" / f"{seed}.png").write_bytes(png(crop(seed)))
    spec = {
        "name": "isolating",
        "version": "1.0.0",
        "positive": "VEXAS",
        "models": {
            "monocyte": {
                "cells": ["monocyte"],
                "encoder": str(folder / "encoder.onnx"),
                "classifier": str(folder / "classifier.skops"),
                "preprocessing": {"mean": PREPROCESSING.mean, "scale": PREPROCESSING.scale},
                "canvas_px": CANVAS_PX,
                "minimum_cells": 2,
                "score_draws": 50,
                "encoding": "l2",
                "parity_cells": str(folder / "parity"),
                "isolate": str(folder / "masks.onnx"),
            }
        },
    }
    write_bundle(spec, to=folder / "b.vxb")
    return folder / "b.vxb"


def write_smear(folder: Path, crops: list[np.ndarray]) -> Path:
    (folder / "monocyte").mkdir(parents=True)
    for number, pixels in enumerate(crops):
        (folder / "monocyte" / f"{number}.png").write_bytes(png(pixels))
    return folder


def test_the_cell_alone_reaches_the_encoder(bundle: Path, tmp_path: Path) -> None:
    """What lies around the cell, and where in the crop the cell lies, does not matter."""
    in_the_middle = write_smear(tmp_path / "a", [crop(seed) for seed in range(4)])
    aside = [np.roll(crop(seed), (6, -5), (0, 1)) for seed in range(4)]
    for pixels in aside:
        pixels[-2:, -20:] = (60, 60, 60)  # another object
    scores = [
        score_case(read_case(folder), open_bundle(bundle)).models[0]
        for folder in (in_the_middle, write_smear(tmp_path / "b", aside))
    ]
    assert [score.n_cells for score in scores] == [4, 4]
    with Sessions(open_bundle(bundle)) as sessions:
        canvas = canvas_of(sessions, "monocyte")
        one, other = canvas.place(crop(0)), canvas.place(aside[0])
    assert np.array_equal(one, other)
    assert one.shape == (CANVAS_PX, CANVAS_PX, 3)
    assert not one[0].any()
    assert (one[8, 8] < 160).all()


def test_a_cell_that_cannot_be_isolated_is_rejected_by_name(
    bundle: Path, tmp_path: Path, vexas_edge: Callable[..., Ended]
) -> None:
    empty = np.full((CROP_PX, CROP_PX, 3), 240, np.uint8)
    empty[0, 0] = 220  # else it is taken for an image of nothing
    cut = crop(9, shift=31)
    smear = write_smear(tmp_path / "smear", [crop(0), crop(1), empty, cut, *map(crop, range(2, 6))])
    ended = vexas_edge("score", smear, "--bundle", bundle, "-o", tmp_path / "out")
    assert ended.status == 0, ended.err
    assert "rejected as not one whole cell: cell_touches_border 1, empty 1" in ended.err
    result = kept(tmp_path / "out", "smear")
    assert {cell["path"]: cell["reason"] for cell in result["rejected"]} == {
        "monocyte/2.png": "empty",
        "monocyte/3.png": "cell_touches_border",
    }
    assert (result["models"][0]["n_cells"], result["models"][0]["n_rejected"]) == (6, 2)
    assert result["unreadable"] == []
    rows = (tmp_path / "out" / "cells.csv").read_text().splitlines()
    assert sum(",rejected," in row for row in rows) == 2


def test_a_model_abstains_if_over_a_quarter_of_its_cells_cannot_be_isolated(
    bundle: Path, tmp_path: Path, vexas_edge: Callable[..., Ended]
) -> None:
    cut = [crop(seed, shift=31) for seed in range(9, 12)]
    smear = write_smear(tmp_path / "smear", [*map(crop, range(7)), *cut, cut[0]])
    ended = vexas_edge("score", smear, "--bundle", bundle)
    assert ended.status == 3
    assert "30 % of the cells (3 of 10) could not be used, 25 % may be" in ended.out
    assert "(too_many_rejected)" in ended.out


def test_the_manifest_says_that_cells_are_isolated_and_by_which_limits(bundle: Path) -> None:
    model = open_bundle(bundle).manifest.models["monocyte"]
    assert ISOLATE in model.files
    assert model.images.isolation == IsolationLimits()
    assert "UNTESTED" not in "\n".join(
        lines_from_bundle(open_bundle(bundle))
    )  # said of cheaper graphs alone
    assert "cut out of its image" in open_bundle(bundle).card()
    assert "cut out of its image" in "\n".join(lines_from_bundle(open_bundle(bundle)))


def test_the_self_test_covers_the_mask_network(bundle: Path, tmp_path: Path) -> None:
    options = EngineOptions(engine="onnxruntime")
    files = [check.file for check in run_selftest(open_bundle(bundle), options)]
    assert files[0] == ISOLATE
    network = mask_network()
    for node in network.graph.node:
        if node.op_type == "Gather":
            node.attribute[0].i = 1
    for tensor in network.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values == 180:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(200, np.float32), tensor.name))
    other = rewritten(
        bundle,
        tmp_path / "other.vxb",
        {f"models/monocyte/{ISOLATE}": network.SerializeToString()},
    )
    with pytest.raises(HostError, match=r"self-test of monocyte isolate\.onnx failed"):
        score_case(read_case(write_smear(tmp_path / "s", [crop(0), crop(1)])), open_bundle(other))


def test_a_model_that_isolates_without_a_network_is_refused(bundle: Path, tmp_path: Path) -> None:
    manifest = open_bundle(bundle).manifest
    model = manifest.models["monocyte"]
    files = {name: entry for name, entry in model.files.items() if name != ISOLATE}
    models = {"monocyte": msgspec.structs.replace(model, files=files)}
    broken = rewritten(bundle, tmp_path / "broken.vxb", models=models)
    with pytest.raises(BundleError, match=r"lists no isolate\.onnx"):
        open_bundle(broken)


def test_an_encoder_is_no_mask_network(tmp_path: Path, bundle: Path) -> None:
    encoder = onnx_from_kernels(tiny_model(3).kernels).SerializeToString()
    broken = rewritten(bundle, tmp_path / "broken.vxb", {f"models/monocyte/{ISOLATE}": encoder})
    smear = write_smear(tmp_path / "smear", [crop(0), crop(1)])
    with pytest.raises(BundleError, match="contradicts itself"):
        score_case(read_case(smear), open_bundle(broken))
