"""What an SVM on medians learns from some patients, for `training.judging`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.judging.beside import Beside, BesideOptions, judged_beside
from training.judging.folds import fold_indices
from training.judging.learnt import Learnt, Subjects
from training.judging.stacking import AskedCovariate, covariates_of_patients
from training.patients.aggregates import Patient
from training.patients.classifier import SvmOptions, choose_options, svc_for
from training.patients.evaluation import EvaluationOptions, with_enough_cells
from training.patients.phenotype import against_others
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
    known = covariates_of_patients(cohort)
    subjects = Subjects(
        names=tuple(patient.name for patient in two),
        groups=tuple(patient.group for patient in two),
        positive=options.positive,
        covariates=tuple(known[patient.name] if asked else {} for patient in two),
    )
    learn = SvmLearning(patients=two, positive=options.positive, options=options.svm)
    how = BesideOptions(asked=tuple(asked), folds=options.folds, halved=halved, seed=options.seed)
    return judged_beside(subjects, learn, how)


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

    def _distances(self, fit: np.ndarray, judge: np.ndarray, options: SvmOptions) -> np.ndarray:
        drawn = {i: self.patients[i].aggregates(options.draws) for i in (*fit, *judge)}
        features = np.concatenate([drawn[i] for i in fit])
        labels = [self.patients[i].group == self.positive for i in fit]
        svm = svc_for(options, features).fit(features, np.repeat(labels, options.draws.draws))
        return np.array([svm.decision_function(drawn[i]).mean() for i in judge])
