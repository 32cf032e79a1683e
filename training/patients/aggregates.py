"""Turns encoded cells into patients, and a patient into medians over random draws of its cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.encodings.table import Encodings
from vexas_edge.errors import InputError, UsageError
from vexas_edge.scoring.abstention import CellCounts, reasons_to_abstain
from vexas_edge.scoring.draws import draw_cells


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """How aggregates are drawn; the defaults are the VEXAS paper's.

    draws: aggregates per patient.
    size: cells per aggregate.
    """

    draws: int = 100
    size: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1 or self.size < 1 or self.seed < 0:
            raise UsageError(
                f"draws is {self.draws}, size {self.size} and seed {self.seed}; expected draws and "
                "size of at least 1 and a seed of at least 0"
            )


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One patient's cells.

    group: the patient's label.
    encodings: of distinct cells, float32 (N, D).
    identities: of these cells.
    """

    name: str
    group: str
    encodings: np.ndarray
    identities: tuple[bytes, ...]

    def aggregates(self, options: DrawOptions) -> np.ndarray:
        """Element-wise medians of drawn cells, float32 (draws, D)."""
        draws = draw_cells(self.identities, options.draws, options.size, options.seed)
        return np.median(self.encodings[draws], axis=1)


def patients_from_encodings(found: Encodings) -> tuple[Patient, ...]:
    """The patients in the order of their first cells; copies of a cell's file count once.

    Raises:
        InputError: a cell has no patient or two patients, a patient is in two groups, or there are
            fewer than two patients.
    """
    rows: dict[str, list[int]] = {}
    owner: dict[bytes, str] = {}
    for row, (name, identity) in enumerate(zip(found.patients, found.identities, strict=True)):
        if not name:
            raise InputError(f"row {row} of the metadata, counted from 0, has no PATIENT")
        if owner.setdefault(identity, name) != name:
            raise InputError(
                f"the same cell belongs to two patients, {owner[identity]!r} and {name!r} "
                f"({found.cells[row] or identity.hex()[:16]})"
            )
        rows.setdefault(name, []).append(row)
    patients = tuple(_patient(name, of_patient, found) for name, of_patient in rows.items())
    if len(patients) < 2:
        raise InputError(
            f"there is only one patient, {patients[0].name!r}; judging needs at least two"
        )
    return patients


def with_enough_cells(patients: Sequence[Patient], minimum_cells: int) -> list[Patient]:
    """The patients that a bundle with this minimum would score; nothing is fitted on the others."""
    return [
        patient
        for patient in patients
        if not reasons_to_abstain(CellCounts(used=len(patient.identities)), minimum_cells)
    ]


def _patient(name: str, rows: Sequence[int], found: Encodings) -> Patient:
    groups = sorted({found.groups[row] for row in rows})
    if len(groups) > 1:
        raise InputError(f"patient {name!r} is in two groups, {groups[0]!r} and {groups[1]!r}")
    distinct = {found.identities[row]: row for row in reversed(rows)}
    kept = sorted(distinct.values())
    return Patient(
        name=name,
        group=groups[0],
        encodings=found.encodings[kept],
        identities=tuple(found.identities[row] for row in kept),
    )
