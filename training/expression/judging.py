"""Judges what tells classes of cells: on patients that it was not fitted on, beside baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax as shares_from_logits
from scipy.stats import rankdata
from sklearn.model_selection import StratifiedKFold

from training.expression.baselines import ExpressionModel, LearnExpression
from training.expression.cells import ExpressionCells
from training.expression.options import Unit
from training.judging.folds import Fold
from training.typing.learning import folds_of
from vexas_edge.errors import InputError
from vexas_edge.talk import Say

# Of fewer patients, no interval is told: a few that happen to agree are no evidence that all do,
# and those drawn from them are much more alike than others would be.
LEAST_PATIENTS = 10
_RESAMPLES, _MIDDLE = 1000, (2.5, 97.5)

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class OutOfFold:
    """What was said of n cells, or cases, by models that were not fitted on them.

    classes: C of them.
    probabilities: float64 (n, C).
    labels, patients, lineages: of each, str (n,).
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    labels: NDArray[np.str_]
    patients: NDArray[np.str_]
    lineages: NDArray[np.str_]

    def of_rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> "OutOfFold":
        """What was said of some of them, by row, or by whether each is chosen."""
        return OutOfFold(
            classes=self.classes,
            probabilities=self.probabilities[chosen],
            labels=self.labels[chosen],
            patients=self.patients[chosen],
            lineages=self.lineages[chosen],
        )


@dataclass(frozen=True, kw_only=True)
class ExpressionFigures:
    """How right what was said of n cells, or cases, is.

    accuracy: the share whose likeliest class is theirs.
    balanced_accuracy: the mean of this over the classes that they are of.
    roc_auc: the mean over these classes, each against all others; None where they are of one.
    intervals: of each of the three, over resampled patients, 95 %; empty for fewer than 10.
    """

    n: int
    accuracy: float
    balanced_accuracy: float
    roc_auc: float | None
    intervals: Mapping[str, Interval]


@dataclass(frozen=True, kw_only=True)
class JudgedExpression:
    """How right one model, or baseline, is.

    by_patient, by_lineage: without intervals; by_lineage is empty where there is one alone.
    recall: of each class, the share of its cells that is found.
    """

    overall: ExpressionFigures
    by_patient: Mapping[str, ExpressionFigures]
    by_lineage: Mapping[str, ExpressionFigures]
    recall: Mapping[str, float]


def expression_folds(cells: ExpressionCells, most_folds: int = 5, seed: int = 0) -> list[Fold]:
    """Rows to fit on and rows to judge: each patient in one fold, classes shared out alike.

    Each patient is left out in turn where there are fewer than `most_folds`. Of one patient, folds
    are of cells, which tells nothing about other patients.

    Raises:
        InputError: a class has a single cell, where folds are of cells.
    """
    n_patients = len(set(cells.patients.tolist()))
    if n_patients > 1:
        n_folds = min(most_folds, n_patients)
        return folds_of(cells.labels.tolist(), cells.patients.tolist(), n_folds, seed)
    classes, counts = np.unique(cells.labels, return_counts=True)
    if (rarest := int(counts.min())) < 2:
        raise InputError(
            f"{classes[counts.argmin()]!r} has {rarest} cell; folds of cells need two of each "
            "class: give more, or leave the class out"
        )
    splitter = StratifiedKFold(min(most_folds, rarest), shuffle=True, random_state=seed)
    return list(splitter.split(cells.labels, cells.labels))


def out_of_fold(
    cells: ExpressionCells, learn: LearnExpression, folds: Sequence[Fold], per: Unit = "cell"
) -> OutOfFold:
    """What models say of the cells of each fold, or of its samples, fitted on the other rows."""
    classes, parts = cells.classes, []
    for fit, judge in folds:
        parts.append(said_of(cells.of_rows(judge), learn(cells.of_rows(fit)), classes, per))
    return OutOfFold(
        classes=classes,
        probabilities=np.concatenate([part.probabilities for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        patients=np.concatenate([part.patients for part in parts]),
        lineages=np.concatenate([part.lineages for part in parts]),
    )


def said_of(
    cells: ExpressionCells, model: ExpressionModel, classes: tuple[str, ...], per: Unit = "cell"
) -> OutOfFold:
    """What a model says of cells, or of their samples.

    Args:
        classes: in whose order probabilities are told; one that the model does not know has 0.
    """
    logits, rows = model.logits(cells.rows), np.arange(len(cells))
    if per == "case":
        names, logits = model.case_logits(logits, cells.samples)
        rows = np.array([np.flatnonzero(cells.samples == name)[0] for name in names])
    probabilities = np.zeros((len(rows), len(classes)))
    places = [classes.index(name) for name in model.classes]
    probabilities[:, places] = shares_from_logits(logits, axis=1)
    return OutOfFold(
        classes=classes,
        probabilities=probabilities,
        labels=cells.labels[rows],
        patients=cells.patients[rows],
        lineages=cells.lineages[rows],
    )


def judged_expression(said: OutOfFold, seed: int = 0) -> JudgedExpression:
    """All figures of what was said.

    Args:
        seed: of the resampled patients.
    """
    patients, lineages = np.unique(said.patients).tolist(), np.unique(said.lineages).tolist()
    called = said.probabilities.argmax(axis=1)
    truth = _truth(said)
    return JudgedExpression(
        overall=_figures(said, _intervals(said, seed)),
        by_patient={name: _figures(said.of_rows(said.patients == name)) for name in patients},
        by_lineage={
            name: _figures(said.of_rows(said.lineages == name))
            for name in (lineages if len(lineages) > 1 else ())
        },
        recall={
            name: float((called[truth == place] == place).mean())
            for place, name in enumerate(said.classes)
            if (truth == place).any()
        },
    )


def judge_expression(
    cells: ExpressionCells,
    learners: Mapping[str, LearnExpression],
    folds: Sequence[Fold],
    say: Say,
    per: Unit = "cell",
) -> dict[str, JudgedExpression]:
    """All models and baselines on the same folds, by name."""
    found = {}
    for name, learn in learners.items():
        found[name] = judged_expression(out_of_fold(cells, learn, folds, per))
        overall = found[name].overall
        say(f"{name}: {overall.accuracy:.3f} of {overall.n} right")
    return found


def _truth(said: OutOfFold) -> NDArray[np.int64]:
    return np.searchsorted(said.classes, said.labels)


def _figures(said: OutOfFold, intervals: Mapping[str, Interval] | None = None) -> ExpressionFigures:
    three = _three(said.probabilities, _truth(said))
    return ExpressionFigures(
        n=len(said.labels),
        accuracy=three["accuracy"],
        balanced_accuracy=three["balanced_accuracy"],
        roc_auc=None if np.isnan(three["roc_auc"]) else three["roc_auc"],
        intervals=intervals or {},
    )


def _three(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, balanced accuracy and ROC-AUC; NaN for the last where there is one class alone."""
    right = probabilities.argmax(axis=1) == truth
    present = np.unique(truth)
    areas = [rank_auc(probabilities[:, place], truth == place) for place in present]
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean([right[truth == place].mean() for place in present])),
        "roc_auc": float(np.mean(areas)) if len(present) > 1 else float("nan"),
    }


def rank_auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The share of pairs, one positive and one not, in which the positive scores higher.

    Ties count half. NaN where there is no pair.

    Args:
        scores: float64 (n,).
        positive: bool (n,).
    """
    n_positive, n = int(positive.sum()), len(positive)
    if n_positive in (0, n):
        return float("nan")
    over = rankdata(scores)[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(over / (n_positive * (n - n_positive)))


def _intervals(said: OutOfFold, seed: int) -> dict[str, Interval]:
    """Of each figure over patients drawn with replacement."""
    names, places = np.unique(said.patients, return_inverse=True)
    if len(names) < LEAST_PATIENTS:
        return {}
    rows, truth = [np.flatnonzero(places == place) for place in range(len(names))], _truth(said)
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(_RESAMPLES):
        chosen = np.concatenate([rows[i] for i in rng.integers(len(names), size=len(names))])
        drawn.append(_three(said.probabilities[chosen], truth[chosen]))
    ends = {
        name: np.nanpercentile([one[name] for one in drawn], _MIDDLE).tolist() for name in drawn[0]
    }
    return {name: (low, high) for name, (low, high) in ends.items()}
