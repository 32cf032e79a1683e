"""How right cells of one lineage are called, by thresholds as learnt and found without labels."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from training.expression.thresholds import LearntModes, threshold_for_share, two_normals


@dataclass(frozen=True, kw_only=True)
class Calls:
    """How right one way of calling is, in the mean over draws.

    balanced_accuracy: the mean of sensitivity and specificity; of one kind alone, the share that is
        called rightly.
    f1: of the positive label; None where no cell is positive.
    """

    balanced_accuracy: float
    f1: float | None


@dataclass(frozen=True, kw_only=True)
class ShareFigures:
    """What was found with a share of positive cells.

    n: cells of a draw.
    learnt, recalibrated: calls by the threshold as it was learnt, and by one found without labels.
    by_share: by one over which as many cells lie as a regression on all genes calls positive, by
        its own threshold without labels.
    linear: by that regression itself, and its threshold without labels.
    positive: calls of every cell as positive.
    one_gene, one_gene_recalibrated: by one gene alone, and its threshold without labels.
    mixed, linear_mixed: the share of draws that seem to have cells of both kinds, by the model's
        logits, and by those of a regression on all genes.
    """

    n: int
    learnt: Calls
    recalibrated: Calls
    by_share: Calls
    linear: Calls
    positive: Calls
    one_gene: Calls
    one_gene_recalibrated: Calls
    mixed: float
    linear_mixed: float


@dataclass(frozen=True, kw_only=True)
class Modes:
    """Of the cells that were learnt from, by the model and by the regression on all genes."""

    model: LearntModes
    linear: LearntModes


def figures_of_share(
    stacked: NDArray[np.float64],
    positive: NDArray[np.bool_],
    draws: Sequence[NDArray[np.int64]],
    modes: Modes,
) -> ShareFigures:
    """The figures over draws of cells.

    Args:
        stacked: logits of the model, of the regression and by the best gene, float64 (n, 3).
    """
    ways: dict[str, list[tuple[float, float]]] = {}
    mixed, linear_mixed = [], []
    for rows in draws:
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            found, linear, gene = map(two_normals, stacked[rows].T)
        mixed.append(found.seems_mixed(modes.model))
        linear_mixed.append(linear.seems_mixed(modes.linear))
        thresholds = found.crossing, linear.crossing, gene.crossing
        for name, called in _called(stacked[rows], thresholds).items():
            ways.setdefault(name, []).append(_right(called, positive[rows]))
    means = {name: np.mean(each, axis=0).tolist() for name, each in ways.items()}
    each = {
        name: Calls(balanced_accuracy=right, f1=None if np.isnan(f1) else f1)
        for name, (right, f1) in means.items()
    }
    return ShareFigures(
        n=len(draws[0]),
        mixed=float(np.mean(mixed)),
        linear_mixed=float(np.mean(linear_mixed)),
        **each,
    )


def _called(
    stacked: NDArray[np.float64], thresholds: tuple[float, float, float]
) -> dict[str, NDArray[np.bool_]]:
    """Which cells each way of calling takes for positive, bool (n,).

    Args:
        stacked: as `figures_of_share` has them.
        thresholds: of the model, the regression and the gene, found without labels.
    """
    logits, _, gene = stacked.T
    recalibrated = stacked > thresholds
    share = float(recalibrated[:, 1].mean())
    return {
        "learnt": logits > 0,
        "recalibrated": recalibrated[:, 0],
        "by_share": logits > threshold_for_share(logits, share),
        "linear": recalibrated[:, 1],
        "positive": np.ones(len(logits), bool),
        "one_gene": gene > 0,
        "one_gene_recalibrated": recalibrated[:, 2],
    }


def _right(called: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Balanced accuracy and F1; NaN for F1 where nothing is positive."""
    sides = [(called == truth)[truth == side].mean() for side in (True, False) if side in truth]
    f1 = 2 * (called & truth).sum() / (called.sum() + truth.sum()) if truth.any() else np.nan
    return float(np.mean(sides)), float(f1)
