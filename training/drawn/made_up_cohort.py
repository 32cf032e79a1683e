"""Writes a cohort of made-up patients, so that the whole chain can be run without real data."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from training.drawn.smears import (
    CellType,
    Phenotype,
    SmearCell,
    SmearLayout,
    synthesize_smear,
    write_smear,
)
from training.mask_network.masks import LEVELS
from vexas_edge.errors import HostError
from vexas_edge.files import write_atomically

# Enough cells of each type for its model to score, in the proportions of a blood smear.
CELLS: dict[CellType, int] = {"neutrophil": 60, "monocyte": 12, "lymphocyte": 30}

MASKS_PER_TYPE = 2  # per smear


@dataclass(frozen=True, kw_only=True)
class SyntheticCohort:
    """A cohort to be drawn.

    patients: their number; vexas and control alternate.
    strength: of the phenotype, 0 (no difference between the groups) to 1.
    judged: the share of patients, the last ones, in the split `judge`; the others are in `fit`.
    first_seed: the seed of the first patient; each further patient has the next one.
    layout: of each smear's files.
    crops: whether images show what is around a cell; if so, some masks are written, too.
    cells: per type and smear.
    """

    patients: int = 40
    strength: float = 0.8
    judged: float = 0.4
    first_seed: int = 1
    layout: SmearLayout = "cellavision"
    crops: bool = False
    cells: Mapping[CellType, int] = field(default_factory=lambda: dict(CELLS))

    def phenotype(self, seed: int) -> Phenotype:
        """The phenotype of the patient with that seed."""
        return "vexas" if (seed - self.first_seed) % 2 == 0 else "control"

    def split(self, seed: int) -> str:
        """The split of the patient with that seed."""
        fitted = self.patients - round(self.judged * self.patients)
        return "fit" if seed - self.first_seed < fitted else "judge"

    def seeds(self) -> Sequence[int]:
        """The seeds of all patients."""
        return range(self.first_seed, self.first_seed + self.patients)


def write_cohort(cohort: SyntheticCohort, folder: Path) -> Iterable[Path]:
    """Draw every patient into `folder`, then write `cohort.csv`; yields each smear's folder.

    With crops, it also writes `masks.csv`, which lists some images and their masks for
    `vexas-workshop train segmenter`.

    Raises:
        HostError: the folder is not empty, or no folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HostError(f"{folder} is no empty folder; name another")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("patient", "sample", "path", "label", "split"))
    masks: list[Sequence[str]] = [("image", "mask", "split")]
    for seed in cohort.seeds():
        name, phenotype = f"synthetic-{seed:03d}", cohort.phenotype(seed)
        smear = synthesize_smear(seed, phenotype, cohort.strength, cohort.cells, crops=cohort.crops)
        files = write_smear(folder / name, smear, cohort.layout)
        masks += _write_masks(folder, files, smear, cohort.split(seed))
        writer.writerow((name, name, name, phenotype, cohort.split(seed)))
        yield folder / name
    if cohort.crops:
        table = "\n".join(map(",".join, masks)) + "\n"
        write_atomically(folder / "masks.csv", table.encode())
    write_atomically(folder / "cohort.csv", text.getvalue().encode())


def _write_masks(
    folder: Path, files: Sequence[Path], smear: Sequence[SmearCell], split: str
) -> list[Sequence[str]]:
    """Write masks of the first crops of each type; returns their rows of masks.csv."""
    rows: list[Sequence[str]] = []
    for file, cell in zip(files, smear, strict=True):
        if cell.classes is None or cell.index >= MASKS_PER_TYPE:
            continue
        image = file.relative_to(folder)
        mask = Path("masks", *image.parts).with_suffix(".png")
        (folder / mask).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array(LEVELS, np.uint8)[cell.classes]).save(folder / mask)
        rows.append((image.as_posix(), mask.as_posix(), split))
    return rows
