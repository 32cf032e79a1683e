"""Draws cells with counts of genes, so that all of it can be run without real data.

Counts are negative binomial, cells' libraries log-normal. Each lineage has markers, each patient
some genes that lie higher or lower, and some genes are raised in a share of the cells of patients
who are ill.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vexas_edge.errors import UsageError
from vexas_edge.files import write_atomically

ILL, HEALTHY = "ill", "healthy"
TableKind = Literal["npz", "csv"]

_MARKER_LOG_FOLD, _DISPERSION = 2.0, 0.3
_LOG_LIBRARY, _LOG_LIBRARY_SD, _GENE_LOG_SD = np.log(2000), 0.4, 1.0


@dataclass(frozen=True, kw_only=True)
class DrawnExpression:
    """Cells that are to be drawn.

    patients: their number; ill and healthy ones alternate.
    cells: of each patient, as many of each lineage.
    genes: of each cell. Every lineage has `markers` of them, and `affected` others are raised.
    strength: of the illness, by how much the logarithm of the mean of an affected gene is raised; 0
        for none.
    share: of an ill patient's cells in which it is.
    patient_log_sd: by how much the logarithm of a gene's mean differs between patients.
    """

    patients: int = 10
    cells: int = 60
    genes: int = 120
    lineages: tuple[str, ...] = ("B cell", "monocyte")
    markers: int = 8
    affected: int = 10
    strength: float = 1.0
    share: float = 1.0
    patient_log_sd: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        named = len(self.lineages) * self.markers + self.affected
        if named > self.genes or min(self.patients, self.cells, len(self.lineages)) < 1:
            raise UsageError(
                f"{self.genes} genes are too few for {named} markers and affected ones, or there "
                "are no patients, cells or lineages"
            )
        if not 0 <= self.share <= 1 or self.strength < 0:
            raise UsageError(
                f"share is {self.share} and strength {self.strength}; expected a share of 0 to 1 "
                "and no strength below 0"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnCells:
    """What was drawn.

    counts: int32 (N, G). genes: their names.
    rows: of each cell its name, label, patient, sample and lineage.
    """

    counts: NDArray[np.int32]
    genes: tuple[str, ...]
    rows: tuple[tuple[str, str, str, str, str], ...]


def drawn_expression(wanted: DrawnExpression) -> DrawnCells:
    """The cells, the same for the same seed."""
    rng = np.random.default_rng(wanted.seed)
    base = rng.normal(0.0, _GENE_LOG_SD, wanted.genes)
    special = rng.permutation(wanted.genes)
    affected, others = special[: wanted.affected], special[wanted.affected :]
    counts: list[NDArray[np.int32]] = []
    rows: list[tuple[str, str, str, str, str]] = []
    for number in range(wanted.patients):
        patient, label = f"P{number + 1:02}", (ILL, HEALTHY)[number % 2]
        own = base + rng.normal(0.0, wanted.patient_log_sd, wanted.genes)
        for cell in range(wanted.cells):
            place = cell % len(wanted.lineages)
            logs = own.copy()
            logs[others[place * wanted.markers : (place + 1) * wanted.markers]] += _MARKER_LOG_FOLD
            if label == ILL and rng.random() < wanted.share:
                logs[affected] += wanted.strength
            counts.append(_counts(logs, rng))
            name = f"{patient}-{cell + 1:04}"
            rows.append((name, label, patient, patient, wanted.lineages[place]))
    genes = tuple(f"GENE{number + 1}" for number in range(wanted.genes))
    return DrawnCells(counts=np.stack(counts), genes=genes, rows=tuple(rows))


def write_drawn_patients(drawn: DrawnCells, folder: Path) -> None:
    """Write a table for each patient, `cells.csv` that says what each cell is, and `cohort.csv`.

    The first half of the patients is of the split fit, the others of judge.

    Raises:
        HostError: a file cannot be written.
    """
    patients = np.array([row[2] for row in drawn.rows])
    cohort: list[list[str]] = []
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for patient in np.unique(patients).tolist():
        own = np.flatnonzero(patients == patient)
        names = [drawn.rows[place][0] for place in own]
        write_atomically(folder / f"tables/{patient}.npz", _npz(drawn, names, drawn.counts[own]))
        split = "fit" if 2 * len(cohort) < len(set(patients.tolist())) else "judge"
        label = drawn.rows[own[0]][1]
        cohort.append([patient, patient, f"tables/{patient}.npz", label, split])
    _write_cells(drawn, folder)
    header = ["patient", "sample", "path", "label", "split"]
    write_atomically(folder / "cohort.csv", _csv(header, cohort))


def write_drawn_expression(
    drawn: DrawnCells, folder: Path, kind: TableKind = "npz"
) -> tuple[Path, Path]:
    """Write a table of the cells and `cells.csv`, and give both files.

    Raises:
        HostError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / f"table.{kind}"
    names = [row[0] for row in drawn.rows]
    if kind == "npz":
        write_atomically(table, _npz(drawn, names, drawn.counts))
    else:
        numbers = zip(names, drawn.counts.tolist(), strict=True)
        lines = [[name, *counts] for name, counts in numbers]
        write_atomically(table, _csv(["", *drawn.genes], lines))
    return table, _write_cells(drawn, folder)


def _npz(drawn: DrawnCells, names: list[str], counts: NDArray[np.int32]) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, counts=counts, genes=np.array(drawn.genes), cells=np.array(names))
    return content.getvalue()


def _write_cells(drawn: DrawnCells, folder: Path) -> Path:
    header = ["cell", "label", "patient", "sample", "lineage"]
    write_atomically(folder / "cells.csv", _csv(header, [list(row) for row in drawn.rows]))
    return folder / "cells.csv"


def _counts(logs: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int32]:
    """The counts of a cell, int32 (G,), whose genes have means by these logarithms."""
    shares = np.exp(logs) / np.exp(logs).sum()
    library = np.exp(rng.normal(_LOG_LIBRARY, _LOG_LIBRARY_SD))
    means = rng.gamma(1 / _DISPERSION, _DISPERSION * shares * library)
    return rng.poisson(means).astype(np.int32)


def _csv(header: list[str], lines: list[list[str]] | list[list[object]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue().encode()
