"""Evaluates an encoder and its SVM: all figures of the report, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from training.patients.aggregates import Patient, with_enough_cells
from training.patients.classifier import SvmOptions
from training.patients.covariates import CovariateAlone, covariate_alone
from training.patients.patientwise import (
    LEAVE_ONE_OUT,
    JudgedPatients,
    judge_held_out,
    judge_out_of_fold,
)
from training.patients.phenotype import Comparison, against_others, compare_groups
from vexas_edge.errors import InputError
from vexas_edge.smear.cohort import CohortCase


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How patients are judged.

    positive: the group whose probability is the score.
    minimum_cells: as in the bundle; patients with fewer cells are not judged.
    note: a sentence for the report.
    svm: options of the SVM for the patient-level figures.
    folds: of patients, each judged by an SVM fitted on the others.
    leave_one_out: whether patients are also left out one at a time, which is slow for many.
    seed: of the folds.
    threshold: the score from which on a patient is called positive.
    """

    positive: str
    minimum_cells: int = 1
    note: str = ""
    svm: SvmOptions = field(default_factory=SvmOptions)
    folds: int = 5
    leave_one_out: bool = False
    seed: int = 0
    threshold: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All figures.

    order: the groups, the positive one last.
    n_cells: cells per patient.
    paper: figures over aggregates, computed as in the paper.
    out_of_fold, leave_one_out: figures by patient.
    held_out: figures of patients who are in no fold, by an SVM fitted on all others.
    covariates: each column of the cohort alone, beside the out-of-fold score.
    not_judged: names of the columns that cannot be judged alone.
    left_out: names of the patients with too few cells.
    note: a further sentence for the report.
    """

    order: tuple[str, ...]
    n_cells: dict[str, int]
    paper: tuple[Comparison, ...]
    out_of_fold: JudgedPatients
    leave_one_out: JudgedPatients | None
    held_out: JudgedPatients | None
    covariates: tuple[CovariateAlone, ...]
    not_judged: tuple[str, ...]
    left_out: tuple[str, ...]
    note: str


def evaluate_patients(
    patients: Sequence[Patient],
    options: EvaluationOptions,
    cohort: Sequence[CohortCase] = (),
    held_out: Sequence[Patient] = (),
) -> Evaluation:
    """The paper's table, the patient-level figures, and the covariates of the cohort's rows.

    Args:
        cohort: rows whose covariates are judged alone.
        held_out: patients who are judged by an SVM fitted on all others.

    Raises:
        InputError: no patient is in the positive group or in another, there are too few patients,
            or the cohort lacks a patient or labels one differently.
    """
    everyone, asked, least = (*patients, *held_out), len(held_out), options.minimum_cells
    patients, held_out = (with_enough_cells(some, least) for some in (patients, held_out))
    if asked and not held_out:
        raise InputError(f"none of the {asked} patients held out has the {least} cells needed")
    judgeable = {patient.name for patient in (*patients, *held_out)}
    order = _order(patients, options.positive)
    out_of_fold = _out_of_fold(patients, options, options.folds)
    singly = _out_of_fold(patients, options, LEAVE_ONE_OUT) if options.leave_one_out else None
    covariates = _covariates(patients, cohort, out_of_fold)
    judged = {covariate.name for covariate in covariates}
    columns = cohort[0].covariates if cohort else ()
    return Evaluation(
        order=order,
        n_cells={p.name: len(p.identities) for p in (*patients, *held_out)},
        paper=compare_groups(patients, order, _as_printed(options.svm)),
        out_of_fold=out_of_fold,
        leave_one_out=singly,
        held_out=_held_out(patients, held_out, options) if held_out else None,
        covariates=covariates,
        not_judged=tuple(name for name in columns if name not in judged),
        left_out=tuple(p.name for p in everyone if p.name not in judgeable),
        note=options.note,
    )


def _out_of_fold(
    patients: Sequence[Patient], options: EvaluationOptions, folds: int
) -> JudgedPatients:
    return judge_out_of_fold(
        against_others(patients, options.positive),
        options.positive,
        options.svm,
        folds=folds,
        seed=options.seed,
        threshold=options.threshold,
    )


def _held_out(
    patients: Sequence[Patient], held_out: Sequence[Patient], options: EvaluationOptions
) -> JudgedPatients:
    return judge_held_out(
        against_others(patients, options.positive),
        against_others(held_out, options.positive),
        options.positive,
        options.svm,
        threshold=options.threshold,
    )


def _as_printed(options: SvmOptions) -> SvmOptions:
    """The options of the paper's SVM, with the draws that were asked for."""
    return SvmOptions(calibration="libsvm", draws=options.draws)


def _order(patients: Sequence[Patient], positive: str) -> tuple[str, ...]:
    """The groups by name, the positive one last."""
    groups = {patient.group for patient in patients}
    if positive not in groups or len(groups) < 2:
        raise InputError(
            f"the groups of patients with enough cells are {', '.join(sorted(groups)) or 'none'}; "
            f"evaluating needs {positive!r} and another"
        )
    return (*sorted(groups - {positive}), positive)


def _covariates(
    patients: Sequence[Patient], cohort: Sequence[CohortCase], found: JudgedPatients
) -> tuple[CovariateAlone, ...]:
    rows = {row.patient: row for row in cohort}
    if not rows:
        return ()
    for patient in patients:
        row = rows.get(patient.name)
        if row is None or row.label != patient.group:
            found_there = f"labelled {row.label!r}" if row else "missing"
            raise InputError(
                f"patient {patient.name!r} of group {patient.group!r} is {found_there} in the "
                "cohort; name the cohort that was encoded"
            )
    scores = np.array(found.scores)
    positive = np.array(found.groups) == found.positive
    alone = (
        covariate_alone(name, [rows[p].covariates[name] for p in found.names], scores, positive)
        for name in cohort[0].covariates
    )
    return tuple(covariate for covariate in alone if covariate)
