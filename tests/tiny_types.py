"""The smallest model that names cells: by their tint."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from tiny import (
    CANVAS_PX,
    PREPROCESSING,
    cell_pixels,
    encodings_of,
    on_canvas,
    onnx_from_kernels,
    png,
    tiny_model,
)

from export import write_bundle
from export.backbones import build_backbone

# The class of each tint. A model of the two halves of neutrophils is not needed here.
CLASS_OF_TINT = ("neutrophil_segmented", "monocyte", "lymphocyte")
# The same as an analyzer writes it.
FOLDER_OF_TINT = ("Segmented neutrophils", "Monocyte", "Lymphocyte")
LIMITS = dict.fromkeys(CLASS_OF_TINT, 0.5)


def kernels() -> tuple[np.ndarray, np.ndarray]:
    """Those of the tiny model of neutrophils, so that it shares its encoder."""
    return tiny_model(1).kernels


def tint_classifier(n: int = 300) -> LogisticRegression:
    """Tells the tint of a cell from its encoding."""
    tints = np.arange(n) % 3
    cells = np.stack([on_canvas(cell_pixels(5000 + i, int(tint))) for i, tint in enumerate(tints)])
    names = np.array(CLASS_OF_TINT)[tints]
    return LogisticRegression(C=1e4, max_iter=2000).fit(encodings_of(kernels(), cells), names)


def compact_weights(folder: Path) -> Path:
    """The file of a small backbone's weights, drawn by chance, in the folder."""
    torch.manual_seed(0)
    save_file(build_backbone("compact").state_dict(), folder / "compact.safetensors")
    return folder / "compact.safetensors"


def types_bundle(
    folder: Path,
    limits: dict[str, float] | None = None,
    largest_px: int = 20,
    familiar: str | None = None,
) -> Path:
    """A bundle that names cells alone, TYPES.vxb in the folder."""
    cells = folder / "parity"
    write_tinted(cells, 40)
    (folder / "types.onnx").write_bytes(onnx_from_kernels(kernels()).SerializeToString())
    spec = {
        "name": "types",
        "version": "1.0.0",
        "models": {
            "leukocyte": {
                "role": "typing",
                "encoder": str(folder / "types.onnx"),
                "preprocessing": {"mean": PREPROCESSING.mean, "scale": PREPROCESSING.scale},
                "encoding": "l2",
                "parity_cells": str(cells),
                "canvas_px": CANVAS_PX,
                "limits": LIMITS if limits is None else limits,
                "largest_px": largest_px,
                **({"familiar": str(folder / familiar)} if familiar else {}),
            }
        },
    }
    write_bundle(spec, classifier=tint_classifier(), to=folder / "TYPES.vxb")
    return folder / "TYPES.vxb"


def write_tinted(folder: Path, n: int, seed: int = 0, tint: int | None = None) -> list[Path]:
    """Cells of one tint, or of all in turn, 0.png and on."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i}.png" for i in range(n)]
    for i, path in enumerate(paths):
        path.write_bytes(png(cell_pixels(9000 + 1000 * seed + i, i % 3 if tint is None else tint)))
    return paths


def write_tinted_patients(
    folder: Path, n: int, each: int = 6, folders: tuple[str, ...] = FOLDER_OF_TINT
) -> Path:
    """A cohort of smears with class folders, a tint each; gives sources.toml."""
    lines = ["patient,sample,path,label,split"]
    for patient in range(n):
        for tint, name in enumerate(folders):
            own = folder / f"S{patient}" / "Signed slides" / name
            own.mkdir(parents=True)
            for i in range(each):
                pixels = cell_pixels(10_000 * tint + 100 * patient + i, tint)
                (own / f"{i}.png").write_bytes(png(pixels))
        lines.append(f"P{patient},S{patient},S{patient},any,fit")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    (folder / "sources.toml").write_text('[sources.site]\ncohort = "cohort.csv"\n')
    return folder / "sources.toml"
