"""Reads the cohort's patients, encodes their cells, and computes medians to fit an SVM on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.inputs import Encoder, load_encoder
from export.preprocessing import PREPROCESSINGS, pixels_from_cells
from vexas_edge import read_case
from vexas_edge.cells.canvas import Canvas, decode_cell
from vexas_edge.errors import InputError
from vexas_edge.scoring.draws import draw_cells
from vexas_edge.smear.cohort import CohortCase, read_cohort
from vexas_edge.smear.options import ReadOptions

# The encoder's own preprocessing, and the middle part of each 224 px image, which shows the cell.
PREPROCESSING = "keras-caffe"
CANVAS_PX = 112
CANVAS = Canvas(canvas_px=CANVAS_PX, larger="crop")
CELL_TYPE = "lymphocyte"

# The VEXAS recipe: 100 medians of 10 cells per patient to fit on, and 1,000 to score with.
FIT_DRAWS, SCORE_DRAWS, DRAW_SIZE, SEED = 100, 1000, 10, 0


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One patient.

    row: of cohort.csv.
    identities: of the patient's distinct cells.
    encodings: float32 (N, D), L2-normalised, one row per cell in the same order.
    """

    row: CohortCase
    identities: tuple[bytes, ...]
    encodings: np.ndarray


def read_patients(cohort_dir: Path, most_per_group: int | None) -> tuple[CohortCase, ...]:
    """The rows of the cohort, or only the first `most_per_group` of each split and label.

    Raises:
        InputError: the cohort cannot be read, or a patient has several samples.
    """
    rows = read_cohort(cohort_dir / "cohort.csv")
    patient, n_samples = Counter(row.patient for row in rows).most_common(1)[0]
    if n_samples > 1:
        raise InputError(
            f"patient {patient!r} has {n_samples} samples; this example needs one per patient, "
            "so that no patient is on both sides of a split"
        )
    met: Counter[tuple[str, str]] = Counter()
    kept = []
    for row in rows:
        met[row.split, row.label] += 1
        if most_per_group is None or met[row.split, row.label] <= most_per_group:
            kept.append(row)
    return tuple(kept)


def encode_patients(rows: Sequence[CohortCase], encoder_file: Path) -> list[Patient]:
    """The patients with their cells, read and placed as scoring does, and encoded."""
    encoder = load_encoder(encoder_file.name, encoder_file.parent, canvas_px=CANVAS_PX)
    return [_encoded(row, encoder) for row in rows]


def _encoded(row: CohortCase, encoder: Encoder) -> Patient:
    cells = _distinct_cells(row)
    pixels = pixels_from_cells(np.stack(list(cells.values())), PREPROCESSINGS[PREPROCESSING])
    embedding = encoder.reference(pixels)
    encodings = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    return Patient(row=row, identities=tuple(cells), encodings=encodings)


def _distinct_cells(row: CohortCase) -> dict[bytes, np.ndarray]:
    """Pixels of the patient's cells, uint8 (112, 112, 3), by the cell's identity."""
    case = read_case(row.path, ReadOptions(cell_type=CELL_TYPE))
    with case:
        decoded = [decode_cell(case.source, cell, CANVAS) for cell in case.cells]
    return {cell.identity: cell.pixels for cell in decoded if cell.pixels is not None}


def aggregates(patient: Patient) -> np.ndarray:
    """The patient's medians for fitting, float32 (100, D)."""
    draws = draw_cells(patient.identities, FIT_DRAWS, DRAW_SIZE, SEED)
    return np.median(patient.encodings[draws], axis=1)
