"""A cohort's cells as bags: for each patient the rows of its cells, in the order of identities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from training.judging.stacking import covariates_of_patients
from training.pretraining.cell_stack import CellStack
from vexas_edge.cells.background import Background
from vexas_edge.errors import InputError
from vexas_edge.smear.cohort import CohortCase


@dataclass(frozen=True, kw_only=True)
class Bags:
    """Patients and their cells.

    cells: all of them; those of a patient follow each other, by identity, as they do in scoring.
    starts: the row of each patient's first cell, and behind them the number of all cells.
    groups: the label of each patient.
    covariates: the further columns of the cohort, as text.
    background: the bare slide that each case was brought to; None where cells are as they were.
    """

    cells: CellStack
    starts: tuple[int, ...]
    patients: tuple[str, ...]
    groups: tuple[str, ...]
    covariates: tuple[Mapping[str, str], ...]
    background: Background | None = None

    def __len__(self) -> int:
        return len(self.patients)

    def rows(self, patient: int) -> torch.Tensor:
        """The rows of one patient's cells, int64 (n,)."""
        return torch.arange(self.starts[patient], self.starts[patient + 1])


def bags_of(cells: CellStack, cohort: Sequence[CohortCase], minimum_cells: int = 1) -> Bags:
    """The patients of the cohort who have cells enough, in its order; samples of one are joined.

    Raises:
        InputError: nobody has, or two samples of a patient have other covariates.
    """
    covariates = covariates_of_patients(cohort)
    first = {row.patient: row for row in reversed(cohort)}
    own: dict[str, list[int]] = {row.patient: [] for row in cohort}
    for row, patient in enumerate(cells.patients):
        own[patient].append(row)
    kept = {name: rows for name, rows in own.items() if len(rows) >= minimum_cells}
    if not kept:
        raise InputError(f"none of the {len(own)} patients has the {minimum_cells} cells needed")
    order = [
        row
        for rows in kept.values()
        for row in sorted(rows, key=lambda place: cells.identities[place])
    ]
    starts = [0]
    for rows in kept.values():
        starts.append(starts[-1] + len(rows))
    return Bags(
        cells=_ordered(cells, order),
        starts=tuple(starts),
        patients=tuple(kept),
        groups=tuple(first[name].label for name in kept),
        covariates=tuple(covariates[name] for name in kept),
    )


def _ordered(cells: CellStack, order: Sequence[int]) -> CellStack:
    names = ("patients", "samples", "labels", "identities")
    texts = {name: tuple(getattr(cells, name)[row] for row in order) for name in names}
    rows = torch.tensor(order)
    return replace(cells, pixels=cells.pixels[rows], sizes=cells.sizes[rows], **texts)
