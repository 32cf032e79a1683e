"""Splits the patients into those fitted on and those judged, and fits SVMs by the VEXAS recipe."""

import multiprocessing
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit
from sklearn.svm import SVC

from vexas_edge.errors import InputError
from vexas_edge.host.process import default_threads
from vexas_edge.smear.cohort import CohortCase

JUDGED_SHARE = 0.4
COHORT = "cohort"


@dataclass(frozen=True, kw_only=True)
class Split:
    """A split of the patients.

    fit: indices of the patients that a classifier is fitted on.
    judge: indices of the patients that it is judged on.
    """

    name: str
    fit: np.ndarray
    judge: np.ndarray


def cohort_split(rows: Sequence[CohortCase]) -> Split:
    """The split that cohort.csv names.

    Raises:
        InputError: its splits are not exactly `fit` and `judge`.
    """
    named = np.array([row.split for row in rows])
    if set(named) != {"fit", "judge"}:
        raise InputError(
            f"cohort.csv names the splits {', '.join(sorted(set(named)))}; expected fit and judge"
        )
    fit, judged = np.flatnonzero(named == "fit"), np.flatnonzero(named == "judge")
    return Split(name=COHORT, fit=fit, judge=judged)


def fold_splits(labels: Sequence[str], n_folds: int) -> list[Split]:
    """Splits in which every patient is judged once, by a classifier fitted on the other folds."""
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0).split(labels, labels)
    return [Split(name=f"fold-{k}", fit=f, judge=j) for k, (f, j) in enumerate(folds, start=1)]


def repeated_splits(labels: Sequence[str], n_repeats: int) -> list[Split]:
    """Further random 60/40 splits, to show how much a figure depends on the split."""
    if not n_repeats:
        return []
    shuffles = StratifiedShuffleSplit(n_repeats, test_size=JUDGED_SHARE, random_state=0)
    drawn = shuffles.split(labels, labels)
    return [Split(name=f"repeat-{k}", fit=f, judge=j) for k, (f, j) in enumerate(drawn, start=1)]


def fit_classifiers(
    medians: Sequence[np.ndarray], labels: Sequence[str], splits: Sequence[Split]
) -> list[SVC]:
    """One fitted SVM per split.

    Args:
        medians: each patient's aggregates, float32 (100, D).
    """
    features = [np.concatenate([medians[i] for i in split.fit]) for split in splits]
    wanted = [np.repeat([labels[i] for i in s.fit], len(medians[0])) for s in splits]
    # Processes, not threads, since libsvm draws folds from one global random generator.
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(default_threads(), mp_context=spawning) as pool:
        return list(pool.map(fit_svc, features, wanted))


def fit_svc(features: np.ndarray, labels: np.ndarray) -> SVC:
    """The recipe's SVM, fitted.

    scikit-learn has deprecated its `probability`, but published figures were made with it. Its
    successor, CalibratedClassifierCV, can be exported, too; it would need folds that keep a
    patient's aggregates together, else it calibrates on patients that it was fitted on, as this
    one does.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The `probability` parameter", FutureWarning)
        return SVC(C=1, kernel="rbf", probability=True, random_state=0).fit(features, labels)


def scores_in_process(classifier: SVC, medians: Sequence[np.ndarray], positive: str) -> np.ndarray:
    """Each patient's mean probability of `positive`, by scikit-learn itself, float64 (n,)."""
    column = list(classifier.classes_).index(positive)
    return np.array([classifier.predict_proba(m)[:, column].mean() for m in medians])
