"""Fits the phenotype's SVM on patients' aggregates, with probabilities calibrated by patient.

The paper fits `SVC(C=1, kernel="rbf")` with libsvm's own probabilities, whose folds have aggregates
of one patient on both sides; `calibration="libsvm"` does the same. The default, `"patients"`,
calibrates on folds that keep a patient together.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Literal, TypeAlias

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.svm import SVC

from calibration.gate.separation import roc_auc
from training.judging.folds import fold_indices
from training.patients.aggregates import DrawOptions, Patient
from vexas_edge.errors import InputError, UsageError

Calibration = Literal["patients", "libsvm"]
Classifier: TypeAlias = CalibratedClassifierCV | SVC

GRID_C = (0.1, 1.0, 10.0)
# Multiples of 1 / (D * variance), scikit-learn's default, called "scale".
GRID_GAMMA = (0.25, 1.0, 4.0)
_INNER_FOLDS = 4
# Draws per patient while C and gamma are chosen; few are enough, since patients are compared.
_INNER_DRAWS = 10


@dataclass(frozen=True, kw_only=True)
class SvmOptions:
    """Options of the SVM; the defaults of C and gamma are the VEXAS paper's.

    gamma: a multiple of scikit-learn's "scale".
    balanced: whether a class's C is divided by its share.
    calibration: whose folds probabilities are calibrated on.
    choose: whether C and gamma are chosen from GRID_C x GRID_GAMMA, on inner folds of patients.
    draws: of the aggregates.
    """

    C: float = 1.0
    gamma: float = 1.0
    balanced: bool = False
    calibration: Calibration = "patients"
    choose: bool = False
    draws: DrawOptions = field(default_factory=DrawOptions)

    def __post_init__(self) -> None:
        if self.C <= 0 or self.gamma <= 0:
            raise UsageError(f"C is {self.C} and gamma {self.gamma}; both must be above 0")


def fit_classifier(patients: Sequence[Patient], options: SvmOptions) -> Classifier:
    """The classifier fitted on all these patients' aggregates.

    Raises:
        InputError: there are fewer than two groups, or a group has fewer than two patients, if C
            and gamma are to be chosen or probabilities calibrated by patient.
    """
    names = [patient.group for patient in patients]
    fewest = min((names.count(name), name) for name in names)
    if len(set(names)) < 2:
        raise InputError(
            f"all patients are in the group {names[0]!r}; a classifier needs two groups"
        )
    if fewest[0] < 2 and (options.calibration == "patients" or options.choose):
        raise InputError(
            f"group {fewest[1]!r} has only one patient; choosing C and gamma, and calibrating by "
            'patient, need two of each group (fixed C and gamma with calibration "libsvm" do not)'
        )
    if options.choose:
        options = choose_options(patients, options)
    features = np.concatenate([patient.aggregates(options.draws) for patient in patients])
    labels = np.repeat(names, options.draws.draws)
    svm = svc_for(options, features)
    if options.calibration == "libsvm":
        return _fit_with_libsvm(svm, features, labels)
    owners = np.repeat(np.arange(len(patients)), options.draws.draws)
    splitter = StratifiedGroupKFold(min(_INNER_FOLDS, fewest[0]), shuffle=True, random_state=0)
    folds = list(splitter.split(features, labels, owners))
    fitted = CalibratedClassifierCV(svm, cv=folds, ensemble=False).fit(features, labels)
    return fitted.set_params(cv=None)  # a file must not say which patient was in which fold


def check_calibrated(classifier: Classifier) -> None:
    """Check that, out of fold, more distance to the SVM's boundary means a higher probability.

    Raises:
        InputError: it means a lower one, so scores would put patients in the wrong order.
    """
    if not isinstance(classifier, CalibratedClassifierCV):
        return
    for calibrator in classifier.calibrated_classifiers_[0].calibrators:
        if calibrator.a_ >= 0:  # of 1 / (1 + exp(a * distance + b))
            raise InputError(
                "out of fold the SVM puts patients in the wrong order, and so would its scores. "
                "Either these encodings do not tell the groups apart, or there are too few patients"
            )


def choose_options(patients: Sequence[Patient], options: SvmOptions) -> SvmOptions:
    """The same options with the C and gamma that have the best ROC-AUC by patient on inner folds.

    With more than two groups it is the mean over the groups, each against all others. If several
    are equally good, the given ones win, then smaller C and gamma.
    """
    few = replace(options.draws, draws=_INNER_DRAWS)
    drawn = [patient.aggregates(few) for patient in patients]
    names = np.array([patient.group for patient in patients])
    folds = list(fold_indices(names, _INNER_FOLDS))
    grid = [replace(options, C=C, gamma=gamma) for C, gamma in product(GRID_C, GRID_GAMMA)]
    tried = [options, *grid]
    return max(tried, key=lambda one: _inner_auc(drawn, names, folds, one))


def positive_probability(
    classifier: Classifier, patient: Patient, draws: DrawOptions, positive: str
) -> np.ndarray:
    """The probability of the group `positive` per aggregate of the patient, float64 (draws,)."""
    column = list(classifier.classes_).index(positive)
    return classifier.predict_proba(patient.aggregates(draws))[:, column]


def _inner_auc(
    drawn: Sequence[np.ndarray],
    names: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    options: SvmOptions,
) -> float:
    """ROC-AUC of out-of-fold scores: each patient's mean distance to the boundary over draws."""
    groups = sorted(set(names))
    targets = groups[1:] if len(groups) == 2 else groups
    return float(np.mean([_auc_of(group, drawn, names, folds, options) for group in targets]))


def _auc_of(
    group: str,
    drawn: Sequence[np.ndarray],
    names: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    options: SvmOptions,
) -> float:
    aucs = []
    for fit, judge in folds:
        features = np.concatenate([drawn[i] for i in fit])
        is_group = np.repeat(names[fit] == group, len(drawn[0]))
        svm = svc_for(options, features).fit(features, is_group)
        scores = np.array([svm.decision_function(drawn[i]).mean() for i in judge])
        aucs.append(roc_auc(scores, names[judge] == group))
    return float(np.mean(aucs))


def svc_for(options: SvmOptions, features: np.ndarray) -> SVC:
    """The SVM that is to be fitted on these features, float32 (n, D), without probabilities."""
    gamma = options.gamma / (features.shape[1] * features.var())
    weight = "balanced" if options.balanced else None
    return SVC(C=options.C, kernel="rbf", gamma=gamma, class_weight=weight, random_state=0)


def _fit_with_libsvm(svm: SVC, features: np.ndarray, labels: np.ndarray) -> SVC:
    with warnings.catch_warnings():
        # Deprecated, but it is what the published figures were made with.
        warnings.filterwarnings("ignore", "The `probability` parameter", FutureWarning)
        return svm.set_params(probability=True).fit(features, labels)
