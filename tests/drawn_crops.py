"""Crops with their masks, drawn in a blink: a cell and red cells on a clear slide."""

from functools import cache
from pathlib import Path

import numpy as np
from onnx import ModelProto
from PIL import Image

from export.mask_graph import onnx_from_unet
from export.unet import UNet
from training.mask_network.augmentation import Variation
from training.mask_network.masks import LEVELS, MaskedImage
from training.mask_network.segmenter import SegmenterRecipe, train_segmenter

SIDE_PX = 144
SLIDE, RED_CELL, CYTOPLASM, NUCLEUS = (
    (250, 235, 205),
    (215, 140, 130),
    (190, 180, 215),
    (80, 40, 130),
)
# Drawings differ less than scanners do.
MILD = Variation(
    sides=(0.9, 1.2),
    mixing=0.05,
    strength=0.1,
    nucleus=0.1,
    pasted=0,
    speck_density=(0, 0.1),
    gamma=0.1,
    gradient=0.02,
    softness=(0, 0.5),
)
RECIPE = SegmenterRecipe(steps=60, batch=4, learning_rate=1e-2, variation=MILD)


def drawn_crop(seed: int) -> MaskedImage:
    """A cell near the middle, red cells about it, some noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]

    def disc(row: float, column: float, radius: float) -> np.ndarray:
        return np.hypot(rows - row, columns - column) < radius

    centre = SIDE_PX / 2 + rng.uniform(-12, 12, 2)
    radius = rng.uniform(24, 34)
    pixels = np.full((SIDE_PX, SIDE_PX, 3), SLIDE, float)
    for angle in rng.uniform(0, 2 * np.pi, 4):
        away = centre + (radius + 18) * np.array([np.sin(angle), np.cos(angle)])
        pixels[disc(away[0], away[1], 15)] = RED_CELL
    classes = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    for value, share, colour in ((1, 1.0, CYTOPLASM), (2, 0.6, NUCLEUS)):
        inside = disc(centre[0], centre[1], share * radius)
        classes[inside], pixels[inside] = value, colour
    pixels = np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
    return MaskedImage(name=f"{seed}.png", pixels=pixels, classes=classes)


def drawn_crops(n: int, first: int = 0) -> list[MaskedImage]:
    """Crops of consecutive seeds."""
    return [drawn_crop(seed) for seed in range(first, first + n)]


def write_table(folder: Path, images: list[MaskedImage], splits: list[str]) -> Path:
    """The crops as files, and the CSV that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["image,mask,split"]
    for image, split in zip(images, splits, strict=True):
        Image.fromarray(image.pixels).save(folder / image.name)
        levels = np.asarray(LEVELS, np.uint8)[image.classes]
        Image.fromarray(levels).save(folder / f"mask-{image.name}")
        rows.append(f"{image.name},mask-{image.name},{split}")
    (folder / "masks.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "masks.csv"


@cache
def drawn_network() -> UNet:
    """A mask network that has learnt these drawings, in a few seconds; not to be changed."""
    return train_segmenter(drawn_crops(12), RECIPE, lambda *_: None)


@cache
def drawn_graph() -> ModelProto:
    """The same network as ONNX; not to be changed."""
    return onnx_from_unet(drawn_network())
