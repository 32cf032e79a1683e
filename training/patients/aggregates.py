"""Patients as the classifier sees them: medians over random groups of each one's encoded cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.encodings.table import Encodings
from vexas_edge.errors import InputError, UsageError
from vexas_edge.scoring.draws import draw_cells


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """How aggregates are drawn; the defaults are the VEXAS paper's.

    draws: aggregates a patient. size: cells an aggregate.
    """

    draws: int = 100
    size: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1 or self.size < 1 or self.seed < 0:
            raise UsageError(f"{self} cannot be drawn; draws and size are 1 at least, seeds 0")


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One patient's cells. encodings: float32 (N, D), distinct cells. identities: of these cells.

    group: what the patient is labelled.
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
    """The patients in the order of their first cells; copies of one cell's file count once.

    Raises:
        InputError: cells without a patient, a patient in two groups, one cell under two patients,
            or fewer than two patients.
    """
    rows: dict[str, list[int]] = {}
    owner: dict[bytes, str] = {}
    for row, (name, identity) in enumerate(zip(found.patients, found.identities, strict=True)):
        if not name:
            raise InputError(f"row {row} of the metadata (from 0) names no PATIENT")
        if owner.setdefault(identity, name) != name:
            raise InputError(
                f"the same cell stands under two patients, {owner[identity]!r} and {name!r} "
                f"({found.cells[row] or identity.hex()[:16]})"
            )
        rows.setdefault(name, []).append(row)
    patients = tuple(_patient(name, of_patient, found) for name, of_patient in rows.items())
    if len(patients) < 2:
        raise InputError(f"there is one patient only, {patients[0].name!r}; nothing can be judged")
    return patients


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
