"""What an SVM on medians learns from some patients, for `training.judging`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.judging.folds import fold_indices
from training.judging.nested import Learnt
from training.patients.aggregates import Patient
from training.patients.classifier import SvmOptions, choose_options, svc_for

_INNER_FOLDS = 4


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
