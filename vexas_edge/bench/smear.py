"""The smear that is scored where the user names none: drawn discs in noise, an analyzer's size."""

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vexas_edge.manifest import Manifest

# The size of a CellaVision export's images.
EXPORT_PX = 360


def write_smear(manifest: Manifest, n_cells: int, folder: Path) -> Path:
    """A case with `n_cells` distinct JPEGs for each model, in folders named by class."""
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
    """A nucleus's colour on a smear's, int64 (side_px, side_px, 3)."""
    axis = (np.arange(side_px) + 0.5) / side_px - 0.5
    inside = (axis[:, None] ** 2 + axis**2 < 0.04)[..., None]
    return np.where(inside, (120, 70, 150), (225, 210, 215))
