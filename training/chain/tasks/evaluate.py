"""The work of the stage `evaluate`: a model is judged by patient."""

from dataclasses import dataclass
from pathlib import Path

from training.chain.inputs import SENTENCES, GivenCells
from training.chain.tasks.patients import EncodedCells, patients_of
from training.patients.evaluation import EvaluationOptions, evaluate_patients
from training.patients.report import evaluation_sentences, write_report
from training.talk import Talk
from vexas_edge.errors import InputError
from vexas_edge.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class EvaluateInputs:
    """Whose cells are judged, and how.

    cohort: all rows.
    fit, judge: the splits that the SVM is fitted on, and judged on.
    title: of the report.
    libraries: what the figures depend on besides.
    """

    encoded: EncodedCells
    cohort: GivenCells
    fit: str
    judge: str
    options: EvaluationOptions
    title: str
    libraries: dict[str, str]


def make_evaluation(to: Path, given: EvaluateInputs, _: Talk) -> None:
    """Write the report, and `sentences.txt` for the model card.

    Raises:
        InputError: no patient to judge has a cell, or there are too few patients.
    """
    rows = given.cohort.rows
    splits = {row.patient: row.split for row in rows}
    patients = patients_of(given.encoded, given.cohort)
    fit, judge = (
        [patient for patient in patients if splits[patient.name] == split]
        for split in (given.fit, given.judge)
    )
    if not judge:
        raise InputError(f"{given.title}: no patient of the split {given.judge!r} has a cell")
    found = evaluate_patients(fit, given.options, rows, judge)
    write_report(found, (*fit, *judge), given.title, to)
    write_atomically(to / SENTENCES, " ".join(evaluation_sentences(found)).encode())
