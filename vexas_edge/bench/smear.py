"""The smear that is scored where the user names none: drawn discs in noise, an analyzer's size."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from vexas_edge.manifest import Manifest

# The size of a CellaVision export's images.
EXPORT_PX = 360


def write_smear(manifest: Manifest, n_cells: int, folder: Path) -> Path:
    """A case with `n_cells` distinct JPEGs for each model, in folders named by class."""
    rng = np.random.Generator(np.random.PCG64(0))
    axis = (np.arange(EXPORT_PX) + 0.5) / EXPORT_PX - 0.5
    inside = (axis[:, None] ** 2 + axis**2 < 0.04)[..., None]
    disc = np.where(inside, (120, 70, 150), (225, 210, 215))
    for model in manifest.models.values():
        (folder / model.cells[0]).mkdir(parents=True, exist_ok=True)
        for index in range(n_cells):
            pixels = np.clip(rng.normal(disc, 8), 0, 255).astype(np.uint8)
            stream = BytesIO()
            Image.fromarray(pixels).save(stream, "JPEG", quality=90)
            (folder / model.cells[0] / f"{index:06d}.jpg").write_bytes(stream.getvalue())
    return folder
