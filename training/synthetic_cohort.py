"""A cohort of made-up patients on disk, so that the whole chain can be run without real data."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.synth import CellType, Phenotype, SmearLayout, synthesize_smear, write_smear
from vexas_edge.errors import HostError
from vexas_edge.output import write_atomically

# Enough cells of each type for its model to score, in the proportions of a blood smear.
CELLS: dict[CellType, int] = {"neutrophil": 60, "monocyte": 12, "lymphocyte": 30}


@dataclass(frozen=True, kw_only=True)
class SyntheticCohort:
    """What is drawn. strength: of the phenotype, 0 (none) to 1. cells: of each smear.

    patients: so many, alternately vexas and control; the last share `judged` of them is the split
    `judge`, the others `fit`. first_seed: of the first patient; each further patient has the next.
    """

    patients: int = 40
    strength: float = 0.8
    judged: float = 0.4
    first_seed: int = 1
    layout: SmearLayout = "cellavision"
    cells: Mapping[CellType, int] = field(default_factory=lambda: dict(CELLS))

    def phenotype(self, seed: int) -> Phenotype:
        """Of the patient with that seed."""
        return "vexas" if (seed - self.first_seed) % 2 == 0 else "control"

    def split(self, seed: int) -> str:
        """Of the patient with that seed."""
        fitted = self.patients - round(self.judged * self.patients)
        return "fit" if seed - self.first_seed < fitted else "judge"

    def seeds(self) -> Sequence[int]:
        """One a patient."""
        return range(self.first_seed, self.first_seed + self.patients)


def write_cohort(cohort: SyntheticCohort, folder: Path) -> Iterable[Path]:
    """Draw every patient into `folder`, then write `cohort.csv`; gives each smear's folder.

    Raises:
        HostError: the folder holds something already.
    """
    if folder.exists() and any(folder.iterdir()):
        raise HostError(f"{folder} is not empty; name another folder")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("patient", "sample", "path", "label", "split"))
    for seed in cohort.seeds():
        name, phenotype = f"synthetic-{seed:03d}", cohort.phenotype(seed)
        smear = synthesize_smear(seed, phenotype, cohort.strength, cohort.cells)
        write_smear(folder / name, smear, cohort.layout)
        writer.writerow((name, name, name, phenotype, cohort.split(seed)))
        yield folder / name
    write_atomically(folder / "cohort.csv", text.getvalue().encode())
