"""The patients of encoded cells, with the labels of a cohort."""

from dataclasses import dataclass, replace

from training.chain.inputs import GivenCells, GivenFile
from training.encodings.table import read_encodings
from training.patients.aggregates import Patient, patients_from_encodings


@dataclass(frozen=True, kw_only=True)
class EncodedCells:
    """The files that the stage `encode` wrote; they hold no label."""

    encodings: GivenFile
    metadata: GivenFile


def patients_of(encoded: EncodedCells, cohort: GivenCells) -> list[Patient]:
    """The patients who are in the cohort's rows, each in the group that its label says."""
    labels = {row.patient: row.label for row in cohort.rows}
    found = read_encodings(encoded.encodings.path, encoded.metadata.path)
    groups = tuple(labels.get(patient, "") for patient in found.patients)
    everyone = patients_from_encodings(replace(found, groups=groups))
    return [patient for patient in everyone if patient.name in labels]
