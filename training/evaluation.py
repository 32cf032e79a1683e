"""Everything that is said of an encoder and its SVM before anybody trusts them, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from training.aggregates import Patient
from training.covariates import CovariateAlone, covariate_alone
from training.fitting import SvmOptions
from training.patientwise import LEAVE_ONE_OUT, JudgedPatients, judge_held_out, judge_out_of_fold
from training.phenotype import Comparison, against_others, compare_groups
from vexas_edge.cohort import CohortCase
from vexas_edge.errors import InputError


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How patients are judged. order: of the groups, the positive one last; empty: by name.

    svm: of the patient-level figures. folds, leave_one_out: how patients are left out, and whether
    they are also left out one at a time (slow for many).
    """

    order: tuple[str, ...] = ()
    svm: SvmOptions = field(default_factory=lambda: SvmOptions(choose=True))
    folds: int = 5
    leave_one_out: bool = False
    seed: int = 0
    threshold: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All figures. paper: over aggregates, as printed. out_of_fold, leave_one_out: by patient.

    held_out: of patients that nothing was learnt from, encoder included. covariates: each column of
    the cohort alone, beside the out-of-fold score.
    """

    order: tuple[str, ...]
    n_cells: dict[str, int]
    paper: tuple[Comparison, ...]
    out_of_fold: JudgedPatients
    leave_one_out: JudgedPatients | None
    held_out: JudgedPatients | None
    covariates: tuple[CovariateAlone, ...]


def evaluate(
    patients: Sequence[Patient],
    options: EvaluationOptions,
    cohort: Sequence[CohortCase] = (),
    held_out: Sequence[Patient] = (),
) -> Evaluation:
    """The paper's table, the patient-level figures, and the covariates of the cohort's rows.

    Args:
        held_out: patients who are judged by the SVM of all others.

    Raises:
        InputError: groups that are not those named, too few patients, or patients that the cohort
            does not know or labels otherwise.
    """
    order = _order(patients, options.order)
    positive = order[-1]
    two = against_others(patients, positive)
    judging = {"seed": options.seed, "threshold": options.threshold}
    out_of_fold = judge_out_of_fold(two, positive, options.svm, folds=options.folds, **judging)
    return Evaluation(
        order=order,
        n_cells={p.name: len(p.identities) for p in (*patients, *held_out)},
        paper=compare_groups(patients, order, _as_printed(options.svm)),
        out_of_fold=out_of_fold,
        leave_one_out=judge_out_of_fold(two, positive, options.svm, folds=LEAVE_ONE_OUT, **judging)
        if options.leave_one_out
        else None,
        held_out=judge_held_out(
            two,
            against_others(held_out, positive),
            positive,
            options.svm,
            threshold=options.threshold,
        )
        if held_out
        else None,
        covariates=_covariates(patients, cohort, out_of_fold),
    )


def _as_printed(options: SvmOptions) -> SvmOptions:
    """The paper's SVM, on the draws that were asked for."""
    return SvmOptions(calibration="libsvm", draws=replace(options.draws))


def _order(patients: Sequence[Patient], wanted: Sequence[str]) -> tuple[str, ...]:
    groups = sorted({patient.group for patient in patients})
    if len(groups) < 2:
        raise InputError(f"all patients are of the group {groups[0]!r}; evaluating needs two")
    if wanted and sorted(wanted) != groups:
        raise InputError(f"the groups named are {', '.join(wanted)}; found {', '.join(groups)}")
    return tuple(wanted) or tuple(groups)


def _covariates(
    patients: Sequence[Patient], cohort: Sequence[CohortCase], found: JudgedPatients
) -> tuple[CovariateAlone, ...]:
    rows = {row.patient: row for row in cohort}
    if not rows:
        return ()
    for patient in patients:
        row = rows.get(patient.name)
        if row is None or row.label != patient.group:
            label = f"as {row.label!r}" if row else "not at all"
            raise InputError(
                f"patient {patient.name!r} of group {patient.group!r} is known to the cohort "
                f"{label}"
            )
    scores = np.array(found.scores)
    positive = np.array(found.groups) == found.positive
    alone = (
        covariate_alone(name, [rows[p].covariates[name] for p in found.names], scores, positive)
        for name in cohort[0].covariates
    )
    return tuple(covariate for covariate in alone if covariate)
