"""The demonstration that ships inside the wheel: a bundle and a smear, both from drawn cells.

The encoders are untrained: seeded random weights, whose batch normalisation has seen the drawn
cells. So the classifiers tell drawn phenotypes apart at best, and everything says "synthetic".
"""

import hashlib
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.svm import SVC

from calibration.conversion import Console, Conversion, add_precisions
from export import spec_from_fields, write_bundle
from export.backbones import build_backbone
from export.preprocessing import PREPROCESSINGS, pixels_from_cells
from training.synth import (
    CELL_TYPES,
    EXPORT_NAMES,
    CellType,
    SmearCell,
    synthesize_smear,
    write_smear,
)
from vexas_edge.bundle import open_bundle
from vexas_edge.draws import draw_cells
from vexas_edge.images import place_on_canvas

CANVAS_PX = 160
PREPROCESSING = "torchvision"
STRENGTH = 0.8
FIT_DRAWS = 30

# Untrained encoders make all cells much alike, so that scores hang on small differences: the demo
# shows the gate at work, it does not show a model that was worth shipping.
DEMO_BUDGET = {"score_drift": 0.05, "auc_drop": 0.05, "flipped_share": 0.2, "flip_margin": 0.1}

# Enough cells of each type for its model to score, in the proportions of a blood smear.
CELLS: dict[CellType, int] = {"neutrophil": 60, "monocyte": 12, "lymphocyte": 30}
PARITY_CELLS: dict[CellType, int] = {"neutrophil": 12, "monocyte": 12, "lymphocyte": 12}
MODELS: dict[CellType, dict[str, object]] = {
    "neutrophil": {"cells": ["neutrophil_segmented", "neutrophil_band"], "minimum_cells": 50},
    "monocyte": {"cells": ["monocyte"], "minimum_cells": 10},
    "lymphocyte": {"cells": ["lymphocyte"], "minimum_cells": 25},
}

# Seeds of the patients to fit on, of those that the int8 graph is judged on, alternately control
# and vexas, and of the one who is shown.
FIT_PATIENTS = range(1, 17)
JUDGED_PATIENTS = range(17, 33)
SHOWN_PATIENT = 100


def build_demo(to: Path) -> None:
    """Write `demo.vxb` and `smear.zip` into the folder `to`."""
    to.mkdir(parents=True, exist_ok=True)
    smears = {
        seed: synthesize_smear(seed, _phenotype(seed), STRENGTH, CELLS) for seed in FIT_PATIENTS
    }
    encoders, classifiers = {}, {}
    for cell_type in CELL_TYPES:
        cells = {seed: _cells_of(smear, cell_type) for seed, smear in smears.items()}
        encoders[cell_type] = untrained_encoder(np.concatenate(list(cells.values())))
        classifiers[cell_type] = fit_classifier(encoders[cell_type], cells)
    with tempfile.TemporaryDirectory() as folder:
        parity = Path(folder) / "parity"
        write_smear(parity, synthesize_smear(FIT_PATIENTS[0], "vexas", STRENGTH, PARITY_CELLS))
        spec = spec_from_fields(_spec_fields(parity / "Signed slides"))
        write_bundle(spec, encoder=encoders, classifier=classifiers, to=to / "demo.vxb")
        smears |= {
            seed: synthesize_smear(seed, _phenotype(seed), STRENGTH, CELLS)
            for seed in JUDGED_PATIENTS
        }
        add_int8(to / "demo.vxb", write_cohort(Path(folder), smears))
        shown = synthesize_smear(SHOWN_PATIENT, "vexas", STRENGTH, CELLS)
        files = write_smear(Path(folder) / "smear", shown)
        _zip(files, Path(folder) / "smear", to / "smear.zip")


def write_cohort(folder: Path, smears: Mapping[int, list[SmearCell]]) -> Path:
    """The smears as an analyzer would export them, and the cohort file that names them."""
    rows = ["patient,sample,path,label,split"]
    for seed, smear in smears.items():
        write_smear(folder / f"smear-{seed}", smear)
        split = "fit" if seed in FIT_PATIENTS else "judge"
        rows.append(f"{seed},{seed},smear-{seed},{_phenotype(seed)},{split}")
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "cohort.csv"


def add_int8(bundle: Path, cohort: Path) -> None:
    """The bundle gains the int8 graph for CPUs with VNNI, judged on drawn patients."""
    silent = Console(progress=lambda *_: None, show=lambda _: None, warn=lambda _: None)
    add_precisions(open_bundle(bundle), Conversion(cohort=cohort, kinds=("int8",)), bundle, silent)


def untrained_encoder(cells: np.ndarray) -> torch.nn.Module:
    """A `compact` of seeded weights whose batch normalisation is set by these cells.

    Args:
        cells: uint8 (N, H, W, 3).
    """
    torch.manual_seed(0)
    module = build_backbone("compact")
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # a plain mean over all batches
    pixels = torch.from_numpy(pixels_from_cells(cells, PREPROCESSINGS[PREPROCESSING]))
    module.train()
    with torch.no_grad():
        for batch in pixels.split(64):
            module(batch)
    return module.eval()


def fit_classifier(
    encoder: torch.nn.Module, cells: Mapping[int, np.ndarray]
) -> CalibratedClassifierCV:
    """An SVC on the patients' aggregates, calibrated on folds that never split a patient."""
    aggregates, labels, patients = [], [], []
    for seed, of_patient in cells.items():
        pixels = pixels_from_cells(of_patient, PREPROCESSINGS[PREPROCESSING])
        with torch.inference_mode():
            embedding = encoder(torch.from_numpy(pixels))
        encodings = torch.nn.functional.normalize(embedding).numpy()
        identities = [hashlib.sha256(cell.tobytes()).digest() for cell in of_patient]
        draws = draw_cells(identities, FIT_DRAWS, draw_size=10, seed=0)
        aggregates.append(np.median(encodings[draws], axis=1))
        labels += [_phenotype(seed)] * FIT_DRAWS
        patients += [seed] * FIT_DRAWS
    features = np.concatenate(aggregates)
    folds = list(StratifiedGroupKFold(4).split(features, labels, patients))
    return CalibratedClassifierCV(SVC(), cv=folds, ensemble=False).fit(features, labels)


def _phenotype(seed: int) -> str:
    return "vexas" if seed % 2 else "control"


def _cells_of(smear: list[SmearCell], cell_type: CellType) -> np.ndarray:
    chosen = [cell.pixels for cell in smear if cell.cell_type == cell_type]
    return np.stack([place_on_canvas(pixels, CANVAS_PX, "crop") for pixels in chosen])


def _spec_fields(parity: Path) -> dict[str, object]:
    common = {
        "preprocessing": PREPROCESSING,
        "canvas_px": CANVAS_PX,
        "larger": "crop",
        "fit_draws": FIT_DRAWS,
    }
    models = {
        name: {**common, **facts, "parity_cells": str(parity / EXPORT_NAMES[name][0])}
        for name, facts in MODELS.items()
    }
    return {
        "name": "synthetic-demo",
        "version": "1.0.0",
        "positive": "vexas",
        "lead": "neutrophil",
        "synthetic": True,
        "intended_use": "Showing that the software runs. The encoders are untrained.",
        "training_data": f"{len(FIT_PATIENTS)} synthetic smears (training/synth.py), no patient",
        "performance": "none: untrained encoders, drawn cells",
        "models": models,
        "budgets": {"int8": {"cosine_p1": 0.998, **DEMO_BUDGET}},
    }


def _zip(files: list[Path], root: Path, to: Path) -> None:
    """The files as one zip that is the same at every build; PNGs are stored as they are."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(files):
            entry = zipfile.ZipInfo(file.relative_to(root).as_posix(), (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, file.read_bytes())
