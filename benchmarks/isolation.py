"""How well and how fast is a leukocyte isolated, on crops of a known scanner and of another?

    python benchmarks/isolation.py DATA -o benchmarks/results/isolation.jsonl

DATA is a folder with `cellavision100/` and `bccd/`. The mask network is trained on four fifths of
cellavision100's images at a time, never on bccd, and converted to integers on views of the same
four fifths. It is judged on the other fifth and on all of bccd. Cells that would be rejected are
judged like all others, and counted. Everything runs on one core. With --weights, trained weights
are kept for later runs.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from classical_masks import masks_from_crop
from host import host_facts
from lines import lines_out
from onnx import ModelProto
from safetensors.torch import load_file, save_file

from calibration.integers.masks import integer_masks, mask_agreement
from export.execution import session_from, session_options
from export.mask_graph import check_masks, masks_from_crops, onnx_from_unet
from export.unet import UNet
from training.mask_network.augmentation import Variation, sources_from_images, vary
from training.mask_network.masks import MaskedImage, crops_of, read_masked_image
from training.mask_network.outlines import CellScore, score_masks, summarize
from training.mask_network.segmenter import SegmenterRecipe, train_segmenter
from vexas_edge.bundle.contract import CROPS
from vexas_edge.cells.isolation import isolate_cell, resize_for_isolation
from vexas_edge.cells.limits import IsolationLimits
from vexas_edge.errors import CellError

FOLDS = 5
VIEWS_PER_CALL = 16
TARGETS = {
    "cellavision100": {
        "unet": {"dice_mean": 0.975, "dice_p10": 0.95, "cytoplasm_recall": 0.96},
        "classical": {"dice_mean": 0.93, "dice_p10": 0.85},
    },
    "bccd": {"unet": {"dice_mean": 0.92, "cytoplasm_recall": 0.85}},
}
TARGET_MS = 6.0


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured.

    images: used of each data set; None for all.
    folds: run, of FOLDS.
    views: on which the integers' ranges are found.
    turns: repetitions of the timing, after one that is a warm-up.
    """

    recipe: SegmenterRecipe = field(default_factory=SegmenterRecipe)
    images: int | None = None
    folds: int = FOLDS
    views: int = 256
    turns: int = 15


QUICK = Sizes(recipe=SegmenterRecipe(steps=2, batch=4), images=10, folds=1, views=16, turns=2)

Scores = dict[str, list[CellScore]]


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@lines_out
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Folder in which trained weights are kept and looked for.",
)
@click.option(
    "--quick", is_flag=True, help="Use few images, only to see that it runs; not for figures."
)
def main(data: Path, out: Path, weights: Path | None, quick: bool) -> None:
    """Measure isolation on the images in DATA; append JSON lines, per data set and for speed."""
    torch.set_num_threads(1)
    sizes = QUICK if quick else Sizes()
    sets = {
        "cellavision100": read_cellavision(data / "cellavision100")[: sizes.images],
        "bccd": read_bccd(data / "bccd")[: sizes.images],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        lines = _lines(sets, sizes, weights or Path(folder))
    common = {"threads": 1, "quick": quick, **host_facts()}
    with out.open("a", encoding="utf-8") as file:
        for line in lines:
            click.echo(json.dumps(line, indent=1))
            file.write(json.dumps(line | common) + "\n")


def read_cellavision(folder: Path) -> list[MaskedImage]:
    """The images of cellavision100 with their masks, in the order of the files' names."""
    images = sorted((folder / "images").iterdir())
    return [read_masked_image(image, folder / "masks" / image.name) for image in images]


def read_bccd(folder: Path) -> list[MaskedImage]:
    """The crops of bccd with their masks, in the order of the files' names."""
    images = sorted((folder / "crops360").glob("*/*.jpg"), key=lambda image: image.name)
    masks = folder / "crops360_masks3"
    return [
        read_masked_image(image, masks / image.parent.name / f"{image.stem}.png")
        for image in images
    ]


def _lines(
    sets: Mapping[str, list[MaskedImage]], sizes: Sizes, weights: Path
) -> list[dict[str, Any]]:
    scores: dict[str, Scores] = {name: {} for name in sets}
    agreements = []
    for fold in range(sizes.folds):
        images = sets["cellavision100"]
        fit = [image for i, image in enumerate(images) if i % FOLDS != fold]
        network = _trained(fit, replace(sizes.recipe, seed=fold), weights)
        graph, integers = _graphs(network, fit, sizes)
        judged = {"cellavision100": images[fold::FOLDS], "bccd": sets["bccd"]}
        for name, chosen in judged.items():
            crops = crops_of(chosen)
            methods: dict[str, Iterable[np.ndarray]] = {
                "unet": masks_from_crops(graph, crops),
                "unet_int8": masks_from_crops(integers, crops),
                "classical": [masks_from_crop(crop) for crop in crops],
            }
            for method, masks in methods.items():
                found = score_masks(masks, chosen, IsolationLimits())
                scores[name].setdefault(method, []).extend(found)
            click.echo(f"fold {fold} {name}: {_summary(scores[name], len(chosen))}", err=True)
        held_out = crops_of([*judged["cellavision100"], *judged["bccd"]])
        check_masks(graph, network, held_out)
        agreements.append(mask_agreement(graph, integers, held_out).figures())
    speed = _speed_line(graph, integers, sets["cellavision100"], sizes)
    recipe = asdict(sizes.recipe)
    about = {"folds": sizes.folds, "recipe": recipe}
    return [*(_line(name, scores[name], agreements) | about for name in sets), speed]


def _summary(scores: Scores, last: int) -> str:
    dices = {m: statistics.mean(s.dice for s in found[-last:]) for m, found in scores.items()}
    return ", ".join(f"{method} {dice:.4f}" for method, dice in dices.items())


def _line(name: str, scores: Scores, agreements: list[dict[str, float]]) -> dict[str, Any]:
    return {
        "question": f"Dice of the isolated cell on {name}, trained on cellavision100",
        "targets": TARGETS[name],
        "methods": {method: summarize(found) for method, found in scores.items()},
        "int8_beside_float": {
            key: round(statistics.mean(found[key] for found in agreements), 5)
            for key in agreements[0]
        },
    }


def _trained(fit: list[MaskedImage], recipe: SegmenterRecipe, folder: Path) -> UNet:
    """The network trained on these images, from `folder` if it was trained before."""
    names = " ".join(image.name for image in fit)
    key = sha256(f"{recipe} {names}".encode()).hexdigest()[:16]
    path = folder / f"unet-{key}.safetensors"
    if path.is_file():
        network = UNet().eval()
        network.load_state_dict(load_file(path))
        return network
    network = train_segmenter(fit, recipe, lambda *_: None)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), path)
    return network


def _graphs(network: UNet, fit: list[MaskedImage], sizes: Sizes) -> tuple[ModelProto, ModelProto]:
    """The graph in float and in integers, whose ranges are found on the crops and views of them."""
    graph = onnx_from_unet(network)
    sources = sources_from_images(fit, sizes.recipe.side_px)
    generator = torch.Generator().manual_seed(sizes.recipe.seed)
    batches = [crops_of(fit)]
    for _ in range(0, sizes.views, VIEWS_PER_CALL):
        rows = torch.randint(len(fit), (VIEWS_PER_CALL,), generator=generator)
        views, _ = vary(sources[rows], Variation(), generator)
        batches.append(views.permute(0, 2, 3, 1).to(torch.uint8).numpy())
    return graph, integer_masks(graph, lambda: batches)


def _speed_line(
    graph: ModelProto, integers: ModelProto, images: list[MaskedImage], sizes: Sizes
) -> dict[str, Any]:
    """Milliseconds per cell of each part and of each method, in turns, one crop per call."""
    pixels = [image.pixels for image in images]
    crops = [resize_for_isolation(p) for p in pixels]
    sessions = {"unet": _session(graph), "unet_int8": _session(integers)}
    masks = [sessions["unet_int8"].run(None, {CROPS: crop[None]})[0][0] for crop in crops]
    parts: dict[str, Callable[[int], Any]] = {
        "resize": lambda i: resize_for_isolation(pixels[i]),
        "network": lambda i: sessions["unet"].run(None, {CROPS: crops[i][None]}),
        "network_int8": lambda i: sessions["unet_int8"].run(None, {CROPS: crops[i][None]}),
        "classical": lambda i: masks_from_crop(crops[i]),
        "isolate": lambda i: _isolated(masks[i], pixels[i]),
    }
    turns = [
        {name: _ms(part, len(images)) for name, part in parts.items()}
        for _ in range(sizes.turns + 1)  # the first is warm-up
    ]
    ms = {name: statistics.median(turn[name] for turn in turns[1:]) for name in parts}
    around = ms["resize"] + ms["isolate"]
    whole = {
        "unet": ms["network"] + around,
        "unet_int8": ms["network_int8"] + around,
        "classical": ms["classical"] + around,
    }
    return {
        "question": "milliseconds a cell of isolating it, from pixels to pixels, on one core",
        "target": f"< {TARGET_MS:g} (unet_int8)",
        "ms_per_cell": {name: round(value, 3) for name, value in whole.items()},
        "medians_ms_per_cell": {name: round(value, 3) for name, value in ms.items()},
        "n_cells": len(images),
        "cells_per_call": 1,
        "repeats": sizes.turns,
    }


def _session(graph: ModelProto) -> Any:
    options = session_options()
    options.intra_op_num_threads = 1
    return session_from(graph, options)


def _isolated(mask: np.ndarray, pixels: np.ndarray) -> Any:
    try:
        return isolate_cell(mask, pixels, IsolationLimits())
    except CellError:
        return None


def _ms(part: Callable[[int], Any], n: int) -> float:
    started = time.perf_counter()
    for i in range(n):
        part(i)
    return (time.perf_counter() - started) * 1000 / n


if __name__ == "__main__":
    main()
