"""What a model is worth to patients it has never seen: every one judged once, out of fold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.separation import Separation, roc_auc, separation
from training.aggregates import DrawOptions, Patient
from training.fitting import (
    Classifier,
    SvmOptions,
    fit_classifier,
    fold_indices,
    positive_probability,
)
from training.intervals import Share, share_of
from vexas_edge.errors import InputError

LEAVE_ONE_OUT = 0
_SUBSETS = 5  # random subsets of a patient's cells, for each number of cells
N_CELLS = (5, 10, 20, 40, 80)


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Patients of similar score: how many, their mean score, and the share that is positive."""

    n: int
    mean_score: float
    positive: Share


@dataclass(frozen=True, kw_only=True)
class FewCells:
    """What `n_cells` random cells of each patient would have said.

    patients: that have more. distance: mean distance of a score from that with all cells.
    """

    n_cells: int
    patients: int
    roc_auc: float
    distance: float


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """Every patient's score by a classifier that was fitted on other folds.

    scores: of `names`, mean probability over draws. folds: how many, or 0 for one patient left out
    at a time. chosen: C and gamma of each fold.
    """

    folds: int
    positive: str
    names: tuple[str, ...]
    groups: tuple[str, ...]
    scores: tuple[float, ...]
    chosen: tuple[tuple[float, float], ...]
    separation: Separation
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
) -> OutOfFold:
    """Each patient scored by the SVM of the folds that it is not in.

    Args:
        patients: of two groups, `positive` among them.
        folds: at most so many, as the rarer group allows; `LEAVE_ONE_OUT` for one patient each.

    Raises:
        InputError: too few patients of a group, or one cell on both sides of a split.
    """
    groups = np.array([patient.group for patient in patients])
    splits = _splits(groups, folds, seed)
    scores = np.empty(len(patients))
    of_few: dict[int, dict[int, list[float]]] = {}
    chosen = []
    for fit, judge in splits:
        fitted, judged = [patients[i] for i in fit], [patients[i] for i in judge]
        check_apart(fitted, judged)
        classifier = fit_classifier(fitted, options)
        svm = classifier.get_params().get("estimator", classifier)
        chosen.append((float(svm.C), float(svm.gamma)))
        for i in judge:
            scores[i] = _score(classifier, patients[i], options.draws, positive)
            if folds != LEAVE_ONE_OUT:
                of_few[i] = _scores_of_few(classifier, patients[i], options.draws, positive)
    truth = groups == positive
    calls = scores >= threshold
    return OutOfFold(
        folds=folds,
        positive=positive,
        names=tuple(patient.name for patient in patients),
        groups=tuple(groups.tolist()),
        scores=tuple(scores.tolist()),
        chosen=tuple(chosen),
        separation=separation(scores, truth),
        sensitivity=share_of(calls[truth]),
        specificity=share_of(~calls[~truth]),
        threshold=threshold,
        brier=float(np.square(scores - truth).mean()),
        calibration=tuple(_bins(scores, truth)),
        few_cells=tuple(_few_cells(of_few, scores, truth)),
    )


def check_apart(fit: Sequence[Patient], judge: Sequence[Patient]) -> None:
    """Pass if no patient and no cell is on both sides; else InputError that names it."""
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
    """Scores of random subsets of the patient's cells, by their number."""
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
    """Equal widths of score; empty ones are left out."""
    of_bin = np.minimum((scores * n_bins).astype(int), n_bins - 1)
    for number in np.unique(of_bin):
        inside = of_bin == number
        yield Bin(
            n=int(inside.sum()),
            mean_score=float(scores[inside].mean()),
            positive=share_of(truth[inside]),
        )
