"""The smear that is scored: images of an analyzer's size, each with a cell among others."""

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vexas_edge.bundle.manifest import Manifest

# The size of a CellaVision export's images.
EXPORT_PX = 360
# The radii, as shares of the image's side.
CELL_SHARE, NUCLEUS_SHARE, RED_CELL_SHARE = 0.2, 0.13, 0.1
_RED_CELLS = 8


def write_smear(manifest: Manifest, n_cells: int, folder: Path) -> Path:
    """Write a case with `n_cells` distinct JPEGs per model into class folders; returns `folder`."""
    rng = np.random.Generator(np.random.PCG64(0))
    for model in manifest.models.values():
        side_px = (
            EXPORT_PX if model.images.larger == "crop" else min(EXPORT_PX, model.images.canvas_px)
        )
        (folder / model.cells[0]).mkdir(parents=True, exist_ok=True)
        for index in range(n_cells):
            stream = BytesIO()
            Image.fromarray(drawn_crop(side_px, rng)).save(stream, "JPEG", quality=90)
            (folder / model.cells[0] / f"{index:06d}.jpg").write_bytes(stream.getvalue())
    return folder


def drawn_crop(side_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A cell with its nucleus among red cells that lie elsewhere each time, uint8 (S, S, 3)."""
    axis = (np.arange(side_px) + 0.5) / side_px - 0.5
    pixels = np.full((side_px, side_px, 3), (238, 232, 235), np.float64)

    def paint(centre: NDArray[np.float64], share: float, colour: tuple[int, int, int]) -> None:
        away = np.hypot(axis[:, None] - centre[0], axis - centre[1])
        pixels[away < share] = colour

    for centre in rng.uniform(-0.5, 0.5, (_RED_CELLS, 2)):
        paint(centre, RED_CELL_SHARE, (215, 150, 150))
    paint(np.zeros(2), CELL_SHARE, (205, 180, 205))
    paint(rng.uniform(-0.05, 0.05, 2), NUCLEUS_SHARE, (105, 60, 145))
    return np.clip(rng.normal(pixels, 8), 0, 255).astype(np.uint8)
