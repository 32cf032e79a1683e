"""Judges a classifier by patient, always on patients that it was not fitted on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from calibration.gate.separation import Separation, roc_auc, separation
from training.judging.folds import fold_indices
from training.judging.intervals import Share, share_of
from training.patients.aggregates import DrawOptions, Patient
from training.patients.classifier import (
    Classifier,
    SvmOptions,
    fit_classifier,
    positive_probability,
)
from vexas_edge.errors import InputError

LEAVE_ONE_OUT = 0
_SUBSETS = 5  # random subsets of a patient's cells, per number of cells
N_CELLS = (5, 10, 20, 40, 80)


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Patients of similar score: their number, mean score, and the share that is positive."""

    n: int
    mean_score: float
    positive: Share


@dataclass(frozen=True, kw_only=True)
class FewCells:
    """The scores that `n_cells` random cells of each patient would have had.

    patients: the number of patients who have more cells.
    roc_auc: of these scores.
    distance: mean distance of a score from the patient's score with all cells.
    """

    n_cells: int
    patients: int
    roc_auc: float
    distance: float


@dataclass(frozen=True, kw_only=True)
class JudgedPatients:
    """Every patient's score by a classifier that was fitted on others, and the figures.

    how: text that says on whom the classifier was fitted.
    names, groups: of the patients.
    scores: mean probability over draws, per patient.
    chosen: C and gamma per classifier.
    separation: None if each patient had its own classifier. Leaving a patient out moves its score
        to the other group's side, so a ranking of such scores is meaningless (on pure noise its
        ROC-AUC was 0.0 to 0.6).
    brier: mean squared distance of scores from 1 for positive patients and 0 for others.
    calibration: the share of positive patients by bins of score.
    few_cells: the figures with fewer cells.
    """

    how: str
    positive: str
    names: tuple[str, ...]
    groups: tuple[str, ...]
    scores: tuple[float, ...]
    chosen: tuple[tuple[float, float], ...]
    separation: Separation | None
    sensitivity: Share
    specificity: Share
    threshold: float
    brier: float
    calibration: tuple[Bin, ...]
    few_cells: tuple[FewCells, ...] = ()


def judge_out_of_fold(
    patients: Sequence[Patient],
    positive: str,
    options: SvmOptions,
    *,
    folds: int = 5,
    seed: int = 0,
    threshold: float = 0.5,
) -> JudgedPatients:
    """Each patient scored by an SVM that was fitted on the other folds.

    Args:
        patients: of two groups, one of them `positive`.
        folds: their number, or less if a group has fewer patients; `LEAVE_ONE_OUT` for folds of one
            patient.

    Raises:
        InputError: a group has too few patients, or a cell is on both sides of a split.
    """
    groups = np.array([patient.group for patient in patients])
    splits = _splits(groups, folds, seed)
    how = f"{len(splits)} folds" if folds != LEAVE_ONE_OUT else "one patient left out at a time"
    judged = _Judged(positive=positive, ranked=folds != LEAVE_ONE_OUT)
    for fit, judge in splits:
        judged.add([patients[i] for i in fit], [patients[i] for i in judge], options)
    return judged.figures(patients, how, threshold)


def judge_held_out(
    fit: Sequence[Patient],
    judged: Sequence[Patient],
    positive: str,
    options: SvmOptions,
    *,
    threshold: float = 0.5,
) -> JudgedPatients:
    """The patients `judged`, scored by the SVM that was fitted on the patients `fit`.

    Raises:
        InputError: a group has too few patients, or a patient or a cell is on both sides.
    """
    found = _Judged(positive=positive)
    found.add(fit, judged, options)
    return found.figures(judged, f"fitted on {len(fit)} other patients", threshold)


@dataclass(kw_only=True)
class _Judged:
    """The scores so far, by the patient's name.

    few: scores of subsets of a patient's cells, by their number of cells.
    """

    positive: str
    ranked: bool = True
    scores: dict[str, float] = field(default_factory=dict)
    few: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    chosen: list[tuple[float, float]] = field(default_factory=list)

    def add(self, fit: Sequence[Patient], judged: Sequence[Patient], options: SvmOptions) -> None:
        """Score some patients by a classifier that is fitted on others."""
        check_apart(fit, judged)
        classifier = fit_classifier(fit, options)
        svm = classifier.get_params().get("estimator", classifier)
        self.chosen.append((float(svm.C), float(svm.gamma)))
        for patient in judged:
            own = (classifier, patient, options.draws, self.positive)
            self.scores[patient.name] = _score(*own)
            self.few[patient.name] = _scores_of_few(*own) if self.ranked else {}

    def figures(self, patients: Sequence[Patient], how: str, threshold: float) -> JudgedPatients:
        """The figures of these patients, all of whom must have a score."""
        scores = np.array([self.scores[patient.name] for patient in patients])
        truth = np.array([patient.group == self.positive for patient in patients])
        if truth.all() or not truth.any():
            raise InputError(f"judging needs patients of {self.positive!r} and of another group")
        calls = scores >= threshold
        few = dict(enumerate(self.few[patient.name] for patient in patients))
        return JudgedPatients(
            how=how,
            positive=self.positive,
            names=tuple(patient.name for patient in patients),
            groups=tuple(patient.group for patient in patients),
            scores=tuple(scores.tolist()),
            chosen=tuple(self.chosen),
            separation=separation(scores, truth) if self.ranked else None,
            sensitivity=share_of(calls[truth]),
            specificity=share_of(~calls[~truth]),
            threshold=threshold,
            brier=float(np.square(scores - truth).mean()),
            calibration=tuple(_bins(scores, truth)),
            few_cells=tuple(_few_cells(few, scores, truth)),
        )


def check_apart(fit: Sequence[Patient], judge: Sequence[Patient]) -> None:
    """Check that no patient and no cell is on both sides of a split.

    Raises:
        InputError: one is; the message names it.
    """
    for what, one, other in (
        ("patient", [p.name for p in fit], [p.name for p in judge]),
        ("cell", _cells_of(fit), _cells_of(judge)),
    ):
        shared = set(one).intersection(other)
        if shared:
            raise InputError(f"{what} {min(shared)!r} is on both sides of a split")


def _cells_of(patients: Iterable[Patient]) -> list[str]:
    return [identity.hex() for patient in patients for identity in patient.identities]


def _splits(groups: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    if folds != LEAVE_ONE_OUT:
        return list(fold_indices(groups, folds, seed))
    everyone = np.arange(len(groups))
    return [(np.delete(everyone, i), everyone[i : i + 1]) for i in everyone]


def _score(classifier: Classifier, patient: Patient, draws: DrawOptions, positive: str) -> float:
    return float(positive_probability(classifier, patient, draws, positive).mean())


def _scores_of_few(
    classifier: Classifier, patient: Patient, draws: DrawOptions, positive: str
) -> dict[int, list[float]]:
    """Scores of random subsets of the patient's cells, by their number of cells."""
    rng = np.random.default_rng(0)
    found: dict[int, list[float]] = {}
    for n_cells in N_CELLS:
        if n_cells >= len(patient.identities):
            break
        for _ in range(_SUBSETS):
            rows = rng.choice(len(patient.identities), n_cells, replace=False)
            few = replace(
                patient,
                encodings=patient.encodings[rows],
                identities=tuple(patient.identities[row] for row in rows),
            )
            found.setdefault(n_cells, []).append(_score(classifier, few, draws, positive))
    return found


def _few_cells(
    of_few: dict[int, dict[int, list[float]]], scores: np.ndarray, truth: np.ndarray
) -> Iterable[FewCells]:
    for n_cells in N_CELLS:
        having = [i for i in sorted(of_few) if n_cells in of_few[i]]
        positives = int(truth[having].sum())
        if not 0 < positives < len(having):
            return
        few = np.array([of_few[i][n_cells] for i in having])
        yield FewCells(
            n_cells=n_cells,
            patients=len(having),
            roc_auc=float(np.mean([roc_auc(column, truth[having]) for column in few.T])),
            distance=float(np.abs(few - scores[having][:, None]).mean()),
        )


def _bins(scores: np.ndarray, truth: np.ndarray, n_bins: int = 5) -> Iterable[Bin]:
    """The patients in bins of equal widths of score, without empty bins."""
    of_bin = np.minimum((scores * n_bins).astype(int), n_bins - 1)
    for number in np.unique(of_bin):
        inside = of_bin == number
        yield Bin(
            n=int(inside.sum()),
            mean_score=float(scores[inside].mean()),
            positive=share_of(truth[inside]),
        )
