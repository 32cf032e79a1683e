"""What an SVM on medians learns from some patients, for `training.judging`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from training.judging.beside import Beside, BesideOptions, judged_beside
from training.judging.folds import fold_indices
from training.judging.learnt import Learnt, Subjects
from training.judging.stacking import AskedCovariate, covariates_of_patients
from training.patients.aggregates import Patient, with_enough_cells
from training.patients.classifier import SvmOptions, choose_options, svc_for
from training.patients.evaluation import EvaluationOptions
from training.patients.phenotype import against_others
from vexas_edge.errors import InputError
from vexas_edge.smear.cohort import CohortCase

_INNER_FOLDS = 4


def svm_beside(
    patients: Sequence[Patient],
    options: EvaluationOptions,
    cohort: Sequence[CohortCase],
    asked: Sequence[AskedCovariate],
    *,
    halved: bool,
) -> Beside:
    """The SVM's score of the positive group against all others, judged beside covariates.

    Args:
        cohort: rows with the covariates of all patients.

    Raises:
        UsageError, InputError: a covariate cannot be used, or a group has too few patients.
    """
    kept = with_enough_cells(patients, options.minimum_cells)
    two = against_others(kept, options.positive)
    known = covariates_of_patients(cohort) if asked else {}
    subjects = subjects_from_patients(two, options.positive, known)
    learn = SvmLearning(patients=two, positive=options.positive, options=options.svm)
    how = BesideOptions(asked=tuple(asked), folds=options.folds, halved=halved, seed=options.seed)
    return judged_beside(subjects, learn, how)


def subjects_from_patients(
    patients: Sequence[Patient], positive: str, known: Mapping[str, Mapping[str, str]]
) -> Subjects:
    """The patients as `training.judging` has them.

    Args:
        known: each one's covariates, by the patient's name; empty if none are judged.

    Raises:
        InputError: a patient has no covariates, and others have.
    """
    missing = [patient.name for patient in patients if known and patient.name not in known]
    if missing:
        raise InputError(f"patient {missing[0]!r} is not in the cohort that has the covariates")
    return Subjects(
        names=tuple(patient.name for patient in patients),
        groups=tuple(patient.group for patient in patients),
        positive=positive,
        covariates=tuple(known.get(patient.name, {}) for patient in patients),
    )


@dataclass(frozen=True, kw_only=True)
class SvmLearning:
    """Learning of the SVM from rows of patients, all of whom are of two groups.

    A patient's logit is the mean distance of its medians to the SVM's boundary. Such distances are
    no logits yet; the regression that follows gives them their unit.
    """

    patients: Sequence[Patient]
    positive: str
    options: SvmOptions

    def __call__(self, fit: np.ndarray) -> Learnt:
        options = self.options
        if options.choose:
            options = choose_options([self.patients[i] for i in fit], options)
        truth = np.array([self.patients[i].group == self.positive for i in fit])
        out_of_fold = np.empty(len(fit))
        for inner_fit, inner_judge in fold_indices(truth, _INNER_FOLDS):
            found = self._distances(fit[inner_fit], fit[inner_judge], options)
            out_of_fold[inner_judge] = found
        return Learnt(
            out_of_fold=out_of_fold, score=lambda judge: self._distances(fit, judge, options)
        )

    @cached_property
    def _drawn(self) -> list[np.ndarray]:
        """The medians of all patients."""
        return [patient.aggregates(self.options.draws) for patient in self.patients]

    def _distances(self, fit: np.ndarray, judge: np.ndarray, options: SvmOptions) -> np.ndarray:
        drawn = self._drawn
        features = np.concatenate([drawn[i] for i in fit])
        labels = [self.patients[i].group == self.positive for i in fit]
        svm = svc_for(options, features).fit(features, np.repeat(labels, options.draws.draws))
        return np.array([svm.decision_function(drawn[i]).mean() for i in judge])
