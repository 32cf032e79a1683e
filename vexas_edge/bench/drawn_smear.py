"""The smear that is scored: images of an analyzer's size, each with two noisy discs as a cell."""

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vexas_edge.bundle.manifest import Manifest

# The size of a CellaVision export's images.
EXPORT_PX = 360
# The radii, as shares of the image's side.
CELL_SHARE, NUCLEUS_SHARE = 0.2, 0.13


def write_smear(manifest: Manifest, n_cells: int, folder: Path) -> Path:
    """Write a case with `n_cells` distinct JPEGs per model into class folders; returns `folder`."""
    rng = np.random.Generator(np.random.PCG64(0))
    for model in manifest.models.values():
        disc = _disc(EXPORT_PX if model.larger == "crop" else min(EXPORT_PX, model.canvas_px))
        (folder / model.cells[0]).mkdir(parents=True, exist_ok=True)
        for index in range(n_cells):
            pixels = np.clip(rng.normal(disc, 8), 0, 255).astype(np.uint8)
            stream = BytesIO()
            Image.fromarray(pixels).save(stream, "JPEG", quality=90)
            (folder / model.cells[0] / f"{index:06d}.jpg").write_bytes(stream.getvalue())
    return folder


def _disc(side_px: int) -> NDArray[np.int64]:
    """A nucleus in a cell on an empty slide, int64 (side_px, side_px, 3)."""
    axis = (np.arange(side_px) + 0.5) / side_px - 0.5
    away = np.hypot(axis[:, None], axis)[..., None]
    cell = np.where(away < CELL_SHARE, (205, 180, 205), (238, 232, 235))
    return np.where(away < NUCLEUS_SHARE, (105, 60, 145), cell)
