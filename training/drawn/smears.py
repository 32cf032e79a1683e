"""Draws smears of made-up leukocytes, so that everything can be run without patients' cells.

The two phenotypes differ in vacuoles, granulation and lobes, in the direction described for VEXAS
syndrome (Chabrun et al., CCLM 2023, 10.1515/cclm-2022-1283). They are drawings: a score on them
says nothing about patients.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from training.drawn.paint import CellTraits, NucleusShape, Pixels, Stain, paint_cell
from training.drawn.scenery import paint_crop
from vexas_edge.errors import UsageError

CellType = Literal["neutrophil", "monocyte", "lymphocyte"]
Phenotype = Literal["control", "vexas"]
SmearLayout = Literal["cellavision", "prefix"]
CELL_TYPES: tuple[CellType, ...] = get_args(CellType)


@dataclass(frozen=True, kw_only=True)
class Morphology:
    """The mean look of one type of cell; the values are explained in `CellTraits`."""

    nucleus_shape: NucleusShape
    diameter_px: float
    outline_irregularity: float
    nucleus_share: float
    lobes: float
    chromatin_contrast: float
    azure: float
    eosin: float
    granules_per_px: float
    vacuoles: float


CONTROL: dict[CellType, Morphology] = {
    "neutrophil": Morphology(
        nucleus_shape="lobed",
        diameter_px=116,
        outline_irregularity=0.02,
        nucleus_share=0.30,
        lobes=3.4,
        chromatin_contrast=0.22,
        azure=0.12,
        eosin=0.75,
        granules_per_px=0.10,
        vacuoles=0.4,
    ),
    "monocyte": Morphology(
        nucleus_shape="horseshoe",
        diameter_px=134,
        outline_irregularity=0.035,
        nucleus_share=0.42,
        lobes=1,
        chromatin_contrast=0.2,
        azure=0.60,
        eosin=0.35,
        granules_per_px=0.015,
        vacuoles=1.2,
    ),
    "lymphocyte": Morphology(
        nucleus_shape="round",
        diameter_px=84,
        outline_irregularity=0.02,
        nucleus_share=0.70,
        lobes=1,
        chromatin_contrast=0.2,
        azure=0.95,
        eosin=0.10,
        granules_per_px=0.001,
        vacuoles=0.1,
    ),
}

# Means at full strength; lymphocytes hardly differ, as in the published scores. Monocytes have
# enough vacuoles for a small encoder, trained from random weights, to see them in a dozen cells.
VEXAS: dict[CellType, dict[str, float]] = {
    "neutrophil": {"lobes": 2.3, "granules_per_px": 0.03, "vacuoles": 4.0},
    "monocyte": {"granules_per_px": 0.008, "vacuoles": 14.0},
    "lymphocyte": {"vacuoles": 0.5},
}

# Spread of the patients' means, and of the cells of one patient, as sd of the logarithm.
PATIENT_LOG_SD = {
    "diameter_px": 0.02,
    "nucleus_share": 0.03,
    "chromatin_contrast": 0.10,
    "azure": 0.08,
    "eosin": 0.08,
    "granules_per_px": 0.20,
    "vacuoles": 0.25,
}
CELL_LOG_SD = {
    "diameter_px": 0.05,
    "outline_irregularity": 0.30,
    "nucleus_share": 0.07,
    "chromatin_contrast": 0.15,
    "azure": 0.12,
    "eosin": 0.12,
    "granules_per_px": 0.25,
}

# As a CellaVision analyzer names its folders and files.
EXPORT_NAMES: dict[CellType, tuple[str, str]] = {
    "neutrophil": ("Segmented neutrophils", "SNE"),
    "monocyte": ("Monocyte", "MO"),
    "lymphocyte": ("Lymphocyte", "LY"),
}

PALETTE_COLOURS = 128
JPEG_QUALITY = 92
NOTE = "synthetic, vexas-edge"


@dataclass(frozen=True, kw_only=True)
class SmearCell:
    """One cell of a smear.

    index: counted from 0 within its type.
    classes: uint8 (H, W), 0 background, 1 cytoplasm, 2 nucleus; None if the cell is alone on black.
    """

    cell_type: CellType
    index: int
    pixels: Pixels
    classes: NDArray[np.uint8] | None = None


@dataclass(frozen=True, kw_only=True)
class DrawnPatient:
    """What all cells of one smear have in common.

    factors: on the means of `Morphology`, by name.
    """

    stain: Stain
    factors: Mapping[str, float]


def morphology_of(cell_type: CellType, phenotype: Phenotype, strength: float) -> Morphology:
    """The mean look of a cell type in a phenotype.

    Args:
        strength: how far VEXAS differs from the control, 0 (not at all) to 1.

    Raises:
        UsageError: the strength is outside that range.
    """
    if not 0 <= strength <= 1:
        raise UsageError(f"strength is {strength}; expected 0 (no difference) to 1")
    control = CONTROL[cell_type]
    if phenotype == "control":
        return control
    return replace(
        control,
        **{
            name: (1 - strength) * getattr(control, name) + strength * at_full_strength
            for name, at_full_strength in VEXAS[cell_type].items()
        },
    )


def draw_patient(patient_seed: int) -> DrawnPatient:
    """A random patient of either phenotype: the smear's stain and the factors of its cells."""
    rng = _generator(patient_seed)
    factors = {name: float(rng.lognormal(0, sd)) for name, sd in PATIENT_LOG_SD.items()}
    return DrawnPatient(stain=_draw_stain(rng), factors=factors)


def draw_traits(
    morphology: Morphology, patient: DrawnPatient, rng: np.random.Generator
) -> CellTraits:
    """The look of one cell, scattered around the means of its type and its patient."""
    scattered = {
        name: getattr(morphology, name) * patient.factors.get(name, 1.0) * rng.lognormal(0, sd)
        for name, sd in CELL_LOG_SD.items()
    }
    lobed = morphology.nucleus_shape == "lobed"
    lobes = int(np.clip(np.rint(rng.normal(morphology.lobes, 0.8)), 2, 5)) if lobed else 1
    vacuoles = morphology.vacuoles * patient.factors["vacuoles"]
    return CellTraits(
        nucleus_shape=morphology.nucleus_shape,
        lobes=lobes,
        vacuoles=int(rng.poisson(vacuoles)),
        **scattered,
    )


def synthesize_smear(
    patient_seed: int,
    phenotype: Phenotype,
    strength: float,
    n_cells: Mapping[CellType, int],
    *,
    crops: bool = False,
) -> list[SmearCell]:
    """The smear of one patient, type by type: cells alone on black, or crops of the slide.

    The same arguments lead to the same pixels, and larger numbers of cells begin with the same
    cells.
    """
    patient = draw_patient(patient_seed)
    cells = []
    for cell_type, count in n_cells.items():
        morphology = morphology_of(cell_type, phenotype, strength)
        for index in range(count):
            rng = _generator(patient_seed, CELL_TYPES.index(cell_type), index)
            traits = draw_traits(morphology, patient, rng)
            pixels, classes = (
                paint_crop(traits, patient.stain, rng)
                if crops
                else (paint_cell(traits, patient.stain, rng), None)
            )
            cells.append(
                SmearCell(cell_type=cell_type, index=index, pixels=pixels, classes=classes)
            )
    return cells


def write_smear(
    folder: Path, cells: Iterable[SmearCell], layout: SmearLayout = "cellavision"
) -> list[Path]:
    """Write cells as an analyzer would export them; returns the files in the cells' order.

    With the layout "cellavision" a file is `folder/Signed slides/<class>/<PREFIX>_<six digits, from
    1>.png`; with "prefix" all files are in `folder`. Each file says that it is synthetic. Cells
    alone are palette images: they are half the size of full colour, their background stays black
    unlike in JPEG, and colours differ by about one level of 255. Crops are JPEG, as analyzers write
    them.
    """
    paths = []
    for cell in cells:
        class_name, prefix = EXPORT_NAMES[cell.cell_type]
        place = folder if layout == "prefix" else folder / "Signed slides" / class_name
        place.mkdir(parents=True, exist_ok=True)
        paths.append(_write_cell(cell, place / f"{prefix}_{cell.index + 1:06d}"))
    return paths


def _write_cell(cell: SmearCell, stem: Path) -> Path:
    image = Image.fromarray(cell.pixels)
    if cell.classes is not None:
        path = stem.with_suffix(".jpg")
        image.save(path, quality=JPEG_QUALITY, comment=NOTE)
        return path
    path, note = stem.with_suffix(".png"), PngInfo()
    note.add_text("Comment", NOTE)
    image.quantize(PALETTE_COLOURS).save(path, optimize=True, pnginfo=note)
    return path


def _generator(patient_seed: int, *cell: int) -> np.random.Generator:
    # A spawn key, since SeedSequence treats (1,) and (1, 0, 0) as the same seed.
    seeds = np.random.SeedSequence(patient_seed, spawn_key=cell)
    return np.random.Generator(np.random.PCG64(seeds))


def _draw_stain(rng: np.random.Generator) -> Stain:
    """A variation of the usual stain: in the amount and hue of each dye, and in the lamp."""
    usual = Stain()
    dyes = {
        name: tuple(np.array(getattr(usual, name)) * rng.lognormal(0, 0.12) * _hue(rng, 0.05))
        for name in ("purple_density", "azure_density", "eosin_density")
    }
    light = np.array(usual.light_rgb) * rng.uniform(0.9, 1.0) * _hue(rng, 0.02)
    return Stain(light_rgb=tuple(np.minimum(light, 255)), **dyes)


def _hue(rng: np.random.Generator, log_sd: float) -> np.ndarray:
    return rng.lognormal(0, log_sd, 3)
